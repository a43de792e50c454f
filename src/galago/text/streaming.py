"""An answer while it grows: whole characters from tokens, and stop strings that come in pieces."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from galago.text.tokenizer import Tokenizer


class StreamDecoder:
    """Turns ids into text one at a time; joined, the pieces are what `Tokenizer.decode` gives for all ids.

    A character may be spread over several tokens: its bytes are held back until it is whole.
    """

    def __init__(self, tokenizer: Tokenizer, *, show_special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._show_special = show_special
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes; may be empty."""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id, show_special=self._show_special))

    def flush(self) -> str:
        """U+FFFD for a character that was begun and never ended, else nothing. Ready for a new text then."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Passes text on until one of the stop strings is complete, which is not passed on itself.

    What might become a stop string is held back. Among several, the one that is complete first counts, and of
    these the longest, so the result does not depend on how the text was cut into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        assert all(stops), "SamplingParams refuses empty stop strings"
        self._stops = tuple(stops)
        self._held = ""
        self._stopped = False

    def push(self, text: str) -> tuple[str, bool]:
        """(text to pass on, whether a stop string is complete). After that, nothing is passed on any more."""
        if self._stopped:
            return "", True
        text = self._held + text
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            self._stopped, self._held = True, ""
            return text[: min(found)[1]], True
        keep = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """What was held back, at the end of a text that no stop string ended."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are a beginning of `stop`, not the whole of it."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
