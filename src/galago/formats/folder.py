"""A model folder as a whole: made complete or not at all, and what lies in it beside the weights."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galago.errors import UsageError, WeightError
from galago.files import StrPath, reason

COMPANIONS = ("*.json", "*.txt", "*.jinja", "*.model", "LICENSE*", "NOTICE*", "README*")
"""Configuration, tokenizer, template, preprocessing, and what the authors want to go along."""

NOT_COMPANIONS = ("*.index.json",)
"""Tables of shards: they describe files that a new folder does not have."""


@contextmanager
def new_folder(path: StrPath, *, needed_bytes: int = 0) -> Iterator[Path]:
    """A folder to fill that appears at `path` when the block ends well.

    It is made beside `path`; when the block raises, nothing is left behind. Raises UsageError when something
    is at `path` already or its parent is missing, WeightError when the disk has less than `needed_bytes` free
    or cannot be written.
    """
    target = Path(path).expanduser().absolute()
    _refuse(target)
    try:
        free = shutil.disk_usage(target.parent).free
        if free < needed_bytes:
            raise WeightError(
                f"{target} needs {_megabytes(needed_bytes)}, and the disk has {_megabytes(free)} free",
                hint="free some space, or write to another disk",
            )
        unfinished = target.parent / f".galago-{secrets.token_hex(8)}.part"
        unfinished.mkdir()
        try:
            yield unfinished
            _refuse(target)  # somebody else may have been faster
            unfinished.rename(target)
        except BaseException as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if isinstance(error, WeightError):  # it knows the file by a name that nobody else knows
                said = str(error).replace(str(unfinished), str(target))
                raise WeightError(said, hint=error.hint) from error
            raise
    except OSError as error:
        full = error.errno == errno.ENOSPC
        hint = "free some space, or write to another disk" if full else "choose a place that you may write to"
        raise WeightError(f"{target} cannot be written: {reason(error)}", hint=hint) from error


def copy_companions(source: Path, target: Path) -> list[str]:
    """Copy what belongs to a model beside its weights; returns the names. Raises OSError."""
    left_out = {path for pattern in NOT_COMPANIONS for path in source.glob(pattern)}
    found = {path for pattern in COMPANIONS for path in source.glob(pattern) if path.is_file()} - left_out
    for path in sorted(found):
        shutil.copyfile(path, target / path.name)
    return sorted(path.name for path in found)


def _refuse(target: Path) -> None:
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already", hint="name a new folder, or remove this one first")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder", hint=f"mkdir -p {target.parent}")


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
