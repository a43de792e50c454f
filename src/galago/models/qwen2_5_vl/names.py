"""Every tensor of a checkpoint: Qwen2-VL's, but norms without bias and a gated MLP in the tower."""

from __future__ import annotations

from galago.models.family import Tensor
from galago.models.qwen2_vl.config import Config
from galago.models.qwen2_vl.names import projection, text_tensors, vision_block, vision_frame, vision_names


def tensors(c: Config) -> list[Tensor]:
    """All tensors of the family."""
    norm, v = ("weight",), c.vision
    found = [*vision_frame(v, norm), *text_tensors(c.text)]
    for n in range(v.layers):
        ours, theirs = f"vision.blocks.{n}", f"blocks.{n}"
        found += vision_block(v, ours, theirs, norm)
        for part, rows, columns in (
            ("gate", v.mlp_dim, v.dim),
            ("up", v.mlp_dim, v.dim),
            ("down", v.dim, v.mlp_dim),
        ):
            found += projection(
                f"{ours}.mlp.{part}", vision_names(f"{theirs}.mlp.{part}_proj"), rows, columns
            )
    return found
