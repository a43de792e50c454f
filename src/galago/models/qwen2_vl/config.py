"""Configuration of Qwen2-VL: the published flat layout, the nested one of transformers 5, and both in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galago.errors import ConfigError
from galago.frozen import frozen
from galago.models.config import OWN_FILE, ConfigReader

TEXT_UNUSED = (
    "attention_dropout", "bos_token_id", "eos_token_id", "max_window_layers", "pad_token_id",
    "sliding_window", "tie_word_embeddings", "base_model_tp_plan", "image_token_id", "video_token_id",
    "vision_token_id", "vision_start_token_id", "vision_end_token_id",
)  # fmt: skip
VISION_UNUSED = ("in_chans", "spatial_patch_size", "rope_parameters")
MOST_LAYERS = 1000
"""More than any model has."""


@frozen
class TextConfig:
    """Sizes of the decoder."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_dim: int
    vocabulary: int
    context: int
    norm_eps: float
    rope_base: float
    rope_sections: tuple[int, int, int]
    tied: bool


@frozen
class VisionConfig:
    """Sizes of the vision tower; `out_dim` is the decoder's width."""

    dim: int
    layers: int
    heads: int
    mlp_dim: int
    out_dim: int
    patch: int
    temporal_patch: int
    merge: int

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads

    @property
    def patch_values(self) -> int:
        """Numbers in one flattened patch: 3 channels, `temporal_patch` frames, `patch` squared pixels."""
        return 3 * self.temporal_patch * self.patch**2


@frozen
class Config:
    """A checkpoint of the family."""

    text: TextConfig
    vision: VisionConfig
    image_token: int
    video_token: int
    vision_start_token: int
    vision_end_token: int
    tokens_per_second: float | None = None
    """Position steps of one second of video; None counts temporal patches instead."""

    @property
    def context(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.text.context

    @property
    def vocabulary(self) -> int:
        """Logits of one token."""
        return self.text.vocabulary

    @property
    def feature_values(self) -> int:
        """Features of one visual token: the decoder's width."""
        return self.text.dim

    @property
    def cache_values(self) -> int:
        """Keys and values of one token in every layer."""
        return 2 * self.text.layers * self.text.kv_heads * self.text.head_dim


def parse_config(values: Mapping[str, Any]) -> Config:
    """config.json -> Config; raises ConfigError for unknown, missing or contradictory keys."""
    root = ConfigReader(values, "config.json")
    vision = root.inside("vision_config")
    text = parse_text(root)
    config = Config(text=text, vision=parse_vision(vision, text), **parse_tokens(root, text))
    root.finish(TEXT_UNUSED)
    return config


def parse_tokens(root: ConfigReader, text: TextConfig) -> dict[str, int]:
    """The ids of the placeholder tokens."""
    names = {
        "image_token": ("image_token_id", 151655),
        "video_token": ("video_token_id", 151656),
        "vision_start_token": ("vision_start_token_id", 151652),
        "vision_end_token": ("vision_end_token_id", 151653),
    }
    root.expect("vision_token_id", root.values.get("vision_token_id"))  # the padding of an unused prompt form
    last = text.vocabulary - 1
    return {ours: root.whole(key, default, most=last) for ours, (key, default) in names.items()}


def parse_text(root: ConfigReader) -> TextConfig:
    """The decoder's sizes, from `text_config` where there is one, else from the root itself."""
    nested = root.has("text_config")
    text = root.inside("text_config") if nested else root
    layers = text.positive("num_hidden_layers", most=MOST_LAYERS)
    dim, heads = text.positive("hidden_size"), text.positive("num_attention_heads")
    text.expect("hidden_act", "silu")
    text.expect("use_sliding_window", False)
    text.expect("layer_types", None, ["full_attention"] * layers)
    rope = ConfigReader(_rope(text), f"{text.where}'s rope_parameters")
    base = rope.number("rope_theta", 1_000_000.0)
    head_dim = text.positive("head_dim", dim // heads)
    rope.expect("type", "mrope", "default")
    rope.expect("rope_type", "mrope", "default")
    sections = rope.numbers("mrope_section", int, (16, 24, 24), 0, head_dim, count=3)
    rope.finish()
    tied = [place.take("tie_word_embeddings", bool, False) for place in (root, text)]  # either may say it
    config = TextConfig(
        dim=dim,
        layers=layers,
        heads=heads,
        kv_heads=text.positive("num_key_value_heads", heads),
        head_dim=head_dim,
        mlp_dim=text.positive("intermediate_size"),
        vocabulary=text.positive("vocab_size"),
        context=text.positive("max_position_embeddings", 32768),
        norm_eps=text.number("rms_norm_eps"),
        rope_base=base,
        rope_sections=sections,
        tied=any(tied),
    )
    if heads % config.kv_heads or 2 * sum(sections) != head_dim:
        raise ConfigError(
            f"{text.where}: {heads} heads over {config.kv_heads} key/value heads of size {head_dim} do not go"
            f" with rotary sections {list(sections)}",
            hint=OWN_FILE,
        )
    if nested:
        text.finish(TEXT_UNUSED)
        # transformers 4.52 to 4.57 write everything twice
        root.take_copies(text, unchecked=("rope_scaling", "tie_word_embeddings"))
    return config


def _rope(text: ConfigReader) -> dict[str, Any]:
    """Rotary settings in either layout, merged into one mapping."""
    old = text.take("rope_scaling", dict, {})
    new = text.take("rope_parameters", dict, {})
    theta = {"rope_theta": text.take("rope_theta", (int, float))} if text.has("rope_theta") else {}
    return {**theta, **old, **new}


def parse_vision(vision: ConfigReader, text: TextConfig) -> VisionConfig:
    """The tower's sizes. Here `hidden_size` is the decoder's width and `embed_dim` the tower's."""
    vision.expect("hidden_act", "quick_gelu")
    dim = vision.positive("embed_dim")
    config = VisionConfig(
        dim=dim,
        layers=vision.positive("depth", most=MOST_LAYERS),
        heads=vision.positive("num_heads"),
        mlp_dim=dim * vision.positive("mlp_ratio", 4),
        out_dim=vision.positive("hidden_size"),
        **parse_patches(vision),
    )
    vision.finish(VISION_UNUSED)
    check_vision(config, text)
    return config


def parse_patches(vision: ConfigReader) -> dict[str, int]:
    """Patch sizes."""
    vision.expect("in_channels", 3)
    vision.expect("in_chans", 3)
    return {
        "patch": vision.positive("patch_size", 14),
        "temporal_patch": vision.positive("temporal_patch_size", 2),
        "merge": vision.positive("spatial_merge_size", 2),
    }


def check_vision(config: VisionConfig, text: TextConfig) -> None:
    """Refuse a tower whose heads cannot be rotated or whose output does not meet the decoder."""
    if config.dim % config.heads or config.head_dim % 4:
        raise ConfigError(
            f"config.json's vision_config: width {config.dim} does not divide into {config.heads} rotary"
            " heads",
            hint=OWN_FILE,
        )
    if config.out_dim != text.dim:
        raise ConfigError(
            f"config.json: the vision tower gives {config.out_dim} values a token, the decoder takes"
            f" {text.dim}",
            hint=OWN_FILE,
        )
