"""Hugging Face folders: published tensor names, dense weights, and what `transformers` needs beside them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from numpy.typing import NDArray

from galago import packing
from galago.engine.checkpoint import Checkpoint, open_checkpoint
from galago.files import StrPath, read_json_object
from galago.formats.folder import copy_companions, new_folder
from galago.formats.safetensors import SINGLE_FILE, TensorSpec, writing
from galago.models import Tensor
from galago.packing import Bf16Weight

METADATA: Final = {"format": "pt"}  # transformers 4 refuses a file that does not say so
DTYPE_NAMES: Final = {"f32": "float32", "bf16": "bfloat16"}


def write(
    source: StrPath,
    destination: StrPath,
    dtype: Literal["f32", "bf16"] | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[str, int]:
    """Write the folder; returns the dtype and the bytes of weights. See `galago.export.export` for errors."""
    checkpoint = open_checkpoint(source)
    kind = dtype or ("bf16" if checkpoint.weights == "bf16" else "f32")
    specs = {tensor.spellings[0]: TensorSpec(kind.upper(), tensor.shape) for tensor in checkpoint.tensors}
    total, done = sum(spec.byte_count for spec in specs.values()), 0
    with new_folder(destination, needed_bytes=total) as folder:
        copy_companions(checkpoint.folder, folder)
        _name_dtype(folder, DTYPE_NAMES[kind])
        with writing(folder / SINGLE_FILE, specs, METADATA) as sink:
            for tensor in checkpoint.tensors:
                array = _dense(checkpoint, tensor, kind)
                sink.put(tensor.spellings[0], array)
                done += array.nbytes
                if progress is not None:
                    progress(done, total)
    return kind, total


def _dense(checkpoint: Checkpoint, tensor: Tensor, kind: str) -> NDArray[Any]:
    """A parameter as the published files have it: float32, or the bits of bf16; trailing axes apart again."""
    held = checkpoint.weight(tensor)
    if kind == "f32":
        return packing.to_dense(held).reshape(tensor.shape)
    if not isinstance(held, Bf16Weight):
        dense = packing.to_dense(held)
        held = packing.to_bf16(dense.reshape(len(dense), -1))
    return held.bits.reshape(tensor.shape)


def _name_dtype(folder: Path, name: str) -> None:
    """Say in config.json what the weights are now: transformers loads what it says."""
    path = folder / "config.json"
    config = read_json_object(path)
    places = [config, *(config[key] for key in ("text_config", "vision_config") if key in config)]
    for place in places:
        for key in ("dtype", "torch_dtype"):
            if key in place:
                place[key] = name
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
