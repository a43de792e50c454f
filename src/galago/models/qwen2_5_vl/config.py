"""Configuration of Qwen2.5-VL: the decoder's is Qwen2-VL's, the tower has windows of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galago.errors import ConfigError
from galago.frozen import frozen
from galago.models.config import ConfigReader
from galago.models.qwen2_vl.config import (
    TEXT_UNUSED,
    VISION_UNUSED,
    Config,
    TextConfig,
    VisionConfig,
    check_vision,
    parse_patches,
    parse_text,
    parse_tokens,
)


@frozen
class WindowedVisionConfig(VisionConfig):
    """Sizes of a tower most of whose blocks attend within windows."""

    window: int
    """Side of a window in pixels."""
    full_attention: frozenset[int]
    """Blocks that see the whole picture."""

    @property
    def window_cells(self) -> int:
        """Side of a window in merged cells."""
        return self.window // self.patch // self.merge


def parse_config(values: Mapping[str, Any]) -> Config:
    """config.json -> Config; raises ConfigError for unknown, missing or contradictory keys."""
    root = ConfigReader(values, "config.json")
    vision = ConfigReader(root.take("vision_config", dict), "vision_config")
    text = parse_text(root)
    seconds = float(vision.take("tokens_per_second", (int, float), 4))
    config = Config(
        text=text, vision=_parse_vision(vision, text), tokens_per_second=seconds, **parse_tokens(root)
    )
    root.finish(TEXT_UNUSED)
    return config


def _parse_vision(vision: ConfigReader, text: TextConfig) -> WindowedVisionConfig:
    vision.expect("hidden_act", "silu")
    config = WindowedVisionConfig(
        dim=vision.positive("hidden_size"),
        layers=vision.positive("depth"),
        heads=vision.positive("num_heads"),
        mlp_dim=vision.positive("intermediate_size"),
        out_dim=vision.positive("out_hidden_size"),
        window=vision.positive("window_size", 112),
        full_attention=frozenset(vision.take("fullatt_block_indexes", (list, tuple), (7, 15, 23, 31))),
        **parse_patches(vision),
    )
    vision.finish(VISION_UNUSED)
    check_vision(config, text)
    if config.window_cells < 1:
        raise ConfigError(f"vision_config: window_size {config.window} is smaller than one merged cell")
    return config
