"""`convert`: a model folder of any kind -> one of Galago's own, in the layout that the kernels read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from galago import packing
from galago.engine.checkpoint import Checkpoint, open_checkpoint
from galago.errors import UsageError, WeightError
from galago.files import StrPath
from galago.formats import packed
from galago.formats.folder import copy_companions, new_folder
from galago.formats.safetensors import SINGLE_FILE, writing
from galago.kernels.context import usable_processors
from galago.models import Tensor
from galago.packing import PANEL, Bf16Weight, PackedWeight, Weight
from galago.types import Weights

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes of the whole."""

_BLOCK_VALUES = 1 << 22
"""Values that one thread converts at a time: a few of these are all the float32 there is in memory."""


@dataclass(frozen=True)
class Conversion:
    """What `convert` made. Sizes are of weights, in bytes."""

    folder: Path
    weights: Weights
    bytes_before: int
    bytes_after: int
    tensors: dict[Weights, int]
    """How many tensors have each kind: some are never packed below a kind (see `models.Tensor.floor`)."""


def convert(
    source: StrPath,
    destination: StrPath,
    *,
    weights: Weights = "q4",
    group: int = 32,
    progress: Progress | None = None,
) -> Conversion:
    """Write the model `source` to the new folder `destination` with other weights.

    Tensors that have the wanted kind and group already are copied bit by bit. `group` columns share a scale
    and an offset (q4 and q8). One tensor is in memory at a time; the destination appears when it is complete.
    Raises UsageError when the destination exists, ModelError for a source that cannot be read, WeightError
    for values that cannot be packed and for a disk that is full.
    """
    if weights not in get_args(Weights):
        raise UsageError(f"weights are one of {', '.join(get_args(Weights))}, not {weights!r}")
    packing.check_group(8, group)
    checkpoint = open_checkpoint(source)
    kinds = {tensor.ours: tensor.kind(weights) for tensor in checkpoint.tensors}
    specs: dict[str, Any] = {}
    for tensor in checkpoint.tensors:
        specs |= packed.specs(tensor.ours, tensor.matrix or tensor.shape, kinds[tensor.ours], group)
    total, done = sum(spec.byte_count for spec in specs.values()), 0
    with (
        new_folder(destination, needed_bytes=total) as folder,
        writing(folder / SINGLE_FILE, specs, packed.metadata(weights)) as sink,
        ThreadPoolExecutor(usable_processors()) as threads,
    ):
        copy_companions(checkpoint.folder, folder)
        for tensor in checkpoint.tensors:
            weight = _as_kind(checkpoint, tensor, kinds[tensor.ours], group, threads)
            for name, array in packed.arrays(tensor.ours, weight).items():
                sink.put(name, array)
                done += array.nbytes
                if progress is not None:
                    progress(done, total)
    before = sum(checkpoint.stored_bytes(tensor) for tensor in checkpoint.tensors)
    counts = {kind: list(kinds.values()).count(kind) for kind in dict.fromkeys(kinds.values())}
    return Conversion(Path(destination), weights, before, total, counts)


def _as_kind(
    checkpoint: Checkpoint, tensor: Tensor, kind: Weights, group: int, threads: ThreadPoolExecutor
) -> Weight:
    """A parameter in the wanted kind: a matrix in blocks of rows, a vector as it is."""
    held = checkpoint.weight(tensor)
    if tensor.matrix is None or _is_already(held, kind, group):
        return held
    try:
        parts = list(threads.map(lambda rows: _convert_rows(held, rows, kind, group), _blocks(tensor.matrix)))
    except WeightError as error:
        raise WeightError(
            f"{checkpoint.folder}: {tensor.spellings[0]} cannot be converted: {error}"
        ) from error
    return _joined(parts, tensor.matrix)


def _is_already(weight: Weight, kind: Weights, group: int) -> bool:
    if isinstance(weight, PackedWeight):
        return f"q{weight.bits}" == kind and weight.group == group
    return kind == ("bf16" if isinstance(weight, Bf16Weight) else "f32")


def _blocks(shape: tuple[int, int]) -> Iterator[NDArray[np.int64]]:
    """Row numbers in blocks of whole panels."""
    step = max(1, _BLOCK_VALUES // (shape[1] * PANEL)) * PANEL
    for start in range(0, shape[0], step):
        yield np.arange(start, min(start + step, shape[0]))


def _convert_rows(weight: Weight, rows: NDArray[np.int64], kind: Weights, group: int) -> Weight:
    dense = packing.take_rows(weight, rows)
    if kind in ("q4", "q8"):
        return packing.pack(dense, 4 if kind == "q4" else 8, group)
    return packing.to_bf16(dense) if kind == "bf16" else dense


def _joined(parts: list[Any], shape: tuple[int, int]) -> Weight:
    """Blocks of rows as one weight; all but the last are whole panels."""
    first = parts[0]
    if len(parts) == 1:
        whole: Weight = first
    elif isinstance(first, PackedWeight):
        codes, scales, offsets = (
            np.concatenate([getattr(part, name) for part in parts]) for name in packed.PARTS
        )
        whole = PackedWeight(first.bits, first.group, *shape, codes, scales, offsets)
    elif isinstance(first, Bf16Weight):
        whole = Bf16Weight(np.concatenate([part.bits for part in parts]))
    else:
        whole = np.concatenate(parts)
    return whole
