"""The tokenizer of the tiny checkpoints: few words, Qwen's special tokens, its form of template.

The form of the files is that of the benchmarks' checkpoints.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks import tokenizer

SPECIAL_TOKENS = tokenizer.SPECIAL_TOKENS[: tokenizer.SHOWN]
WORDS = (
    "You are a helpful assistant.", "system", "user", "assistant", "What does the display read?",
    "Describe the first picture and the second one in detail.", "How many red squares are left of it?",
    "Is it in alarm? yes no none", "the text in lines", "0 1 2 3 4 5 6 7 8 9 temperature pressure total",
)  # fmt: skip
CHAT_TEMPLATE = """\
{%- set seen = namespace(pictures=0, videos=0) -%}
{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}
{%- endif -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' or 'image' in part or 'image_url' in part -%}
{%- set seen.pictures = seen.pictures + 1 -%}
{%- if add_vision_id -%}{{- 'Picture ' ~ seen.pictures ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part['type'] == 'video' or 'video' in part -%}
{%- set seen.videos = seen.videos + 1 -%}
{%- if add_vision_id -%}{{- 'Video ' ~ seen.videos ~ ': ' -}}{%- endif -%}
{{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
{%- elif 'text' in part -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


def special_id(token: str) -> int:
    """The id of a special token in these checkpoints."""
    return len(_vocabulary()[0]) + SPECIAL_TOKENS.index(token)


def write_tokenizer(folder: Path, *, template_file: bool) -> None:
    vocabulary, merges = _vocabulary()
    _write_json(folder / "tokenizer.json", tokenizer.tokenizer_json(vocabulary, merges, SPECIAL_TOKENS))
    settings = tokenizer.tokenizer_settings(len(vocabulary), SPECIAL_TOKENS, context=4096)
    if template_file:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    else:
        settings["chat_template"] = CHAT_TEMPLATE
        _write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    _write_json(folder / "tokenizer_config.json", settings)


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[dict[str, int], list[str]]:
    """Byte-level BPE grown from `WORDS`: every word is one token, its beginnings are the merges."""
    vocabulary = {letter: number for number, letter in enumerate(sorted(tokenizer.byte_letters()))}
    merges = []
    for text in WORDS:
        for left, right in tokenizer.spelled_out(text):
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append(f"{left} {right}")
    return vocabulary, merges


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
