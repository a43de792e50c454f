"""A tiny checkpoint folder in the format of the hub: seeded, complete, and with no two sizes alike.

Written with numpy alone. The numbers mean nothing, so neither do the answers; what is the same must come out
the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
MERGES = (("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", '"'), ("Ġ", "the"))
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
IDS = {token: 256 + len(MERGES) + index for index, token in enumerate(SPECIAL)}
VOCABULARY = 288  # more than the tokenizer has, as in the real checkpoints

TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Arrays = dict[str, np.ndarray]


def tokenizer() -> Tokenizer:
    """Bytes, five merges and the special tokens of the Qwen families."""
    vocab = {symbol: index for index, symbol in enumerate(BYTES)}
    for left, right in MERGES:
        vocab[left + right] = len(vocab)
    result = Tokenizer(models.BPE(vocab=vocab, merges=list(MERGES)))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return result


def config(model_type: str = "qwen2_5_vl", **changes: Any) -> dict[str, Any]:
    """config.json; `changes` replace top-level keys."""
    vision: dict[str, Any] = {
        "depth": 4, "num_heads": 2, "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2,
        "spatial_patch_size": 14, "temporal_patch_size": 2,
    }  # fmt: skip
    if model_type == "qwen2_vl":
        vision |= {"embed_dim": 40, "hidden_size": 96, "mlp_ratio": 2, "model_type": "qwen2_vl"}
    else:
        vision |= {
            "hidden_size": 40, "intermediate_size": 72, "out_hidden_size": 96, "hidden_act": "silu",
            "window_size": 112, "fullatt_block_indexes": [1, 3], "tokens_per_second": 2, "model_type":
            "qwen2_5_vl",
        }  # fmt: skip
    return {
        "model_type": model_type, "hidden_size": 96, "intermediate_size": 112, "num_hidden_layers": 5,
        "num_attention_heads": 6, "num_key_value_heads": 3, "vocab_size": VOCABULARY, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "max_position_embeddings": 2048, "hidden_act": "silu", "tie_word_embeddings":
        True, "use_sliding_window": False, "sliding_window": 64, "max_window_layers": 5, "torch_dtype":
        "float32", "rope_scaling": {"type": "mrope", "mrope_section": [4, 2, 2]}, "vision_config": vision,
        "bos_token_id": IDS["<|endoftext|>"], "eos_token_id": IDS["<|im_end|>"], "vision_start_token_id":
        IDS["<|vision_start|>"], "vision_end_token_id": IDS["<|vision_end|>"], "vision_token_id":
        IDS["<|vision_pad|>"], "image_token_id": IDS["<|image_pad|>"], "video_token_id": IDS["<|video_pad|>"],
        **changes,
    }  # fmt: skip


def shapes(settings: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor a checkpoint of this config holds, by its original name."""
    dim, hidden, vision = settings["hidden_size"], settings["intermediate_size"], settings["vision_config"]
    head = dim // settings["num_attention_heads"]
    keys = settings["num_key_value_heads"] * head
    result: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (settings["vocab_size"], dim)}
    for n in range(settings["num_hidden_layers"]):
        layer = f"model.layers.{n}."
        result |= {
            layer + f"self_attn.{p}_proj.weight": (rows, dim)
            for p, rows in zip("qkv", (dim, keys, keys), strict=True)
        }
        result |= {
            layer + f"self_attn.{p}_proj.bias": (rows,)
            for p, rows in zip("qkv", (dim, keys, keys), strict=True)
        }
        result[layer + "self_attn.o_proj.weight"] = (dim, dim)
        result |= {layer + f"mlp.{p}_proj.weight": (hidden, dim) for p in ("gate", "up")}
        result[layer + "mlp.down_proj.weight"] = (dim, hidden)
        result |= {layer + f"{p}_layernorm.weight": (dim,) for p in ("input", "post_attention")}
    result["model.norm.weight"] = (dim,)
    if not settings["tie_word_embeddings"]:
        result["lm_head.weight"] = (settings["vocab_size"], dim)
    return result | _vision_shapes(settings["model_type"], vision, dim)


def _vision_shapes(model_type: str, vision: dict[str, Any], dim: int) -> dict[str, tuple[int, ...]]:
    old = model_type == "qwen2_vl"
    width = vision["embed_dim" if old else "hidden_size"]
    hidden = width * vision["mlp_ratio"] if old else vision["intermediate_size"]
    linears = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    if old:
        linears |= {"mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
    else:
        linears |= {
            "mlp.gate_proj": (hidden, width),
            "mlp.up_proj": (hidden, width),
            "mlp.down_proj": (width, hidden),
        }
    parts = ("weight", "bias") if old else ("weight",)
    result: dict[str, tuple[int, ...]] = {"visual.patch_embed.proj.weight": (width, 3, 2, 14, 14)}
    for n in range(vision["depth"]):
        block = f"visual.blocks.{n}."
        result |= {f"{block}{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in parts}
        result |= {f"{block}{name}.weight": shape for name, shape in linears.items()}
        result |= {f"{block}{name}.bias": shape[:1] for name, shape in linears.items()}
    result |= {f"visual.merger.ln_q.{part}": (width,) for part in parts}
    for index, rows in ((0, 4 * width), (2, dim)):
        result |= {
            f"visual.merger.mlp.{index}.weight": (rows, 4 * width),
            f"visual.merger.mlp.{index}.bias": (rows,),
        }
    return result


def tensors(settings: dict[str, Any], seed: int = 0) -> Arrays:
    """Seeded arrays; norms near one, matrices scaled by their columns so that activations stay near one."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in shapes(settings).items():
        noise = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) == 1:
            is_gain = name.endswith("weight")
            arrays[name] = noise * np.float32(0.1) + np.float32(1 if is_gain else 0)
        else:
            arrays[name] = noise / np.sqrt(np.float32(np.prod(shape[1:])))
    return arrays


def write(
    folder: Path,
    model_type: str = "qwen2_5_vl",
    *,
    seed: int = 0,
    edit: Callable[[Arrays], None] | None = None,
    **changes: Any,
) -> Path:
    """A whole checkpoint folder; `edit` may change the arrays before they are written. Returns the folder."""
    settings = config(model_type, **changes)
    arrays = tensors(settings, seed)
    if edit is not None:
        edit(arrays)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save(str(folder / "tokenizer.json"))
    files: dict[str, dict[str, Any]] = {
        "config.json": settings,
        "tokenizer_config.json": {"chat_template": TEMPLATE, "eos_token": "<|im_end|>"},
        "generation_config.json": {"eos_token_id": [IDS["<|im_end|>"], IDS["<|endoftext|>"]]},
        "preprocessor_config.json": {
            "min_pixels": 3136, "max_pixels": 28 * 28 * 64, "patch_size": 14, "temporal_patch_size": 2,
            "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954,
            0.26130258, 0.27577711], "image_processor_type": "Qwen2VLImageProcessor",
        },
    }  # fmt: skip
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    return folder
