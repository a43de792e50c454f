"""`export`: which forms there are, and the one call that writes any of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from galago.errors import UsageError
from galago.files import StrPath
from galago.frozen import frozen

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes of weights written so far and of the whole."""

Dense = Literal["f32", "bf16"]

FORMS: Final = {"hf": "galago.export.hf"}
"""Name of a form -> module whose `write(source, folder, dtype, progress)` makes it."""


@frozen
class Export:
    """What `export` made; the size is of weights."""

    folder: Path
    form: str
    dtype: Dense
    weights_bytes: int


def export(
    source: StrPath,
    destination: StrPath,
    *,
    to: str = "hf",
    dtype: Dense | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write the model `source` to the new folder `destination` in another tool's form.

    "hf" is a Hugging Face folder that `transformers` loads; packed weights become numbers again. `dtype` is
    by default bf16 for a model that holds bf16, else f32, which keeps what packed weights mean. The
    destination appears when it is complete. Raises UsageError for an unknown form or an existing destination,
    ModelError for a source that cannot be read, WeightError when the disk is full.
    """
    if to not in FORMS:
        raise UsageError(f"there is no form {to!r} to export to", hint=f"use one of: {', '.join(FORMS)}")
    if dtype not in (None, "f32", "bf16"):
        raise UsageError(f"an export is f32 or bf16, not {dtype!r}")
    form: Any = importlib.import_module(FORMS[to])
    made: Dense
    made, weights_bytes = form.write(source, destination, dtype, progress)
    return Export(Path(destination), to, made, weights_bytes)
