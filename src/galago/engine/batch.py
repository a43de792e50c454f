"""Several answers written together: every product is computed once for the rows of all of them.

Prompts are fed in chunks beside the answers that are already being written. A prompt that begins like one
that is kept, or like one being fed right now, takes over those keys and values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from galago.engine.decode import CHUNK, decode
from galago.engine.generation import Generation
from galago.engine.grammar import Constraint
from galago.engine.kv import SequenceCache
from galago.engine.load import LoadedModel
from galago.engine.prefix import PrefixStore, common
from galago.engine.prompt import Prompt
from galago.engine.request import Request
from galago.text import StreamDecoder

TOGETHER = 8
"""Answers written at the same time; more wait."""
WORTH_WAITING = 16
"""Tokens that a prompt must gain from another's prefill to wait for it."""


@dataclass(eq=False)
class Job:
    """One answer on its way through a batch; times are `time.perf_counter()` seconds."""

    request: Request
    prompt: Prompt
    started: float
    image_s: float | None = None
    encode_s: float | None = None
    constraint: Constraint | None = None
    generation: Generation | None = None
    fed: float | None = None
    """When the prompt began to be fed."""
    first_token: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the answer has ended."""
        return self.generation is not None and self.generation.finished


class Batch:
    """Writes the answers of some jobs, a step at a time; `jobs` change as it goes.

    Not safe for two threads at once: the engine's lock is held around every call.
    """

    def __init__(
        self,
        model: LoadedModel,
        jobs: Sequence[Job],
        prefixes: PrefixStore,
        new_cache: Callable[[], SequenceCache],
        *,
        chunk: int = CHUNK,
        together: int = TOGETHER,
    ) -> None:
        self._model = model
        self._prefixes = prefixes
        self._new_cache = new_cache
        self._chunk, self._together = chunk, together
        self._waiting = list(jobs)
        self._active: list[Job] = []

    @property
    def done(self) -> bool:
        """Whether every answer has ended."""
        return not self._waiting and not self._active

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values of the answers being written."""
        return sum(job.generation.cache.nbytes for job in self._active if job.generation)

    def step(self) -> None:
        """Admit what can start, compute one chunk of rows, and append a token wherever all rows are fed."""
        self._waiting = [job for job in self._waiting if not self._admit(job)]
        active = [job for job in self._active if job.generation and not job.generation.finished]
        generations = [job.generation for job in active if job.generation]
        if generations:
            for index, logits in decode(self._model.network, generations, self._chunk):
                generations[index].take(logits)
                if active[index].first_token is None:
                    active[index].first_token = time.perf_counter()
        for job in [job for job in self._active if job.finished]:
            self._retire(job)

    def cancel(self) -> None:
        """End everything where it is; what was computed of the prompts is kept for others."""
        for job in [*self._active, *self._waiting]:
            if job.generation is None:
                job.generation = self._generation(job, self._new_cache())
            job.generation.cancel()
            self._retire(job)
        self._waiting = []

    def _admit(self, job: Job) -> bool:
        """Start a job, unless there is no room or another is about to compute what it needs."""
        if len(self._active) >= self._together:
            return False
        identity, most = job.prompt.identity, len(job.prompt) - 1  # the last token's logits are needed
        held, source = self._prefixes.find(identity)
        promised = 0
        for other in self._active:
            assert other.generation is not None
            shared = common(other.prompt.identity, identity)
            promised = max(promised, shared)
            if min(shared, len(other.generation.cache)) > held:
                held, source = min(shared, len(other.generation.cache)), other.generation.cache
        held = min(held, most)
        if min(promised, most) >= held + WORTH_WAITING:
            return False
        expected = len(job.prompt) + min(job.request.params.max_tokens, CHUNK)
        cache = source.fork(held, expected=expected) if source else self._new_cache()
        cache.reserve(expected)
        job.fed = time.perf_counter()
        job.generation = self._generation(job, cache)
        self._active.append(job)
        return True

    def _generation(self, job: Job, cache: SequenceCache) -> Generation:
        return Generation(
            job.prompt,
            job.request.params,
            cache=cache,
            end_ids=self._model.end_ids,
            room=self._model.config.context,
            decoder=StreamDecoder(self._model.tokenizer, show_special=job.request.show_special),
            constraint=job.constraint,
        )

    def _retire(self, job: Job) -> None:
        """Note the end and keep the keys and values, unless they are garbage."""
        assert job.generation is not None
        job.ended = time.perf_counter()
        if job in self._active:
            self._active.remove(job)
        if job.generation.finish_reason != "garbage":
            self._prefixes.put(job.generation.identity, job.generation.cache, job.prompt.head)
