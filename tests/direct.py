"""The model classes without an engine: a checkpoint's arrays put into them, one sequence, the simplest cache.

What is proven with it is the arithmetic of a family; the engine is proven by the same cases on its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from cases import Case
from galago import kernels, models, nn
from galago.models import Visual


class GrowingCache:
    """All keys and values of one sequence, one array per layer."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Any, Any]] = {}

    def attend(self, layer: int, q: Any, k: Any, v: Any) -> Any:
        if layer in self.kept:
            k, v = (
                kernels.concatenate([old, new]) for old, new in zip(self.kept[layer], (k, v), strict=True)
            )
        self.kept[layer] = k, v
        return kernels.attention(q, k, v, causal=True)


class Direct:
    """A float32 checkpoint in one file, its arrays as numpy (by default) or whatever `wrap` makes of them."""

    def __init__(self, folder: Path, wrap: Callable[[np.ndarray], Any] = lambda array: array) -> None:
        self.wrap = wrap
        settings = json.loads((folder / "config.json").read_text())
        self.family = models.family(settings["model_type"])
        config = self.family.parse_config(settings)
        self.processor = self.family.processor(
            config, json.loads((folder / "preprocessor_config.json").read_text())
        )
        stored = load_file(folder / "model.safetensors")
        spelled = {tensor.ours: tensor.spellings[0] for tensor in self.family.tensors(config)}
        self.model = self.family.build(config)
        nn.assign(self.model.module, lambda name, place: wrap(stored[spelled[name]].reshape(place.shape)))

    def visuals(self, case: Case) -> list[Visual]:
        """In the order of the prompt."""
        visuals = []
        for part in case.parts:
            if isinstance(part, np.ndarray):
                visuals.append(self.processor.image(part))
            elif isinstance(part, tuple):
                visuals.append(self.processor.video(*part))
        return visuals

    def positions(self, ids: np.ndarray, case: Case) -> tuple[np.ndarray, int]:
        return self.processor.positions(ids, self.visuals(case))

    def inputs(self, ids: np.ndarray, case: Case) -> Any:
        """Embeddings [T, dim] with the features of each visual in the place of its tokens."""
        rows = self.model.embed(ids)
        visuals = self.visuals(case)
        if not visuals:
            return rows
        patches = self.wrap(np.concatenate([visual.patches for visual in visuals]))
        features = self.model.encode(patches, [visual.grid for visual in visuals])
        both = kernels.concatenate([rows, features])
        where = np.arange(len(ids))
        where[self.is_visual(ids)] = len(ids) + np.arange(len(features))
        return kernels.take(both, where)

    def is_visual(self, ids: np.ndarray) -> np.ndarray:
        return np.isin(ids, (self.processor.image_token, self.processor.video_token))

    def logits(self, ids: np.ndarray, case: Case, chunk: int | None = None) -> np.ndarray:
        """[T, vocabulary], in one piece or in chunks of so many tokens."""
        x, cache = self.inputs(ids, case), GrowingCache()
        positions, _ = self.positions(ids, case)
        chunk = chunk or len(ids)
        pieces = [
            self.model.decode(x[at : at + chunk], positions[:, at : at + chunk], cache)
            for at in range(0, len(ids), chunk)
        ]
        return kernels.to_numpy(self.model.logits(kernels.concatenate(pieces)))

    def greedy(self, ids: np.ndarray, case: Case, count: int) -> list[int]:
        """The next `count` tokens, each decoded on top of the cache."""
        x, cache = self.inputs(ids, case), GrowingCache()
        positions, following = self.positions(ids, case)
        tokens: list[int] = []
        while True:
            hidden = self.model.decode(x, positions, cache)[-1:]
            tokens.append(int(kernels.to_numpy(self.model.logits(hidden)).argmax()))
            if len(tokens) == count:
                return tokens
            x, positions = self.model.embed(np.array(tokens[-1:])), np.full((3, 1), following)
            following += 1
