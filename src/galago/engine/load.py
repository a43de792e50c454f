"""From a folder to a model that can compute: weights, preprocessing, tokenizer, template, end tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from functools import cached_property, partial
from typing import TYPE_CHECKING

from galago import kernels, nn
from galago.engine.checkpoint import Checkpoint
from galago.engine.features import Maker
from galago.engine.frugal import frugal, share_one_heap
from galago.engine.generation_config import GenerationConfig, read_generation_config
from galago.engine.later import Later
from galago.engine.memory import MemoryPlan
from galago.engine.room import would_fit
from galago.frozen import frozen
from galago.kernels.context import usable_processors
from galago.models import Family, ModelConfig, Processor, Tensor, VisionLanguageModel
from galago.text import Tokenizer
from galago.types import Weights

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from galago.text import ChatTemplate

Progress = Callable[[int, int], None]
"""Told (bytes of the file converted, all bytes to convert); not called when nothing is to be converted."""


@frozen(eq=False)
class LoadedModel:
    """All that an engine needs of one model. Weights may be memory-mapped: the files must stay in place."""

    checkpoint: Checkpoint
    network: VisionLanguageModel
    processor: Processor
    tokenizer: Tokenizer
    generation: GenerationConfig
    weights: Weights
    weights_bytes: int
    load_s: float
    plan: MemoryPlan | None = None
    device: kernels.Device = field(default_factory=kernels.Host)

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together: the model's own bound, or what memory has room for."""
        return self.config.context if self.plan is None else self.plan.context

    @property
    def name(self) -> str:
        """What answers call the model."""
        return self.checkpoint.source.name

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return self.generation.end_ids

    @property
    def family(self) -> Family:
        """The family the model belongs to."""
        return self.checkpoint.family

    @property
    def config(self) -> ModelConfig:
        """The family's configuration."""
        return self.checkpoint.config

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template; raises ConfigError when the folder has none."""
        from galago.text import ChatTemplate

        return ChatTemplate.from_folder(self.checkpoint.folder)

    def computing(self) -> AbstractContextManager[None]:
        """What the network computes in; raises OutOfMemoryError when memory is full."""
        return self.device.computing(partial(would_fit, self.checkpoint))

    @cached_property
    def maker(self) -> Maker:
        """Who makes features with this model."""
        return Maker(self.name, self.checkpoint.revision, self.device.precision(self.weights))


def load_checkpoint(
    checkpoint: Checkpoint,
    *,
    device: kernels.Device | None = None,
    weights: Weights | None = None,
    progress: Progress | None = None,
    plan: MemoryPlan | None = None,
) -> LoadedModel:
    """Load an opened checkpoint onto a device (by default the host), converting its weights where asked to.

    A plan is one of the host's memory. Raises ConfigError or WeightError, each naming what is wrong, and
    OutOfMemoryError where it does not fit.
    """
    device = device or kernels.Host()
    assert plan is None or device.is_host
    start = time.perf_counter()
    folder = checkpoint.folder
    share_one_heap()  # before there is any thread: glibc counts heaps once
    tokenizer = Later(partial(Tokenizer.from_folder, folder))  # half of the time of a large model
    processor = checkpoint.processor()
    network = checkpoint.family.build(checkpoint.config)
    with device.computing(partial(would_fit, checkpoint)):
        held = fill(network, checkpoint, weights, progress, device)
        screen = checkpoint.screen(weights) if device.is_host else None
        if screen is not None and (plan is None or plan.is_screened):
            network.screen_with(screen)
            held += screen.nbytes
        device.synchronise()
    return LoadedModel(
        checkpoint,
        network if plan is None else frugal(network, plan),
        within(processor, checkpoint.config.context, plan),
        tokenizer=tokenizer.value(),
        generation=read_generation_config(folder, checkpoint.config.vocabulary),
        weights=weights or checkpoint.weights,
        weights_bytes=held,
        load_s=time.perf_counter() - start,
        plan=plan,
        device=device,
    )


def fill(
    network: VisionLanguageModel,
    checkpoint: Checkpoint,
    weights: Weights | None,
    progress: Progress | None,
    device: kernels.Device,
) -> int:
    """Put a checkpoint's weights into a network, one tensor at a time; the bytes that it now holds."""
    table = {tensor.ours: tensor for tensor in checkpoint.tensors}
    to_convert = {
        tensor.ours: checkpoint.stored_bytes(tensor)
        for tensor in checkpoint.tensors
        if weights is not None and tensor.matrix and checkpoint.kind(tensor) != tensor.kind(weights)
    }
    total, done, held = sum(to_convert.values()), 0, 0
    threads = _executor() if weights is not None else None

    def get(name: str, place: nn.Parameter) -> nn.Array:
        nonlocal done, held
        tensor: Tensor = table[name]
        assert place.shape == (tensor.matrix or tensor.shape), (name, place.shape, tensor.shape)
        weight = device.hold(checkpoint.weight(tensor, weights, threads=threads))
        held += weight.nbytes
        if name in to_convert:
            done += to_convert[name]
            if progress is not None:
                progress(done, total)
        return weight

    with threads or nullcontext():
        nn.assign(network.module, get)
    return held


def within(processor: Processor, context: int, plan: MemoryPlan | None) -> Processor:
    """The processor within what memory has room for, where that is less than any prompt has."""
    if plan is None or plan.image_tokens >= context:
        return processor
    return processor.limited(plan.image_tokens * processor.pixels_per_token)


def _executor() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # only where there is something to convert

    return ThreadPoolExecutor(usable_processors())
