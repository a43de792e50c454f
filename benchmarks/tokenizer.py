"""A tokenizer of any size in the official form, made by rule: byte-level BPE as long as a real one.

The words of the benchmark's questions are one token each, as they are in the published vocabularies; the rest
are runs of two to four letters. Nothing is learned and nothing downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

SPECIAL_TOKENS: Final = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
    "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
"""In the order of the published ids; the configuration says where they begin."""
SHOWN: Final = 14
"""So many of them are in `additional_special_tokens`, the first aside."""
WORDS: Final = (
    "You are a helpful assistant.", "system", "user", "assistant",
    "Describe this image in detail: what is in the picture?",
    "How many objects are visible, and which colours do they have?",
)  # fmt: skip
LETTERS: Final = "etaoinshrdlcumwfgypbvkjxqz"
SPACE: Final = "\u0120"
SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE: Final = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tokenizer(folder: Path, base: int, *, context: int) -> None:
    """Write the tokenizer's files into a folder: `base` ordinary tokens, then the special ones."""
    vocabulary, merges = vocabulary_and_merges(base)
    settings = tokenizer_settings(base, SPECIAL_TOKENS, context=context)
    for name, value in (
        ("tokenizer.json", tokenizer_json(vocabulary, merges, SPECIAL_TOKENS)),
        ("tokenizer_config.json", settings | {"chat_template": TEMPLATE}),
        ("chat_template.json", {"chat_template": TEMPLATE}),
        ("vocab.json", vocabulary),
    ):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    lines = "\n".join(["#version: 0.2", *merges])
    (folder / "merges.txt").write_text(lines + "\n", encoding="utf-8")


def tokenizer_json(vocabulary: dict[str, int], merges: list[str], special: Sequence[str]) -> dict[str, Any]:
    """What tokenizer.json holds, in the official form; the ids of the special tokens follow the others."""
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": len(vocabulary) + n, **_added(token)} for n, token in enumerate(special)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocabulary, "merges": merges,
        },
    }  # fmt: skip


def tokenizer_settings(base: int, special: Sequence[str], *, context: int) -> dict[str, Any]:
    """What tokenizer_config.json holds beside a template; the first special token has the id `base`."""
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(base + n): _added(token) for n, token in enumerate(special)},
        "additional_special_tokens": list(special[1:SHOWN]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": context,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def spelled_out(text: str) -> Iterator[tuple[str, str]]:
    """The merges that make every word of a text one token, from its beginning on."""
    for word in text.replace(" ", f" {SPACE}").split():
        yield from ((word[: end - 1], word[end - 1]) for end in range(2, len(word) + 1))


def vocabulary_and_merges(size: int) -> tuple[dict[str, int], list[str]]:
    """`size` tokens, at least 256, with their ids, and the merges "left right" that make them from bytes."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(byte_letters()))}
    assert size >= len(vocabulary), size
    merges: list[str] = []
    for left, right in _pairs():
        if len(vocabulary) == size:
            break
        if left in vocabulary and right in vocabulary and left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            merges.append(f"{left} {right}")
    assert len(vocabulary) == size, size
    return vocabulary, merges


def byte_letters() -> list[str]:
    """The byte-level alphabet: printable bytes stand for themselves, the others for 256, 257, ..."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def _pairs() -> Iterator[tuple[str, str]]:
    """Merges by importance: the words from their beginnings, then two, three and four letters."""
    for text in WORDS:
        yield from spelled_out(text)
    doubles = ["".join(pair) for pair in product(LETTERS, LETTERS)]
    starts = [SPACE + letter for letter in LETTERS]
    yield from ((first, second) for first, second in product((*LETTERS, SPACE), LETTERS))
    yield from product((*doubles, *starts), LETTERS)
    yield from product(starts, doubles)
    yield from product(doubles, doubles)


def _added(token: str) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": token, **flags, "special": True}
