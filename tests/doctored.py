"""Models made to fail or to say what a test wants: edited checkpoints, and networks with a script."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from checkpoints import write_safetensors
from galago import Model
from galago.engine.engine import Engine


def edited(folder: Path, target: Path, change: Callable[[dict[str, np.ndarray]], Any]) -> Path:
    """A copy of a float32 checkpoint with `change` made to its tensors."""
    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    write_safetensors(target / "model.safetensors", tensors)
    return target


def configured(folder: Path, target: Path, file: str = "config.json", **changes: Any) -> Path:
    """A copy of a checkpoint with keys of a JSON file replaced, or removed where the value is None."""
    shutil.copytree(folder, target)
    values = json.loads((target / file).read_text()) | changes
    (target / file).write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return target


class Scripted:
    """A network that computes as the given one; its logits name the tokens of the script one after the other.

    Which one is told by a row's position after the first row whose logits were asked for: a row of a draft is
    answered as it is when it comes alone.
    """

    def __init__(self, network: Any, script: Sequence[int], vocabulary: int) -> None:
        self._network, self._vocabulary = network, vocabulary
        self._script = list(script)
        self._first: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def decode(self, x: np.ndarray, positions: np.ndarray, cache: Any, wanted: Any = None) -> np.ndarray:
        hidden = self._network.decode(x, positions, cache, wanted).copy()
        hidden[:, 0] = positions[0] if wanted is None else positions[0][wanted]
        return hidden

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        places = hidden[:, 0].astype(int)
        self._first = int(places[0]) if self._first is None else self._first
        rows = np.zeros((len(hidden), self._vocabulary), np.float32)
        for row, place in zip(rows, places, strict=True):
            row[self._script[min(place - self._first, len(self._script) - 1)]] = 9
        return rows

    def best_logits(self, hidden: np.ndarray, _best: int) -> np.ndarray:
        return self.logits(hidden)


def saying(model: Model, text: str | Sequence[int]) -> Model:
    """A model like this one that answers with a text, or with tokens, and then ends."""
    loaded = model.engine.model
    tokens = loaded.tokenizer.encode(text) if isinstance(text, str) else list(text)
    script = [*tokens, loaded.end_ids[0]]
    network = Scripted(loaded.network, script, loaded.config.vocabulary)
    return Model(Engine(replace(loaded, network=network)))
