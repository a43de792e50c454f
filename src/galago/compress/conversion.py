"""`convert`: a model folder of any kind -> one of Galago's own, in the layout that the kernels read."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args

from galago import packing
from galago.engine.checkpoint import open_checkpoint
from galago.errors import UsageError
from galago.files import StrPath
from galago.formats import packed
from galago.formats.folder import copy_companions, new_folder
from galago.formats.safetensors import SINGLE_FILE, writing
from galago.kernels.context import usable_processors
from galago.packing import Weight
from galago.types import Weights

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes of the whole."""


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
    group: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write the model `source` to the new folder `destination` with other weights.

    Tensors that have the wanted kind and group already are copied bit by bit. `group` columns share a scale
    (q4 and q8); None takes `packing.default_group`, and packed tensors in the group they have. One tensor is
    in memory at a time; the destination appears when it is complete.
    Raises UsageError when the destination exists, ModelError for a source that cannot be read, WeightError
    for values that cannot be packed and for a disk that is full.
    """
    if weights not in get_args(Weights):
        raise UsageError(f"weights are one of {', '.join(get_args(Weights))}, not {weights!r}")
    if group is not None:
        packing.check_group(8, group)
    checkpoint = open_checkpoint(source)
    kinds = {tensor.ours: tensor.kind(weights) for tensor in checkpoint.tensors}
    specs: dict[str, Any] = {}
    for tensor in checkpoint.tensors:
        specs |= packed.specs(tensor.ours, tensor.matrix or tensor.shape, kinds[tensor.ours], group)
    head = checkpoint.head
    assert head.matrix is not None
    is_screened = packed.is_worth_screening(head.matrix, kinds[head.ours])
    if is_screened:
        specs |= packed.specs(packed.screen_name(head.ours), head.matrix, "q4", group)
    total, done = sum(spec.byte_count for spec in specs.values()), 0

    def put(name: str, weight: Weight) -> None:
        nonlocal done
        for part, array in packed.arrays(name, weight).items():
            sink.put(part, array)
            done += array.nbytes
            if progress is not None:
                progress(done, total)

    with new_folder(destination, needed_bytes=total) as folder:
        copy_companions(checkpoint.folder, folder)
        with (
            writing(folder / SINGLE_FILE, specs, packed.metadata(weights)) as sink,
            ThreadPoolExecutor(usable_processors()) as threads,
        ):
            for tensor in checkpoint.tensors:
                put(tensor.ours, checkpoint.weight(tensor, weights, group=group, threads=threads))
            if is_screened:
                put(packed.screen_name(head.ours), checkpoint.coarse_head(weights, group, threads))
    before = sum(checkpoint.stored_bytes(tensor) for tensor in checkpoint.tensors)
    counts = {kind: list(kinds.values()).count(kind) for kind in dict.fromkeys(kinds.values())}
    return Conversion(Path(destination), weights, before, total, counts)
