"""The tokenizer of `nano`: all bytes, 752 merges of the closed language of its questions, and marks.

Token b is byte b, so that text read from a picture is spelled one token per character; numbers are spelled
digit by digit everywhere. A key of JSON with what stands around it is one piece, so that an object costs
little more than its values. Writes the Hugging Face form; reading it is `galago.text`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SIZE = 1024
BYTES = 256
PAD, END, VISION_START, VISION_END, IMAGE, VIDEO, USER, ASSISTANT, SYSTEM = (
    "<|endoftext|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<|user|>", "<|assistant|>", "<|system|>",
)  # fmt: skip
_MARKS = (PAD, END, "<|im_start|>", VISION_START, VISION_END, IMAGE, VIDEO, USER, ASSISTANT, SYSTEM)
MARKS = {mark: SIZE - 16 + place for place, mark in enumerate(_MARKS)}
"""Special tokens and their ids; the last ids of the vocabulary are free."""

# Keys of JSON with the signs around them, commas between numbers; then the pre-tokenizer of Qwen2: words with
# their leading space, single digits, runs of other signs.
PATTERN = (
    r"[\[\]{}\", ]*\"[\p{L}_][\p{L}\p{N}_ ]*\":(?: [\[{\"]+)?|, (?=\p{N})|"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<|user|>' }}"
    "{%- elif message['role'] == 'assistant' %}{{ '<|assistant|>' }}"
    "{%- else %}{{ '<|system|>' }}{%- endif %}"
    "{%- if message['content'] is string %}{{ message['content'] }}"
    "{%- else %}{%- for part in message['content'] %}"
    "{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part['type'] == 'video' or 'video' in part %}"
    "{{ '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- elif 'text' in part %}{{ part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{%- if message['role'] != 'user' %}{{ '<|im_end|>' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
)
"""A turn of the user has no end mark: `<|assistant|>` follows it, and every token of a small model counts."""


def byte_letters() -> list[str]:
    """The printable letter that stands for each byte in byte-level BPE files, by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for place, byte in enumerate(b for b in range(BYTES) if b not in letters):
        letters[byte] = chr(BYTES + place)
    return [letters[byte] for byte in range(BYTES)]


def learn_merges(corpus: Iterable[str]) -> list[tuple[str, str]]:
    """The most frequent merges of `corpus`, as many as the vocabulary has room for."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    room = SIZE - 16 - BYTES
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES + room, initial_alphabet=byte_letters(), show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(corpus, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in merges][:room]


def tokenizer_json(merges: list[tuple[str, str]]) -> dict[str, Any]:
    """The content of tokenizer.json."""
    vocabulary = {letter: byte for byte, letter in enumerate(byte_letters())}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    added = [
        {
            "id": number, "content": mark, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for mark, number in MARKS.items()
    ]  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [list(merge) for merge in merges],
        },
    }


def write_tokenizer(folder: Path, merges: list[tuple[str, str]]) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into `folder`."""
    config = {
        "tokenizer_class": "Qwen2TokenizerFast",
        "model_max_length": 4096,
        "pad_token": PAD,
        "eos_token": END,
        "bos_token": None,
        "unk_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [mark for mark in MARKS if mark not in (PAD, END)],
    }
    for name, value in (("tokenizer.json", tokenizer_json(merges)), ("tokenizer_config.json", config)):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
