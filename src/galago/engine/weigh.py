"""What a checkpoint's weights will take of memory, told from its header alone: none of them is read."""

from __future__ import annotations

import math

from galago import nn
from galago.engine.checkpoint import Checkpoint
from galago.formats import packed
from galago.frozen import frozen
from galago.models import Tensor
from galago.types import Weights


@frozen
class Weighed:
    """Bytes. Mapped weights are pages of the file, which can be given back; own ones are copies.

    `vision` are the mapped bytes of each part of the tower, `blocks` those of each block of the decoder;
    `screen` those of the coarse copy of the output projection, without which a model can do; `frame` is the
    rest of what is mapped.
    """

    own: int
    vision: tuple[int, ...]
    blocks: tuple[int, ...]
    frame: int
    screen: int
    converted: bool
    """Whether weights are converted while loading."""

    @property
    def mapped(self) -> int:
        """All that is mapped."""
        return sum(self.vision) + sum(self.blocks) + self.screen + self.frame

    @property
    def total(self) -> int:
        """All weights."""
        return self.own + self.mapped


def weigh(checkpoint: Checkpoint, weights: Weights | None) -> Weighed:
    """The weights when they are loaded as asked; None is as the file has them."""
    network = checkpoint.family.build(checkpoint.config)
    owner_of = {name: id(owner) for name, owner, _, _ in nn.parameters(network.module)}
    parts = [*network.vision_parts, *network.text_blocks]
    part_of = {id(owner): place for place, part in enumerate(parts) for _, owner, _, _ in nn.parameters(part)}
    mapped, own, converted = [0] * (len(parts) + 1), 0, False
    towers = len(network.vision_parts)
    for tensor in checkpoint.tensors:
        size, is_mapped = held(checkpoint, tensor, weights)
        place = part_of.get(owner_of[tensor.ours], len(parts))
        if is_mapped:
            mapped[place] += size
        else:
            own += size
            converted |= tensor.matrix is not None
    copy = checkpoint.screen(weights)
    screen = 0 if copy is None else copy.nbytes
    blocks = tuple(mapped[towers:-1])
    return Weighed(own, tuple(mapped[:towers]), blocks, mapped[-1], screen, converted)


def held(checkpoint: Checkpoint, tensor: Tensor, weights: Weights | None) -> tuple[int, bool]:
    """Bytes of one parameter, and whether they are the file's own pages."""
    stored = checkpoint.kind(tensor)
    if tensor.matrix is None:
        is_plain = all(checkpoint.stored[name].dtype == "F32" for name in checkpoint.spelling[tensor.ours])
        return 4 * math.prod(tensor.shape), is_plain
    wanted = stored if weights is None else tensor.kind(weights)
    if wanted == stored:
        names = checkpoint.spelling[tensor.ours]
        if checkpoint.stored[names[0]].dtype == "F16":  # no kernels read it: it is widened
            return 4 * math.prod(tensor.shape), len(names) > 1
        return checkpoint.stored_bytes(tensor), True
    parts = packed.specs(tensor.ours, tensor.matrix, wanted, None)
    return sum(spec.byte_count for spec in parts.values()), False
