"""Random checkpoints of official shapes: what a model costs without its weights, which nobody need download.

    .venv/bin/python -m benchmarks.checkpoints w1 FOLDER

The folders are in the form the hub has them (bf16 shards with an index, configuration, tokenizer, template),
so that every engine reads the same one. Speed does not depend on the numbers; their size and their outliers
are like those of trained weights, so that packing them is an honest exercise.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.tokenizer import SPECIAL_TOKENS, write_tokenizer
from galago import models
from galago.errors import GalagoError, UsageError
from galago.files import read_json_object
from galago.formats.safetensors import INDEX_FILE, TensorSpec, writing
from galago.models import Tensor

CONFIGS: Final = Path(__file__).parent / "configs"
SHARD_BYTES: Final = 4_000_000_000
DEVIATION: Final = 0.02
OUTLIER_CHANNELS, OUTLIER = 4, 8.0
"""As Qwen2-type models have them: a few channels of the residual stream are written much louder."""
WRITERS: Final = (".down.weight", ".o.weight")
POOL: Final = 1 << 22


def named_config(name: str) -> dict[str, Any]:
    """The config.json called `w1`, `w2`, ... or at a path; raises GalagoError."""
    known = {path.stem: path for path in sorted(CONFIGS.glob("*.json"))}
    path = known.get(name, Path(name))
    return read_json_object(path, hint=f"name a config.json, or one of {', '.join(known)}")


def write_checkpoint(
    config: dict[str, Any], folder: Path, *, seed: int = 0, shard_bytes: int = SHARD_BYTES
) -> int:
    """Write a seeded random model of this config.json to a new folder; the parameters it has.

    One tensor is in memory at a time. Raises UsageError where the folder exists or the special tokens are not
    in the official order, ConfigError for a configuration that no family reads.
    """
    family = models.family(str(config.get("model_type")))
    tensors = family.tensors(family.parse_config(config))
    base = special_base(config)
    if folder.exists():
        raise UsageError(f"{folder} exists", hint="name a new folder, or remove it")
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", _generation_config(base))
    _write_json(folder / "preprocessor_config.json", _preprocessor_config(config))
    write_tokenizer(folder, base, context=int(config.get("max_position_embeddings", 32768)))
    _write_weights(folder, tensors, seed, shard_bytes)
    return sum(prod(tensor.shape) for tensor in tensors)


def special_base(config: dict[str, Any]) -> int:
    """The id of the first special token; raises UsageError where a config orders them otherwise."""
    place = {"bos": "<|endoftext|>", "vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>"}
    place |= {"image": "<|image_pad|>", "video": "<|video_pad|>"}
    bases = {
        config[f"{key}_token_id"] - SPECIAL_TOKENS.index(token)
        for key, token in place.items()
        if isinstance(config.get(f"{key}_token_id"), int)
    }
    if len(bases) != 1 or min(bases) < 256:
        raise UsageError(
            "the special tokens of this config.json are not in the official order after 256 or more others",
            hint="give its *_token_id the official distances, as benchmarks/configs/w2.json has them",
        )
    return int(bases.pop())


def random_bits(random: np.random.Generator, pool: NDArray[np.uint16], count: int) -> NDArray[np.uint16]:
    """`count` bf16 numbers [count], as bits: pieces of a pool in random order, with random signs."""
    taken = np.empty(count, np.uint16)
    for start in range(0, count, len(pool) // 4):
        piece = taken[start : start + len(pool) // 4]
        at = int(random.integers(0, len(pool) - len(piece) + 1))
        np.bitwise_xor(pool[at : at + len(piece)], np.uint16(0x8000 * random.integers(0, 2)), out=piece)
    return taken


def to_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 -> the bits of bfloat16, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _values(
    tensor: Tensor, random: np.random.Generator, pool: NDArray[np.uint16], loud: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """The bits of one tensor, in the shape of the file."""
    if tensor.matrix is None:
        noise = random.standard_normal(tensor.shape[0], dtype=np.float32)
        scale = DEVIATION * noise
        return to_bits(scale if tensor.ours.endswith(".bias") else 1 + 2 * scale)
    bits = random_bits(random, pool, prod(tensor.shape)).reshape(tensor.matrix)
    if tensor.ours.endswith(WRITERS):
        rows = loud % tensor.matrix[0]
        bits[rows] = to_bits((bits[rows].astype(np.uint32) << 16).view(np.float32) * np.float32(OUTLIER))
    return bits.reshape(tensor.shape)


def shards(tensors: list[Tensor], shard_bytes: int) -> Iterator[list[Tensor]]:
    """The tensors in files of at most `shard_bytes`, or of one tensor."""
    held: list[Tensor] = []
    size = 0
    for tensor in tensors:
        needed = 2 * prod(tensor.shape)
        if held and size + needed > shard_bytes:
            yield held
            held, size = [], 0
        held.append(tensor)
        size += needed
    yield held


def _write_weights(folder: Path, tensors: list[Tensor], seed: int, shard_bytes: int) -> None:
    random = np.random.default_rng(seed)
    pool = to_bits(DEVIATION * random.standard_normal(POOL, dtype=np.float32))
    loud = random.integers(0, 1 << 30, OUTLIER_CHANNELS)
    parts = list(shards(tensors, shard_bytes))
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        specs = {tensor.spellings[0]: TensorSpec("BF16", tensor.shape) for tensor in part}
        with writing(folder / file, specs, {"format": "pt"}, durable=False) as sink:
            for tensor in part:
                sink.put(tensor.spellings[0], _values(tensor, random, pool, loud))
        weight_map |= dict.fromkeys(specs, file)
    total = sum(2 * prod(tensor.shape) for tensor in tensors)
    _write_json(folder / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _generation_config(base: int) -> dict[str, Any]:
    end = base + SPECIAL_TOKENS.index("<|im_end|>")
    return {"bos_token_id": base, "pad_token_id": base, "do_sample": False, "eos_token_id": [end, base]}


def _preprocessor_config(config: dict[str, Any]) -> dict[str, Any]:
    architecture = config["architectures"][0].removesuffix("ForConditionalGeneration")
    vision = config["vision_config"]
    return {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": vision["patch_size"],
        "temporal_patch_size": vision["temporal_patch_size"],
        "merge_size": vision["spatial_merge_size"],
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": f"{architecture}Processor",
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", help="w1, w2, qwen2-vl-2b, or the path of a config.json")
    parser.add_argument("folder", type=Path, help="the folder to write; it must not exist")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        parameters = write_checkpoint(named_config(options.config), options.folder, seed=options.seed)
    except GalagoError as error:
        print(f"error: {error}" + (f"\n  try: {error.hint}" if error.hint else ""), file=sys.stderr)
        return 1
    print(f"{options.folder}: {parameters / 1e9:.3f} G parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
