"""An answer piece by piece, while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from galago.engine.job import Job
from galago.engine.scheduler import Scheduler
from galago.types import Answer

if TYPE_CHECKING:
    from typing_extensions import Self


class TextStream(Iterator[str]):
    """Pieces of one answer. It is written whether or not it is read; closing the stream ends it in a step.

    `answer` is the whole answer with its record. A `with` block closes the stream at its end, and so does
    leaving a loop over a stream that nobody holds. Not safe for two threads at once.
    """

    def __init__(self, job: Job, scheduler: Scheduler, record: Callable[[Job], Answer]) -> None:
        self._job, self._scheduler, self._record = job, scheduler, record
        self._answer: Answer | None = None

    def __next__(self) -> str:
        """The next piece, never empty; raises StopIteration after the last one, or what ended the answer."""
        piece = "" if self._job.cancelled else self._scheduler.piece(self._job)
        if not piece:
            raise StopIteration
        return piece

    @property
    def answer(self) -> Answer:
        """The whole answer, once it is written; raises what ended it without one."""
        if self._answer is None:
            self._answer = self._record(self._scheduler.wait(self._job))
        return self._answer

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids that the model chose, without an end token, once the answer is written; raises as `answer`.

        They are not what the tokenizer makes of the text where a model spells what it could write shorter.
        """
        generation = self._scheduler.wait(self._job).generation
        return () if generation is None else tuple(generation.tokens)

    def close(self) -> None:
        """End the answer where it is; `answer` then has what there is. Nothing happens when it has ended."""
        if not self._job.finished:
            self._scheduler.cancel([self._job])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Without the lock: it may be held by the very thread that collects this stream.
        self._job.cancelled = True
