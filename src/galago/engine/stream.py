"""An answer piece by piece, computed as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from galago.engine.batch import Batch, Job
from galago.types import Answer

if TYPE_CHECKING:
    from typing_extensions import Self


class TextStream(Iterator[str]):
    """Pieces of one answer. Nothing is computed between two reads; closing it frees what the answer held.

    `answer` is the whole answer with its record. A `with` block closes the stream at its end. Not safe for
    two threads at once.
    """

    def __init__(
        self,
        batch: Batch,
        job: Job,
        computing: Callable[[], AbstractContextManager[None]],
        record: Callable[[Job, Batch], Answer],
    ) -> None:
        self._batch, self._job = batch, job
        self._computing, self._record = computing, record
        self._answer: Answer | None = None

    def __next__(self) -> str:
        """The next piece, never empty; raises StopIteration after the last one."""
        while self._answer is None:
            generation = self._job.generation
            piece = generation.new_text() if generation is not None else ""
            if piece:
                return piece
            if self._batch.done:
                self._answer = self._record(self._job, self._batch)
                break
            with self._computing():
                self._batch.step()
        raise StopIteration

    @property
    def answer(self) -> Answer:
        """The whole answer; what is not written yet is written first."""
        for _ in self:
            pass
        assert self._answer is not None
        return self._answer

    def close(self) -> None:
        """End the answer where it is; `answer` then has what there is. Nothing happens when it has ended."""
        if self._answer is None:
            with self._computing():
                self._batch.cancel()
            self._answer = self._record(self._job, self._batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
