"""What the layers of a model are given while it answers, and weights that are rounded for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from galago import device, kernels, nn, packing
from galago.compress.asking import QUESTIONS, pairs, request
from galago.compress.gptq import round_to_grid
from galago.engine.checkpoint import Checkpoint
from galago.engine.engine import Engine
from galago.engine.load import load_checkpoint
from galago.errors import UsageError, WeightError
from galago.frozen import frozen
from galago.kernels.observing import observing
from galago.models import Tensor
from galago.packing import PackedWeight, Weight

F32 = NDArray[np.float32]

LEAST_BYTES: Final = 1 << 30
"""Room for moments where less is free than twice this, or what is free is not known."""


@frozen
class Calibration:
    """Every question is asked about every picture; with `apart`, each picture has a question of its own.

    The answers, at most `max_tokens` long, count like the prompts. `moments_bytes` bounds what is gathered at
    a time; more than that takes more rounds of the same answers. None is half of what is free.
    """

    pictures: Sequence[Any]
    questions: Sequence[str] = QUESTIONS
    apart: bool = False
    max_tokens: int = 24
    moments_bytes: int | None = None

    def __post_init__(self) -> None:
        _ = self.asked

    @property
    def asked(self) -> list[tuple[Any, str]]:
        """Pictures with their questions; raises UsageError where there are none, or not as many."""
        return pairs(self.pictures, self.questions, apart=self.apart, what="calibration")


def calibrated(
    checkpoint: Checkpoint,
    tensors: Sequence[Tensor],
    calibration: Calibration,
    *,
    group: int | None,
    answered: Callable[[], None],
) -> Iterator[tuple[str, PackedWeight]]:
    """The tensors as q4 weights, by name. `answered` is called after every answer.

    A tensor that no answer needs is packed as without calibration. Raises UsageError for one that is q4
    already, WeightError where the model computes numbers that are not finite, and what reading pictures
    raises.
    """
    for tensor in tensors:
        if checkpoint.kind(tensor) == "q4":
            raise UsageError(
                f"{checkpoint.folder} is q4 already",
                hint="calibrate when the original is converted",
            )
    engine = Engine(load_checkpoint(checkpoint))
    for batch in _batches(tensors, calibration.moments_bytes or _room()):
        moments = _gather(engine, {tensor.ours for tensor in batch}, calibration, answered)
        for tensor in batch:
            dense = packing.to_dense(checkpoint.weight(tensor))
            found = moments.get(tensor.ours)
            if found is None:
                yield tensor.ours, kernels.pack(dense, 4, group)
            else:
                yield tensor.ours, round_to_grid(dense, found, group)


def _room() -> int:
    free = device.available_memory().value
    return max(LEAST_BYTES, (free or 0) // 2)


def _batches(tensors: Sequence[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Tensors whose moments together have at most so many bytes, at least one at a time."""
    batch: list[Tensor] = []
    size = 0
    for tensor in tensors:
        assert tensor.matrix is not None
        own = 4 * tensor.matrix[1] ** 2
        if batch and size + own > most:
            yield batch
            batch, size = [], 0
        batch.append(tensor)
        size += own
    if batch:
        yield batch


def _gather(
    engine: Engine, names: set[str], calibration: Calibration, answered: Callable[[], None]
) -> dict[str, F32]:
    """By name of a weight the sum of x x^T over all rows x that it was multiplied with: [K, K]."""
    network = engine.model.network
    named = {id(value): name for name, _, _, value in nn.parameters(network.module) if name in names}
    found: dict[str, F32] = {}

    def observe(x: F32, weights: Sequence[Weight]) -> None:
        mine = [named[id(weight)] for weight in weights if id(weight) in named]
        if mine:
            sums = found.setdefault(mine[0], np.zeros((x.shape[1], x.shape[1]), np.float32))
            sums += x.T @ x
            found.update(dict.fromkeys(mine, sums))  # what is multiplied together has one input

    engine.prefixes.clear()  # what an earlier round left would not be computed again
    with observing(observe):
        for picture, question in calibration.asked:
            engine.answer([request(picture, question, calibration.max_tokens)])
            answered()
    for name, sums in found.items():
        if not np.isfinite(sums).all():
            raise WeightError(
                f"{engine.model.name} computes numbers that are not finite before {name}",
                hint="calibrate with other pictures, or convert without",
            )
    return found
