"""Every tensor of a checkpoint: our name, its spellings, its shape, how far it may be packed.

The published files say `model.` and `visual.`; transformers 4.52 and later say `model.language_model.` and
`model.visual.`. Both are read; the published spelling is written.
"""

from __future__ import annotations

from galago.models.family import Tensor
from galago.models.qwen2_vl.config import Config, TextConfig, VisionConfig


def tensors(c: Config) -> list[Tensor]:
    """All tensors of the family."""
    norm = ("weight", "bias")
    found = [*vision_frame(c.vision, norm), *text_tensors(c.text)]
    for n in range(c.vision.layers):
        ours, theirs = f"vision.blocks.{n}", f"blocks.{n}"
        found += vision_block(c.vision, ours, theirs, norm)
        found += projection(
            f"{ours}.mlp.up", vision_names(f"{theirs}.mlp.fc1"), c.vision.mlp_dim, c.vision.dim
        )
        found += projection(
            f"{ours}.mlp.down", vision_names(f"{theirs}.mlp.fc2"), c.vision.dim, c.vision.mlp_dim
        )
    return found


def unused(name: str) -> bool:
    """Stored rotary tables, which are computed here, and a copy of the embedding beside a tied one."""
    return name.endswith(("rotary_emb.inv_freq", "rotary_pos_emb.inv_freq")) or name == "lm_head.weight"


def vision_names(rest: str) -> tuple[str, str]:
    """Both spellings of a tensor of the tower."""
    return f"visual.{rest}", f"model.visual.{rest}"


def text_names(rest: str) -> tuple[str, str]:
    """Both spellings of a tensor of the decoder."""
    return f"model.{rest}", f"model.language_model.{rest}"


def projection(
    ours: str, names: tuple[str, str], rows: int, columns: int, *, bias: bool = True, text: bool = False
) -> list[Tensor]:
    """The weight and bias of one linear layer; the tower is not packed below q8."""
    weight = tuple(f"{name}.weight" for name in names)
    found = [Tensor(f"{ours}.weight", weight, (rows, columns), "q4" if text else "q8")]
    if bias:
        found.append(Tensor(f"{ours}.bias", tuple(f"{name}.bias" for name in names), (rows,), "f32"))
    return found


def norms(ours: str, names: tuple[str, str], dim: int, parts: tuple[str, ...]) -> list[Tensor]:
    """The vectors of one norm."""
    return [
        Tensor(f"{ours}.{part}", tuple(f"{name}.{part}" for name in names), (dim,), "f32") for part in parts
    ]


def vision_frame(c: VisionConfig, norm: tuple[str, ...]) -> list[Tensor]:
    """Patch embedding and merger."""
    patch = (c.dim, 3, c.temporal_patch, c.patch, c.patch)
    width = c.dim * c.merge**2
    return [
        Tensor("vision.patch_embedding.weight", vision_names("patch_embed.proj.weight"), patch, "q8"),
        *norms("vision.merger.norm", vision_names("merger.ln_q"), c.dim, norm),
        *projection("vision.merger.mlp.up", vision_names("merger.mlp.0"), width, width),
        *projection("vision.merger.mlp.down", vision_names("merger.mlp.2"), c.out_dim, width),
    ]


def vision_block(c: VisionConfig, ours: str, theirs: str, norm: tuple[str, ...]) -> list[Tensor]:
    """What the towers of both generations share in a block: norms and attention."""
    return [
        *norms(f"{ours}.attn_norm", vision_names(f"{theirs}.norm1"), c.dim, norm),
        *projection(f"{ours}.attn.qkv", vision_names(f"{theirs}.attn.qkv"), 3 * c.dim, c.dim),
        *projection(f"{ours}.attn.o", vision_names(f"{theirs}.attn.proj"), c.dim, c.dim),
        *norms(f"{ours}.mlp_norm", vision_names(f"{theirs}.norm2"), c.dim, norm),
    ]


def text_tensors(c: TextConfig) -> list[Tensor]:
    """The decoder."""
    table = (c.vocabulary, c.dim)
    found = [
        Tensor("language.embedding.weight", text_names("embed_tokens.weight"), table, "q8", is_head=c.tied),
        *norms("language.norm", text_names("norm"), c.dim, ("weight",)),
    ]
    if not c.tied:
        output = ("lm_head.weight", "language_model.lm_head.weight")
        found.append(Tensor("language.output.weight", output, table, "q8", is_head=True))
    for n in range(c.layers):
        ours, theirs = f"language.blocks.{n}", f"layers.{n}"
        for part, name, rows in (
            ("q", "q_proj", c.heads * c.head_dim),
            ("k", "k_proj", c.kv_heads * c.head_dim),
            ("v", "v_proj", c.kv_heads * c.head_dim),
        ):
            found += projection(
                f"{ours}.{part}", text_names(f"{theirs}.self_attn.{name}"), rows, c.dim, text=True
            )
        o = text_names(f"{theirs}.self_attn.o_proj")
        found += projection(f"{ours}.o", o, c.dim, c.heads * c.head_dim, bias=False, text=True)
        for part, rows, columns in (
            ("gate", c.mlp_dim, c.dim),
            ("up", c.mlp_dim, c.dim),
            ("down", c.dim, c.mlp_dim),
        ):
            mlp = text_names(f"{theirs}.mlp.{part}_proj")
            found += projection(f"{ours}.mlp.{part}", mlp, rows, columns, bias=False, text=True)
        found += norms(f"{ours}.attn_norm", text_names(f"{theirs}.input_layernorm"), c.dim, ("weight",))
        found += norms(
            f"{ours}.mlp_norm", text_names(f"{theirs}.post_attention_layernorm"), c.dim, ("weight",)
        )
    return found
