"""A value read from the machine, or the reason why it could not be; and the small files it is read from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from galago.frozen import frozen

T = TypeVar("T")

ROOT = Path("/")


@frozen
class Sensed(Generic[T]):
    """`value`, or `None` and in `reason` why it could not be read."""

    value: T | None
    reason: str = ""


def read_text(path: Path) -> str | None:
    """The stripped text of a small file; None where it is missing, forbidden or refuses to answer."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """The file's whole text as an integer; None where it is anything else ("max", empty, missing)."""
    text = read_text(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None


def fields(path: Path) -> dict[str, str]:
    """`Key: value` lines, as in /proc/meminfo; the first where a key comes twice. Empty where unreadable."""
    table: dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            table.setdefault(key.strip(), value.strip())
    return table


def kilobytes(table: dict[str, str], key: str) -> int | None:
    """The field `key`, written as `1234 kB`, in bytes."""
    number = table.get(key, "").removesuffix("kB").strip()
    return int(number) * 1024 if number.isdecimal() else None


def cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The control group of this process and the groups around it, innermost first, where they can be seen.

    Version 2 has one tree for all controllers, version 1 a tree for each. Inside a container the path told
    by the kernel may not exist: the tree's top is then the container's own group.
    """
    base = root / "sys/fs/cgroup"
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            top = base / controller
        elif number == "0" and not controllers:
            top = base
        else:
            continue
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            if folder.is_dir():
                yield folder
            if folder == top:
                break
