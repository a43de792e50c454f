"""Tiny seeded checkpoints in the form the hub has them: configuration, tokenizer, template, safetensors.

Every size differs from every other, so that no axis can pass for another. Only numpy is needed: the numbers
come from `RandomState`, whose stream is frozen, so the golden files of `tests/golden` hold on every machine.
That `transformers` reads these folders without a missing or unexpected tensor is tested in `tests/torch`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_tokenizer import special_id, write_tokenizer

FAMILIES = ("qwen2_vl", "qwen2_5_vl")
DIM, HEADS, KV_HEADS, LAYERS, MLP, VOCABULARY = 120, 6, 3, 4, 136, 611
MROPE = (2, 3, 5)  # sums to half the head size, 20 / 2
VISION_DIM, VISION_HEADS, DEPTH, MLP_RATIO, VISION_MLP = 80, 5, 7, 9, 104
FULL_ATTENTION = (2, 4)  # in the middle: the first and the last block attend inside windows

GAINS = {"q_proj": 3.0, "k_proj": 3.0, "v_proj": 2.0, "model.norm": 3.0}
"""Sharp attention, so that greedy text wanders and does not repeat one token; logits wide enough to sample"""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(family, **options of write_checkpoint)`: made once a session, not to be written to."""
    made: dict[Any, Path] = {}

    def make(family: str, **options: Any) -> Path:
        key = (family, *sorted(options.items()))
        if key not in made:
            made[key] = write_checkpoint(tmp_path_factory.mktemp(family), family, **options)
        return made[key]

    return make


def write_checkpoint(
    folder: Path,
    family: str,
    *,
    naming: str = "hub",
    dtype: str = "f32",
    shards: int = 1,
    tied: bool | None = None,
    seed: int = 6,
    outlier: float = 1.0,
) -> Path:
    """Write one checkpoint into an existing folder and return the folder.

    `naming` is "hub" (flat config, `model.layers`, `visual.blocks`), "resaved" (as `transformers` 5 can save:
    nested config, `model.language_model`, `model.visual`, processor_config.json, chat_template.jinja) or
    "both" (as 4.52 to 4.57 save: published names, the decoder's settings at the root and nested). `tied`
    shares the output matrix with the embedding; by default Qwen2.5-VL does (as the 3B does) and Qwen2-VL does
    not (as the 7B does not). `outlier` multiplies a few channels, as Qwen2-type models have them.
    """
    tied = family == "qwen2_5_vl" if tied is None else tied
    config = hub_config(family, tied=tied, dtype=dtype)
    tensors = make_tensors(family, tied=tied, seed=seed, outlier=outlier)
    if naming == "resaved":
        config = resaved_config(config)
        tensors = {resaved_name(name): tensor for name, tensor in tensors.items()}
        _write_json(folder / "processor_config.json", _processor_config(family))
    elif naming == "both":
        config = doubled_config(config)
    if naming != "resaved":
        _write_json(folder / "preprocessor_config.json", _preprocessor_config(family))
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation_config())
    write_tokenizer(folder, template_file=naming == "resaved")
    _write_weights(folder, tensors, dtype=dtype, shards=shards)
    return folder


def hub_config(family: str, *, tied: bool, dtype: str = "f32") -> dict[str, Any]:
    """The flat configuration of the original checkpoints, with our sizes."""
    vision: dict[str, Any] = {
        "depth": DEPTH, "in_chans": 3, "num_heads": VISION_HEADS, "patch_size": 14, "spatial_merge_size": 2,
        "spatial_patch_size": 14, "temporal_patch_size": 2,
    }  # fmt: skip
    if family == "qwen2_vl":
        vision |= {"embed_dim": VISION_DIM, "hidden_size": DIM, "mlp_ratio": MLP_RATIO}
    else:
        vision |= {
            "hidden_size": VISION_DIM, "out_hidden_size": DIM, "intermediate_size": VISION_MLP,
            "hidden_act": "silu", "window_size": 112,
            "fullatt_block_indexes": list(FULL_ATTENTION), "tokens_per_second": 2,
        }  # fmt: skip
    architecture = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL"}[family]
    return {
        "architectures": [f"{architecture}ForConditionalGeneration"],
        "model_type": family,
        "attention_dropout": 0.0,
        "bos_token_id": special_id("<|endoftext|>"),
        "eos_token_id": special_id("<|im_end|>"),
        "vision_start_token_id": special_id("<|vision_start|>"),
        "vision_end_token_id": special_id("<|vision_end|>"),
        "vision_token_id": special_id("<|vision_pad|>"),
        "image_token_id": special_id("<|image_pad|>"),
        "video_token_id": special_id("<|video_pad|>"),
        "hidden_act": "silu",
        "hidden_size": DIM,
        "initializer_range": 0.02,
        "intermediate_size": MLP,
        "max_position_embeddings": 4096,
        "max_window_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": tied,
        "torch_dtype": {"f32": "float32", "bf16": "bfloat16"}[dtype],
        "transformers_version": "4.41.2",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": vision,
        "rope_scaling": {"type": "mrope", "mrope_section": list(MROPE)},
        "vocab_size": VOCABULARY,
    }


def resaved_config(flat: dict[str, Any]) -> dict[str, Any]:
    """The same configuration as `transformers` 5 writes it: text and vision nested, rope in a dictionary."""
    text_keys = (
        "attention_dropout", "bos_token_id", "eos_token_id", "hidden_act", "hidden_size", "initializer_range",
        "intermediate_size", "max_position_embeddings", "max_window_layers", "num_attention_heads",
        "num_hidden_layers", "num_key_value_heads", "rms_norm_eps", "use_cache", "use_sliding_window",
        "vocab_size",
    )  # fmt: skip
    outer_keys = (
        "architectures", "model_type", "tie_word_embeddings", "image_token_id", "video_token_id",
        "vision_start_token_id", "vision_end_token_id",
    )  # fmt: skip
    rope = {
        "mrope_section": flat["rope_scaling"]["mrope_section"],
        "rope_theta": flat["rope_theta"],
        "rope_type": "default",
    }
    renamed = {"in_chans": "in_channels"}
    vision = {renamed.get(key, key): value for key, value in flat["vision_config"].items()}
    vision.pop("spatial_patch_size")
    vision |= {
        "model_type": f"{flat['model_type']}_vision",
        "initializer_range": 0.02,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "axial"},
    }
    vision.setdefault("hidden_act", "quick_gelu")
    text = {key: flat[key] for key in text_keys} | {
        "model_type": f"{flat['model_type']}_text",
        "layer_types": ["full_attention"] * flat["num_hidden_layers"],
        "pad_token_id": None,
        "rope_parameters": rope,
        "sliding_window": None,
    }
    return {key: flat[key] for key in outer_keys} | {
        "dtype": flat["torch_dtype"],
        "text_config": text,
        "vision_config": vision,
        "transformers_version": "5.23.0",
    }


def doubled_config(flat: dict[str, Any]) -> dict[str, Any]:
    """The same configuration as `transformers` 4.52 to 4.57 write it: flat, with a second copy nested."""
    text = {key: value for key, value in flat.items() if key not in ("vision_config", "tie_word_embeddings")}
    text |= {
        "model_type": f"{flat['model_type']}_text",
        "layer_types": ["full_attention"] * flat["num_hidden_layers"],
        "image_token_id": None,
        "video_token_id": None,
        "rope_scaling": {**flat["rope_scaling"], "type": "default", "rope_type": "default"},
        "sliding_window": None,
    }
    vision = flat["vision_config"] | {
        "in_channels": 3,
        "initializer_range": 0.02,
        "model_type": flat["model_type"],
    }
    return flat | {"text_config": text, "vision_config": vision}


def resaved_name(name: str) -> str:
    """`model.layers...` -> `model.language_model.layers...`, `visual...` -> `model.visual...`."""
    if name.startswith("model."):
        return "model.language_model." + name.removeprefix("model.")
    return "model." + name if name.startswith("visual.") else name


def tensor_shapes(family: str, *, tied: bool) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of the original checkpoints, in file order."""
    head_dim = DIM // HEADS
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, DIM)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        shapes |= _linear(f"{at}self_attn.q_proj", DIM, DIM)
        shapes |= _linear(f"{at}self_attn.k_proj", KV_HEADS * head_dim, DIM)
        shapes |= _linear(f"{at}self_attn.v_proj", KV_HEADS * head_dim, DIM)
        shapes |= {
            f"{at}self_attn.o_proj.weight": (DIM, DIM),
            f"{at}mlp.gate_proj.weight": (MLP, DIM),
            f"{at}mlp.up_proj.weight": (MLP, DIM),
            f"{at}mlp.down_proj.weight": (DIM, MLP),
            f"{at}input_layernorm.weight": (DIM,),
            f"{at}post_attention_layernorm.weight": (DIM,),
        }
    shapes["model.norm.weight"] = (DIM,)
    shapes["visual.patch_embed.proj.weight"] = (VISION_DIM, 3, 2, 14, 14)
    for block in range(DEPTH):
        at = f"visual.blocks.{block}."
        shapes |= _norm(f"{at}norm1", family) | _norm(f"{at}norm2", family)
        shapes |= _linear(f"{at}attn.qkv", 3 * VISION_DIM, VISION_DIM)
        shapes |= _linear(f"{at}attn.proj", VISION_DIM, VISION_DIM)
        if family == "qwen2_vl":
            shapes |= _linear(f"{at}mlp.fc1", MLP_RATIO * VISION_DIM, VISION_DIM)
            shapes |= _linear(f"{at}mlp.fc2", VISION_DIM, MLP_RATIO * VISION_DIM)
        else:
            shapes |= _linear(f"{at}mlp.gate_proj", VISION_MLP, VISION_DIM)
            shapes |= _linear(f"{at}mlp.up_proj", VISION_MLP, VISION_DIM)
            shapes |= _linear(f"{at}mlp.down_proj", VISION_DIM, VISION_MLP)
    shapes |= _norm("visual.merger.ln_q", family)
    shapes |= _linear("visual.merger.mlp.0", 4 * VISION_DIM, 4 * VISION_DIM)
    shapes |= _linear("visual.merger.mlp.2", DIM, 4 * VISION_DIM)
    return shapes if tied else shapes | {"lm_head.weight": (VOCABULARY, DIM)}


def make_tensors(family: str, *, tied: bool, seed: int = 6, outlier: float = 1.0) -> dict[str, np.ndarray]:
    """Random weights that keep every activation near 1 and every greedy choice far from a tie.

    Matrices have standard deviation fan_in^-1/2, so a product of normalised activations stays near 1; norm
    weights vary around 1 and biases are not small, so that swapping or forgetting one shows.
    """
    random = np.random.RandomState(seed)
    tensors = {}
    for name, shape in tensor_shapes(family, tied=tied).items():
        noise = random.standard_normal(shape).astype(np.float32)
        if name.endswith(".bias"):
            tensor = 0.3 * noise
        elif len(shape) == 1:
            tensor = 1 + 0.2 * noise
        else:
            tensor = noise * np.float32(np.prod(shape[1:]) ** -0.5)
        tensors[name] = np.ascontiguousarray(_gain(name) * tensor, dtype=np.float32)
    if outlier != 1.0:
        _plant_outliers(tensors, outlier)
    return tensors


def _gain(name: str) -> float:
    return next((gain for part, gain in GAINS.items() if part in name), 1.0)


def _plant_outliers(tensors: dict[str, np.ndarray], factor: float) -> None:
    """Multiply one residual channel: the rows of the early matrices that write to it."""
    for name in ("visual.blocks.0.attn.proj.weight", "model.layers.0.mlp.down_proj.weight"):
        tensors[name][5] *= factor
    tensors["model.layers.1.mlp.up_proj.weight"][:, 3] *= factor


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, family: str) -> dict[str, tuple[int, ...]]:
    weight: dict[str, tuple[int, ...]] = {f"{name}.weight": (VISION_DIM,)}
    return weight | {f"{name}.bias": (VISION_DIM,)} if family == "qwen2_vl" else weight


def bf16_bits(array: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 bits as uint16, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], *, dtype: str = "f32") -> None:
    """A writer of its own, so that a mistake in ours is not read back as right."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    payload = bytearray()
    for name, tensor in tensors.items():
        data = (bf16_bits(tensor) if dtype == "bf16" else tensor.astype(np.float32)).tobytes()
        offsets = [len(payload), len(payload) + len(data)]
        header[name] = {"dtype": dtype.upper(), "shape": list(tensor.shape), "data_offsets": offsets}
        payload += data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + payload)


def _write_weights(folder: Path, tensors: dict[str, np.ndarray], *, dtype: str, shards: int) -> None:
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype=dtype)
        return
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        write_safetensors(folder / file, part, dtype=dtype)
        weight_map |= dict.fromkeys(part, file)
    bytes_each = {"f32": 4, "bf16": 2}[dtype]
    total = sum(tensor.size for tensor in tensors.values()) * bytes_each
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def _generation_config() -> dict[str, Any]:
    end, text_end = special_id("<|im_end|>"), special_id("<|endoftext|>")
    return {
        "bos_token_id": text_end,
        "pad_token_id": text_end,
        "do_sample": False,
        "eos_token_id": [end, text_end],
    }


def _preprocessor_config(family: str) -> dict[str, Any]:
    processor = {"qwen2_vl": "Qwen2VLProcessor", "qwen2_5_vl": "Qwen2_5_VLProcessor"}[family]
    return {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": processor,
    }


def _processor_config(family: str) -> dict[str, Any]:
    """The same settings as `transformers` 5 writes them: images and video nested in one file."""
    flat = _preprocessor_config(family)
    size = {"shortest_edge": flat.pop("min_pixels"), "longest_edge": flat.pop("max_pixels")}
    processor_class = flat.pop("processor_class")
    steps = dict.fromkeys(("do_convert_rgb", "do_normalize", "do_rescale", "do_resize"), True)
    shared = flat | steps | {"resample": 3, "rescale_factor": 1 / 255, "size": size}
    video = shared | {
        "video_processor_type": "Qwen2VLVideoProcessor", "do_sample_frames": False, "min_frames": 4,
        "max_frames": 768, "max_video_tokens": 128000, "return_metadata": False,
    }  # fmt: skip
    video.pop("image_processor_type")
    return {"image_processor": shared, "video_processor": video, "processor_class": processor_class}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
