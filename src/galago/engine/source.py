"""What a user calls a model, and where it is: an embedded model's name or a folder. Nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path

from galago.errors import ModelNotFoundError
from galago.files import StrPath, reason
from galago.frozen import frozen

EMBEDDED = ("nano",)
"""Models that come with the package, each in the folder of its name."""


@frozen
class Source:
    """A model folder and what answers call the model."""

    name: str
    folder: Path


def find_model(source: StrPath) -> Source:
    """The model that `source` names; a name of `EMBEDDED` comes before a folder of that name.

    Raises ModelNotFoundError, with what to do about it.
    """
    text = os.fspath(source)
    if text in EMBEDDED:
        return _embedded(text)
    try:
        folder = Path(text).expanduser()
        is_folder, is_there = folder.is_dir(), folder.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: the ~ of a user that is not here
        what = reason(error) if isinstance(error, OSError) else str(error)
        raise ModelNotFoundError(f"{text!r} cannot be read: {what}", hint=_what_to_do(text)) from None
    if is_folder:
        return Source(folder.resolve().name or text, folder)
    if text.lower().endswith(".gguf"):
        raise ModelNotFoundError(
            f"{text!r}: GGUF files are not read by this version",
            hint="use the model's safetensors folder",
        )
    if is_there:
        raise ModelNotFoundError(
            f"{text!r} is a file; a model is a folder with config.json and safetensors files",
            hint=f"galago info {folder.parent}",
        )
    raise ModelNotFoundError(f"there is no model {text!r}", hint=_what_to_do(text))


def _embedded(name: str) -> Source:
    folder = Path(__file__).parents[1] / name
    if not (folder / "model.safetensors").is_file():
        raise ModelNotFoundError(
            f"the embedded model {name!r} is not in this installation ({folder} has no model.safetensors)",
            hint="install Galago again, or build the model with: galago train nano",
        )
    return Source(name, folder)


def _what_to_do(text: str) -> str:
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(text, EMBEDDED, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        return "models are not downloaded by this version: fetch the repository, then name its folder"
    return f"give a model folder, or an embedded model: {', '.join(EMBEDDED)}"
