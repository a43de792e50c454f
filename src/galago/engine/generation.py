"""One answer while it is written: its tokens, its text, and why it ended. Computes no logits itself."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from galago.engine.draft import Drafter
from galago.engine.grammar import Constraint
from galago.engine.guard import LoopGuard, is_sound
from galago.engine.kv import SequenceCache
from galago.engine.prompt import Ids, Prompt, Rows
from galago.engine.sampling import Logits, Sampler
from galago.text import StopMatcher, StreamDecoder
from galago.types import FinishReason, SamplingParams


class Generation:
    """A sequence from its prompt to its last token.

    `room` is how many tokens prompt and answer may have together. The cache holds a beginning of the
    sequence; whatever it lacks is pending. Tokens that the constraint forces are appended without being
    chosen.
    """

    def __init__(
        self,
        prompt: Prompt,
        params: SamplingParams,
        *,
        cache: SequenceCache,
        end_ids: Collection[int],
        room: int,
        decoder: StreamDecoder,
        constraint: Constraint | None = None,
    ) -> None:
        self.prompt = prompt
        self.cache = cache
        self.cached_tokens = len(cache)
        self.tokens: list[int] = []
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self.note: str | None = None
        self._params = params
        self._most = min(params.max_tokens, room - len(prompt))
        self._ends = list(end_ids)
        self._constraint = constraint
        self._sampler = Sampler(params, prompt.ids.tolist())
        self._guard = LoopGuard()
        self._decoder = decoder
        self._stops = StopMatcher(params.stop)
        self._told = 0
        self._drafter = Drafter(params.draft_tokens, prompt.ids.tolist() if params.draft_tokens else ())
        self.draft: list[int] = []
        """Tokens guessed to follow; the next step may compute them too."""
        self._append_forced()
        self._guess()

    @property
    def pending(self) -> int:
        """Tokens that the cache does not hold yet."""
        return len(self.prompt) + len(self.tokens) - len(self.cache)

    @property
    def wanted(self) -> int:
        """Rows that the next steps should compute: what is pending, and the draft once the prompt is fed."""
        return self.pending + (len(self.draft) if self.is_writing else 0)

    @property
    def is_writing(self) -> bool:
        """Whether the cache holds the whole prompt."""
        return len(self.cache) >= len(self.prompt)

    @property
    def looks_at(self) -> int | None:
        """How many of the largest of the next logits are looked at; None where it may be any."""
        if self._constraint is not None or not self._sampler.takes_best:
            return None
        return 1 + len(self._ends) if self._is_early else 1

    @property
    def _is_early(self) -> bool:
        """Whether the answer may not end yet."""
        return len(self.tokens) < self._params.min_tokens

    @property
    def finished(self) -> bool:
        """Whether the answer has ended."""
        return self.finish_reason is not None

    @property
    def identity(self) -> Ids:
        """What identifies the rows of the whole sequence (see `Prompt.identity`)."""
        return np.concatenate([self.prompt.identity, np.array(self.tokens, np.int64)])

    def rows(self, count: int) -> Rows:
        """The next `count` tokens, pending ones and then those of the draft, as the decoder takes them."""
        start, stop, length = len(self.cache), len(self.cache) + count, len(self.prompt)
        if stop <= length:
            return self.prompt.rows(start, stop)
        first = max(0, start - length)
        tokens = [*self.tokens[first:], *self.draft][: stop - length - first]
        place = self.prompt.next_position + first
        after = np.arange(place, place + len(tokens))
        told = Rows(
            np.array(tokens, np.int64),
            np.full(len(tokens), -1),
            np.array([after] * len(self.prompt.positions)),
        )
        if start >= length:
            return told
        asked = self.prompt.rows(start, length)
        return Rows(
            np.concatenate([asked.ids, told.ids]),
            np.concatenate([asked.feature_rows, told.feature_rows]),
            np.concatenate([asked.positions, told.positions], axis=1),
        )

    def take(self, logits: NDArray[np.float32]) -> None:
        """Logits [1 + n, V] after the last token and after each of n tokens of the draft: choose, or end.

        A token is chosen from every row as long as what was chosen is what the draft said, so that tokens
        and draws are those of one row at a time; the cache forgets the rows of a draft that was wrong. The
        logits are this answer's to change.
        Raises SchemaError when the constraint cannot be followed.
        """
        before, draft = len(self.tokens), self.draft[: len(logits) - 1]
        while not self.finished:
            place = len(self.tokens) - before  # more than one further on where a grammar forced tokens
            if place >= len(logits) or self.tokens[before:] != draft[:place]:
                break
            self._choose(logits[place])
        said = self.tokens[before:]
        true = next((n for n, (a, b) in enumerate(zip(draft, said, strict=False)) if a != b), None)
        true = min(len(draft), len(said)) if true is None else true
        self.cache.truncate(len(self.prompt) + before + true)
        self._drafter.judge(len(draft), true)
        self._guess()

    def _guess(self) -> None:
        room = self._most - len(self.tokens) - 1
        self.draft = [] if self.finished or room < 1 else self._drafter.guess(room)
        if self.draft and self._constraint is not None:
            self.draft = self.draft[: self._constraint.possible(self.draft)]

    def _choose(self, logits: Logits) -> None:
        if not is_sound(logits):
            self._finish("garbage", "the model computed numbers that are not finite")
            return
        early = self._is_early
        if self._constraint is not None:
            token = self._sampler.choose(logits, self._allowed(self._constraint, early=early))
        else:
            if early:
                logits[self._ends] = -np.inf
            token = self._sampler.choose(logits)
        if token in self._ends:
            self._finish("stop")
            return
        if self._constraint is not None:
            self._constraint.accept(token)
        self._append(token, is_last=self._constraint is not None and self._constraint.finished)
        self._append_forced()

    def new_text(self) -> str:
        """What the answer has gained since this was last asked."""
        piece = self.text[self._told :]
        self._told = len(self.text)
        return piece

    def cancel(self) -> None:
        """End the answer where it is; nothing happens when it has ended."""
        if not self.finished:
            self._finish("cancelled")

    def let_go(self) -> None:
        """The answer has ended: give up the prompt, and keys and values. What was written stays."""
        del self.prompt, self.cache
        self._constraint = None

    def _allowed(self, constraint: Constraint, *, early: bool) -> NDArray[np.bool_]:
        """The mask [V] of tokens that may come; no end of the answer where it is too early for one."""
        allowed = constraint.allowed()
        if early:
            without = allowed.copy()
            without[self._ends] = False
            return without if without.any() else allowed  # the constraint's word counts more
        return allowed

    def _append_forced(self) -> None:
        if self._constraint is None or self.finished:
            return
        forced = self._constraint.forced()
        for place, token in enumerate(forced, 1):
            self._append(token, is_last=self._constraint.finished and place == len(forced))

    def _append(self, token: int, *, is_last: bool = False) -> None:
        if self.finished:
            return
        self.tokens.append(token)
        self._sampler.note(token)
        self._guard.push(token)
        self._drafter.push(token)
        passed, stopped = self._stops.push(self._decoder.push(token))
        self.text += passed
        if stopped:
            self.finish_reason = "stop"
        elif self._guard.looping and len(self.tokens) > self._params.min_tokens:
            self._finish("garbage", "the model repeats itself without end")
        elif is_last or len(self.tokens) >= self._most:
            self._finish("stop" if is_last else "length")

    def _finish(self, reason: FinishReason, note: str | None = None) -> None:
        self.finish_reason, self.note = reason, note
        last, stopped = self._stops.push(self._decoder.flush())
        self.text += last if stopped else last + self._stops.flush()
