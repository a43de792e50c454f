"""A checkpoint of a training run as a model folder: what Galago and `transformers` both load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

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
    weights = found.average if average else found.masters
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
    metadata = {"format": "pt", "steps": str(found.progress.step), "pictures": str(found.progress.pictures)}
    safetensors.write(folder / "model.safetensors", bits, metadata, dtypes=dict.fromkeys(bits, "BF16"))


def _bf16(weight: torch.Tensor) -> NDArray[np.uint16]:
    """The bits of a tensor rounded to bfloat16."""
    bits: NDArray[np.uint16] = weight.bfloat16().contiguous().view(torch.uint16).numpy()
    return bits
