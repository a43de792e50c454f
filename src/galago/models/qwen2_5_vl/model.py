"""The whole model: Qwen2-VL's decoder behind a windowed tower."""

from __future__ import annotations

from galago.models.qwen2_5_vl.config import WindowedVisionConfig
from galago.models.qwen2_5_vl.vision import WindowedTower
from galago.models.qwen2_vl.config import Config
from galago.models.qwen2_vl.language import Decoder
from galago.models.qwen2_vl.model import Model


def build(config: Config) -> Model:
    """A model with placeholders for its arrays."""
    assert isinstance(config.vision, WindowedVisionConfig)
    return Model(WindowedTower(config.vision), Decoder(config.text))
