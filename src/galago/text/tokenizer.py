"""Byte-level BPE tokenizers of model folders, over the `tokenizers` library.

Users' text and the prompt's own marks meet in one string, so the text must not be able to spell a mark:
`guard` puts U+FDD0, which is no character, where it would, and `encode` splits there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galago.errors import ConfigError, UsageError
from galago.files import StrPath
from galago.text.byte_level import byte_level_tokenizer, letter_bytes

if TYPE_CHECKING:
    import tokenizers

GUARD = "\ufdd0"  # a noncharacter: Unicode promises that no text has it


class Tokenizer:
    """Text to ids and back. May be shared by threads: nothing in it changes."""

    def __init__(self, backend: tokenizers.Tokenizer, *, where: str = "the tokenizer") -> None:
        """`backend` is taken over: padding and truncation are switched off.

        Raises ConfigError when it is not byte-level, so that its tokens have no bytes of their own.
        """
        if not _is_byte_level(backend.decoder):
            raise ConfigError(
                f"{where} does not decode bytes (decoder: {type(backend.decoder).__name__})",
                hint="use a model with a byte-level tokenizer, as the Qwen models have",
            )
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        self._letters = letter_bytes()
        added = backend.get_added_tokens_decoder()
        self._added = {number: token.content for number, token in added.items()}
        self.special_tokens: dict[str, int] = {
            token.content: number for number, token in sorted(added.items()) if token.special
        }
        """Spelling -> id of every special token."""
        self._special_ids = frozenset(self.special_tokens.values())
        self.vocab_size: int = max([backend.get_vocab_size(with_added_tokens=True), *(n + 1 for n in added)])
        """The highest id and one. A model's embedding may have more rows."""

    @classmethod
    def from_folder(cls, folder: StrPath) -> Tokenizer:
        """The tokenizer of a model folder: tokenizer.json, or vocab.json with merges.txt.

        Raises ConfigError when there is neither or it cannot be used.
        """
        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.exists():
            return cls(byte_level_tokenizer(folder), where=str(folder))
        from tokenizers import Tokenizer as Backend

        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise ConfigError(
                f"{file} cannot be used: {error}",
                hint="download the file again, or: pip install -U tokenizers",
            ) from None
        return cls(backend, where=str(file))

    def encode(self, text: str) -> list[int]:
        """The ids of a prompt; spellings of special tokens in it become these tokens, unless guarded.

        No token is added at either end. Raises UsageError when the text has halves of characters.
        """
        ids: list[int] = []
        for part in _whole(text).split(GUARD):
            ids += self._backend.encode(part, add_special_tokens=False).ids
        return ids

    def guard(self, text: str, *, allow: Collection[str] = ()) -> str:
        """The text, with a mark wherever it spells a special token or could begin one at its end.

        Put into a prompt, it cannot become a special token, neither alone nor together with the text that
        follows, but for those in `allow`. A U+FDD0 of its own becomes U+FFFD. Raises UsageError as `encode`.
        """
        text = _whole(text).replace(GUARD, "\ufffd")
        marks: set[int] = set()
        for special in self.special_tokens.keys() - set(allow):
            marks.update(_spellings(text, special))
        for place in sorted(marks, reverse=True):
            text = text[: place + 1] + GUARD + text[place + 1 :]
        return text

    def decode(self, ids: Iterable[int], *, show_special: bool = False) -> str:
        """The text of these ids, by default without special tokens; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(self.token_bytes(number, show_special=show_special) for number in ids)
        return data.decode("utf-8", "replace")

    def token_bytes(self, number: int, *, show_special: bool = False) -> bytes:
        """The bytes one token stands for; none for an id that no token has."""
        if number in self._added:
            shown = show_special or number not in self._special_ids
            return self._added[number].encode() if shown else b""
        token = self._backend.id_to_token(number)
        if token is None:
            return b""
        return b"".join(self._letters.get(letter) or letter.encode() for letter in token)

    def token_to_id(self, token: str) -> int | None:
        """The id of a token by its spelling in the vocabulary; None where there is no such token."""
        number: int | None = self._backend.token_to_id(token)
        return number

    def to_json(self) -> str:
        """The text of its tokenizer.json."""
        text: str = self._backend.to_str()
        return text


def guard_messages(messages: Iterable[Mapping[str, Any]], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Chat messages whose texts cannot spell special tokens: their content, or the `text` of its parts."""

    def guarded(part: Any) -> Any:
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            return {**part, "text": tokenizer.guard(part["text"])}
        return tokenizer.guard(part) if isinstance(part, str) else part

    def guarded_message(message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        if isinstance(content, list | tuple):
            return {**message, "content": [guarded(part) for part in content]}
        return {**message, "content": guarded(content)}

    return [guarded_message(message) for message in messages]


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the text has half a character ({text[error.start]!a}) at place {error.start}",
            hint="check the encoding of the terminal or of the file it comes from (UTF-8 is expected)",
        ) from None
    return text


def _spellings(text: str, special: str) -> Iterable[int]:
    """Where `special` starts in `text`, also where only its beginning is there, at the very end."""
    place = text.find(special)
    while place >= 0:
        yield place
        place = text.find(special, place + 1)
    end = text.rstrip()  # templates trim
    for length in range(1, len(special)):
        if end.endswith(special[:length]):
            yield len(end) - length


def _is_byte_level(decoder: Any) -> bool:
    state = json.loads(decoder.__getstate__()) if decoder is not None else {}
    steps = state["decoders"] if state.get("type") == "Sequence" else [state]
    return [step.get("type") for step in steps] == ["ByteLevel"]
