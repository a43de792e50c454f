"""Text to token ids and back: tokenizers, chat templates, and pieces of an answer as it streams.

Knows nothing of models: which tokens mean what is said by the caller.
"""

from __future__ import annotations

from galago.text.streaming import StopMatcher, StreamDecoder
from galago.text.template import ChatTemplate
from galago.text.tokenizer import Tokenizer, guard_messages

__all__ = ["ChatTemplate", "StopMatcher", "StreamDecoder", "Tokenizer", "guard_messages"]
