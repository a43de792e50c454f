"""`convert`: a model folder of any kind -> one of Galago's own, in the layout that the kernels read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, get_args

from galago import packing
from galago.compress.calibration import Calibration, calibrated
from galago.engine.checkpoint import Checkpoint, open_checkpoint
from galago.errors import UsageError
from galago.files import StrPath
from galago.formats import packed
from galago.formats.folder import copy_companions, new_folder
from galago.formats.safetensors import SINGLE_FILE, TensorSpec, writing
from galago.frozen import frozen
from galago.kernels.context import usable_processors
from galago.packing import Weight
from galago.types import Weights

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes written so far and the bytes of the whole."""


@frozen
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
    calibration: Calibration | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Write the model `source` to the new folder `destination` with other weights.

    Tensors that have the wanted kind and group already are copied bit by bit. `group` columns share a scale
    (q4 and q8); None takes `packing.default_group`, and packed tensors in the group they have. One tensor is
    in memory at a time; the destination appears when it is complete. With a calibration, which only q4 takes,
    weights are rounded for what they are multiplied with while the model answers (see `compress.gptq`).
    Raises UsageError when the destination exists, ModelError for a source that cannot be read, WeightError
    for values that cannot be packed and for a disk that is full.
    """
    if weights not in get_args(Weights):
        raise UsageError(f"weights are one of {', '.join(get_args(Weights))}, not {weights!r}")
    if group is not None:
        packing.check_group(8, group)
    if calibration is not None and weights != "q4":
        raise UsageError(f"a calibration is for q4 weights, not for {weights}")
    checkpoint = open_checkpoint(source)
    kinds = {tensor.ours: tensor.kind(weights) for tensor in checkpoint.tensors}
    specs = _specs(checkpoint, weights, group)
    total, done = sum(spec.byte_count for spec in specs.values()), 0

    def tell() -> None:
        if progress is not None:
            progress(done, total)

    with new_folder(destination, needed_bytes=total) as folder:
        copy_companions(checkpoint.folder, folder)
        with (
            writing(folder / SINGLE_FILE, specs, packed.metadata(weights)) as sink,
            ThreadPoolExecutor(usable_processors()) as threads,
        ):
            made = _converted(checkpoint, weights, group, calibration, threads, tell)
            for name, weight in made:
                for part, array in packed.arrays(name, weight).items():
                    sink.put(part, array)
                    done += array.nbytes
                    tell()
    before = sum(checkpoint.stored_bytes(tensor) for tensor in checkpoint.tensors)
    counts = {kind: list(kinds.values()).count(kind) for kind in dict.fromkeys(kinds.values())}
    return Conversion(Path(destination), weights, before, total, counts)


def _specs(checkpoint: Checkpoint, weights: Weights, group: int | None) -> dict[str, TensorSpec]:
    """What the new file holds."""
    specs: dict[str, TensorSpec] = {}
    for tensor in checkpoint.tensors:
        specs |= packed.specs(tensor.ours, tensor.matrix or tensor.shape, tensor.kind(weights), group)
    screen, matrix = _screen(checkpoint, weights), checkpoint.head.matrix
    if screen is not None and matrix is not None:
        specs |= packed.specs(screen, matrix, "q4", group)
    return specs


def _screen(checkpoint: Checkpoint, weights: Weights) -> str | None:
    """The name of the output projection's coarse copy, None where there is to be none."""
    head = checkpoint.head
    is_large = head.matrix is not None and packed.is_worth_screening(head.matrix, head.kind(weights))
    return packed.screen_name(head.ours) if is_large else None


def _converted(
    checkpoint: Checkpoint,
    weights: Weights,
    group: int | None,
    calibration: Calibration | None,
    threads: Executor,
    answered: Callable[[], None],
) -> Iterator[tuple[str, Weight]]:
    """All that `_specs` plans, one at a time, in any order."""
    plain = list(checkpoint.tensors)
    if calibration is not None:
        rounded = [tensor for tensor in plain if tensor.kind(weights) == "q4"]
        plain = [tensor for tensor in plain if tensor.kind(weights) != "q4"]
        yield from calibrated(checkpoint, rounded, calibration, group=group, answered=answered)
    for tensor in plain:
        yield tensor.ours, checkpoint.weight(tensor, weights, group=group, threads=threads)
    screen = _screen(checkpoint, weights)
    if screen is not None:
        yield screen, checkpoint.coarse_head(weights, group, threads)
