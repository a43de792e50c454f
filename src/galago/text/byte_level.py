"""Byte-level BPE: the letters that stand for bytes, and tokenizers kept as vocab.json with merges.txt."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galago.errors import ConfigError
from galago.files import read_json_object, reason

if TYPE_CHECKING:
    import tokenizers

# How Qwen2 cuts text before merging: contractions, words with one sign or space before them, single digits,
# runs of signs, line ends, other white space.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_HINT = "the folder needs tokenizer.json, or vocab.json with merges.txt; download the whole model"


@cache
def letter_bytes() -> dict[str, bytes]:
    """Letter -> byte. Printable Latin-1 letters stand for their own code, U+0100 and on for other bytes."""
    own = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in own)
    letters = {chr(byte): byte for byte in own} | {chr(256 + n): byte for n, byte in enumerate(others)}
    return {letter: bytes([byte]) for letter, byte in letters.items()}


def byte_level_tokenizer(folder: Path) -> tokenizers.Tokenizer:
    """The tokenizer that vocab.json, merges.txt and the added tokens of tokenizer_config.json describe.

    Raises ConfigError when one of them is missing, damaged or contradicts the others.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = read_json_object(folder / "vocab.json", hint=_HINT)
    merges = _merges(folder / "merges.txt")
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ConfigError(
            f"{folder}: vocab.json and merges.txt contradict each other: {error}", hint=_HINT
        ) from None
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    _add_tokens(tokenizer, folder)
    return tokenizer


def _merges(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{file} cannot be read: {what}", hint=_HINT) from None
    start = 1 if lines[0].startswith("#version") else 0
    merges = []
    for number, line in enumerate(lines[start:], start + 1):
        pair = line.rstrip("\r").split(" ")
        if len(pair) == 2 and all(pair):
            merges.append((pair[0], pair[1]))
        elif line.strip():
            raise ConfigError(f"{file}, line {number}: {line[:40]!r} is not two tokens", hint=_HINT)
    return merges


def _add_tokens(tokenizer: tokenizers.Tokenizer, folder: Path) -> None:
    """Add the tokens of `added_tokens_decoder` and check that each gets the id that is written there."""
    from tokenizers import AddedToken

    file = folder / "tokenizer_config.json"
    entries: dict[str, Any] = read_json_object(file, hint=_HINT).get("added_tokens_decoder") or {}
    try:
        added = sorted((int(number), AddedToken(**entry)) for number, entry in entries.items())
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{file}: added_tokens_decoder is not as expected: {error}", hint=_HINT) from None
    for number, token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        found = tokenizer.token_to_id(token.content)
        if found != number:
            raise ConfigError(f"{file}: {token.content!r} would get id {found}, not {number}", hint=_HINT)
