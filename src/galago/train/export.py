"""A checkpoint of a training run as a model folder: what Galago and `transformers` both load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from galago.engine.checkpoint import open_checkpoint
from galago.errors import TrainingError
from galago.formats import safetensors
from galago.models import family
from galago.train import checkpoint
from galago.train.nano import NANO

FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def write_model(source: Path, folder: Path, *, average: bool = False) -> None:
    """Write the weights of checkpoint `source` in bfloat16, and nano's other files, into `folder`.

    With `average` the moving average of the weights is written: better than the last ones on the plateau, and
    behind them after settling. Raises TrainingError when the checkpoint is not of this model.
    """
    found = checkpoint.load(source)
    steps = {"steps": str(found.progress.step), "pictures": str(found.progress.pictures)}
    _write(found.average if average else found.masters, folder, str(source), steps)


def write_mean(sources: Sequence[str], folder: Path) -> None:
    """Write the mean of the weights of several models, names or folders, that one training went through.

    Better than each of them (Wortsman et al. 2022). Raises TrainingError when one is not of this model.
    """
    sums: dict[str, torch.Tensor] = {}
    for source in sources:
        found = open_checkpoint(source)
        for tensor in found.tensors:
            weight = torch.from_numpy(np.array(found.weight(tensor, "f32"), np.float32)) / len(sources)
            known = sums.get(tensor.ours)
            if known is not None and known.shape != weight.shape:
                raise TrainingError(f"{source} is another model than {sources[0]}: {tensor.ours} differs")
            sums[tensor.ours] = weight if known is None else known + weight
    _write(sums, folder, " and ".join(sources), {"mean_of": str(len(sources))})


def _write(weights: Mapping[str, torch.Tensor], folder: Path, source: str, facts: Mapping[str, str]) -> None:
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    chosen = family(config["model_type"])
    tensors = chosen.tensors(chosen.parse_config(config))
    missing = [tensor.ours for tensor in tensors if tensor.ours not in weights]
    if missing:
        raise TrainingError(f"{source} lacks {', '.join(missing[:3])}: it belongs to another model")
    bits = {tensor.spellings[0]: _bf16(weights[tensor.ours]).reshape(tensor.shape) for tensor in tensors}
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (folder / name).resolve() != (NANO / name).resolve():
            shutil.copyfile(NANO / name, folder / name)
    metadata = {"format": "pt", **facts}
    safetensors.write(folder / "model.safetensors", bits, metadata, dtypes=dict.fromkeys(bits, "BF16"))


def _bf16(weight: torch.Tensor) -> NDArray[np.uint16]:
    """The bits of a tensor rounded to bfloat16."""
    bits: NDArray[np.uint16] = weight.bfloat16().contiguous().view(torch.uint16).numpy()
    return bits
