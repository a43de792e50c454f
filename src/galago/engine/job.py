"""One answer on its way through an engine: from a prepared prompt to its last token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

from galago.engine.generation import Generation
from galago.engine.grammar import Constraint
from galago.engine.prompt import Prompt
from galago.engine.request import Request
from galago.engine.sight import Sight
from galago.engine.turns import Turn


@dataclass(eq=False)
class Job:
    """Times are `time.perf_counter()` seconds. Whoever waits for it gets from `news`, once for each change.

    Waiting there holds no lock, so that an interrupt cannot leave one held. Whoever sets `cancelled` (any
    thread, without a lock) ends the job at the next step.
    """

    request: Request
    prompt: Prompt
    started: float
    turn: Turn
    news: SimpleQueue[None] = field(default_factory=SimpleQueue)
    streamed: bool = False
    """Whether somebody reads the answer piece by piece."""
    crowd: Sequence[Job] = ()
    """The jobs of one call, this one among them, whose answers are given back together; more may come."""
    sights: tuple[Sight, ...] = ()
    constraint: Constraint | None = None
    generation: Generation | None = None
    fed: float | None = None
    """When the prompt began to be fed."""
    first_token: float | None = None
    ended: float | None = None
    error: BaseException | None = None
    """What ended the job without an answer."""
    cancelled: bool = False
    notes: tuple[str, ...] = field(default=())

    def end(self, now: float) -> None:
        """It has an answer or an error: let go of all that is large, and tell who waits.

        An answer may be held for long, and nothing of it may wait for the collector of cycles.
        """
        for sight in self.sights:
            sight.abandoned = True
        self.sights = tuple(sight.outline() for sight in self.sights)
        self.prompt = replace(self.prompt, images=self.sights)
        if self.generation is not None:
            self.generation.let_go()
        self.crowd, self.constraint = (), None
        self.turn.give_back()
        self.ended = now
        self.news.put(None)

    @property
    def finished(self) -> bool:
        """Whether the job has ended, with an answer or an error."""
        return self.ended is not None

    @property
    def seen(self) -> bool:
        """Whether the features of all its pictures are there."""
        return all(sight.image is not None for sight in self.sights)
