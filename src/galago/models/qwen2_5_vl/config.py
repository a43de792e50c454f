"""Configuration of Qwen2.5-VL: the decoder's is Qwen2-VL's, the tower has windows of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galago.errors import ConfigError
from galago.frozen import frozen
from galago.models.config import OWN_FILE, ConfigReader
from galago.models.qwen2_vl.config import (
    MOST_LAYERS,
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
    vision = root.inside("vision_config")
    text = parse_text(root)
    seconds = vision.number("tokens_per_second", 4)
    config = Config(
        text=text, vision=_parse_vision(vision, text), tokens_per_second=seconds, **parse_tokens(root, text)
    )
    root.finish(TEXT_UNUSED)
    return config


def _parse_vision(vision: ConfigReader, text: TextConfig) -> WindowedVisionConfig:
    vision.expect("hidden_act", "silu")
    whole = (7, 15, 23, 31)  # of a tower with fewer blocks, those it has
    config = WindowedVisionConfig(
        dim=vision.positive("hidden_size"),
        layers=vision.positive("depth", most=MOST_LAYERS),
        heads=vision.positive("num_heads"),
        mlp_dim=vision.positive("intermediate_size"),
        out_dim=vision.positive("out_hidden_size"),
        window=vision.positive("window_size", 112),
        full_attention=frozenset(vision.numbers("fullatt_block_indexes", int, whole, 0, MOST_LAYERS)),
        **parse_patches(vision),
    )
    vision.finish(VISION_UNUSED)
    check_vision(config, text)
    if config.window_cells < 1:
        raise ConfigError(
            f"config.json's vision_config: window_size {config.window} is smaller than one merged cell",
            hint=OWN_FILE,
        )
    return config
