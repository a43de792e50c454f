"""Files on disk: replaced whole or not at all, and JSON objects read with clear errors.

Knows nothing of what the files mean; the rooms that write and read them do.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from galago.errors import ConfigError

StrPath = str | os.PathLike[str]


@contextmanager
def replacing(path: StrPath, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well.

    Readers see the old file or the whole new one. When the block raises, nothing is left behind.
    `durable` waits until the bytes are on the disk, so that the promise also holds when the power
    goes. A link is followed; what is there and is no ordinary file (a folder, a device) is refused.
    Raises OSError.
    """
    target = Path(os.path.realpath(path))
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(None, "is a folder", str(target))
        if not stat.S_ISREG(mode):
            raise OSError(None, "is not an ordinary file", str(target))
    unfinished = target.parent / f".galago-{os.urandom(8).hex()}.part"
    try:
        with unfinished.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def reason(error: OSError) -> str:
    """Why the system refused, in its own words, without number and path: "No space left on device"."""
    return error.strerror or str(error) or type(error).__name__


def shown(name: object) -> str:
    """A name or value from a file, fit for one line of an error message."""
    text = repr(name)
    return text if len(text) <= 100 else text[:90] + "…" + text[-1]


def read_json_object(path: StrPath, *, hint: str | None = None) -> dict[str, Any]:
    """The JSON object in a file of a model folder.

    Raises ConfigError when the file is missing (with `hint`), unreadable, not JSON, not an object,
    or says one key twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing", hint=hint) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})", hint=_DAMAGED) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}", hint=hint) from None
    try:
        value = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}", hint=_DAMAGED) from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds {_JSON_NAMES[type(value)]}, not an object", hint=_DAMAGED)
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook` of json.loads: the pairs as a dict; raises ValueError when a key comes twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} comes twice")
    return result


_DAMAGED = "download the file again"
_JSON_NAMES = {
    list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false",
    type(None): "null",
}  # fmt: skip
