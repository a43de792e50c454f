"""From a folder to a model that can compute: weights, preprocessing, tokenizer, template, end tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galago import nn
from galago.engine.checkpoint import Checkpoint
from galago.engine.features import Maker
from galago.engine.generation_config import GenerationConfig, read_generation_config
from galago.errors import ConfigError
from galago.files import read_json_object
from galago.kernels.context import usable_processors
from galago.models import Family, ModelConfig, Processor, Tensor, VisionLanguageModel
from galago.packing import Weight
from galago.text import Tokenizer
from galago.types import Weights

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from galago.text import ChatTemplate

Progress = Callable[[int, int], None]
"""Told (bytes of the file converted, all bytes to convert); not called when nothing is to be converted."""


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def maker(self) -> Maker:
        """Who makes features with this model."""
        return Maker(self.name, self.checkpoint.revision, self.weights)


def load_checkpoint(
    checkpoint: Checkpoint, *, weights: Weights | None = None, progress: Progress | None = None
) -> LoadedModel:
    """Load an opened checkpoint, converting its weights when others are asked for.

    Raises ConfigError or WeightError, each naming what is wrong.
    """
    start = time.perf_counter()
    folder = checkpoint.folder
    processor = checkpoint.family.processor(checkpoint.config, _processor_settings(folder))
    network = checkpoint.family.build(checkpoint.config)
    held = fill(network, checkpoint, weights, progress)
    return LoadedModel(
        checkpoint,
        network,
        processor,
        tokenizer=Tokenizer.from_folder(folder),
        generation=read_generation_config(folder, checkpoint.config.vocabulary),
        weights=weights or checkpoint.weights,
        weights_bytes=held,
        load_s=time.perf_counter() - start,
    )


def fill(
    network: VisionLanguageModel, checkpoint: Checkpoint, weights: Weights | None, progress: Progress | None
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

    def get(name: str, place: nn.Parameter) -> Weight:
        nonlocal done, held
        tensor: Tensor = table[name]
        assert place.shape == (tensor.matrix or tensor.shape), (name, place.shape, tensor.shape)
        weight = checkpoint.weight(tensor, weights, threads=threads)
        held += weight.nbytes
        if name in to_convert:
            done += to_convert[name]
            if progress is not None:
                progress(done, total)
        return weight

    with threads or nullcontext():
        nn.assign(network.module, get)
    return held


def _executor() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # only where there is something to convert

    return ThreadPoolExecutor(usable_processors())


def _processor_settings(folder: Path) -> dict[str, Any]:
    """The image processor's settings, in the layout of either generation of files."""
    file = folder / "preprocessor_config.json"
    if file.exists():
        return read_json_object(file)
    hint = "the folder needs preprocessor_config.json or processor_config.json"
    nested = read_json_object(folder / "processor_config.json", hint=hint).get("image_processor")
    if not isinstance(nested, dict):
        raise ConfigError(f"{folder / 'processor_config.json'} has no image_processor", hint=hint)
    return nested
