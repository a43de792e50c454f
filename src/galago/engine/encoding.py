"""The pictures that wait for the vision tower, and the thread that encodes them while answers are written.

First come, first encoded. A picture that several requests wait for is encoded once; small pictures that wait
at the same time are encoded together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial

from galago.engine.encoder import Encoder
from galago.engine.features import EncodedImage
from galago.engine.sight import Sight
from galago.engine.worker import Work, Worker, hear

PATCHES = 2048
"""Patches that are encoded together; a larger picture is encoded alone. More would only cost memory."""


class EncodeQueue:
    """`encoded` is called with the lock held whenever sights are settled. Methods say who holds the lock.

    Pictures of more than `most_tokens` together are not encoded at once. `rest` is the `Worker`'s.
    """

    def __init__(
        self,
        encoder: Encoder,
        lock: threading.Lock,
        computing: Callable[[], AbstractContextManager[None]],
        encoded: Callable[[], None],
        most_tokens: int | None = None,
        rest: Callable[[], Work | None] | None = None,
    ) -> None:
        self._encoder = encoder
        self._lock, self._computing, self._encoded = lock, computing, encoded
        self._most_tokens = most_tokens
        self._waiting: dict[str, list[Sight]] = {}
        self._worker = Worker("galago-encode", lock, self._take, self._failed, rest)

    def waiting(self, key: str) -> Sight | None:
        """A sight of this picture that is not encoded yet. Needs no lock."""
        sights = self._waiting.get(key)
        return sights[0] if sights else None

    def add(self, sight: Sight) -> None:
        """Have a picture encoded, unless it is; the lock is held."""
        if sight.settled:
            return
        kept = self._encoder.kept(sight.key)
        if kept is not None:  # while this request was prepared
            sight.show(kept, 0.0)
            return
        self._waiting.setdefault(sight.key, []).append(sight)
        self._worker.wake()

    def wait(self, sight: Sight) -> EncodedImage:
        """The features of a sight that was added; raises what encoding raised. The lock is not held."""
        while not sight.settled:
            hear(sight.news)
        if sight.error is not None:
            raise sight.error
        assert sight.image is not None
        return sight.image

    def _take(self) -> Work | None:
        for key in [key for key, sights in self._waiting.items() if all(s.abandoned for s in sights)]:
            del self._waiting[key]
        group: list[Sight] = []
        patches = tokens = 0
        for sights in self._waiting.values():
            patches += len(sights[0].visual.patches)
            tokens += sights[0].cells
            if group and (patches > PATCHES or tokens > (self._most_tokens or tokens)):
                break
            group.append(sights[0])
        return partial(self._encode, group) if group else None

    def _encode(self, group: Sequence[Sight]) -> None:
        try:
            with self._computing():
                encoded = self._encoder.encode(group)
        except Exception as error:  # noqa: BLE001 - the edge of a request: raised where the answer is awaited
            if len(group) > 1:
                for sight in group:
                    self._encode([sight])
                return
            self._settle(group[0], error)
            return
        for sight, (image, seconds) in zip(group, encoded, strict=True):
            self._settle(sight, (image, seconds))

    def _settle(self, first: Sight, outcome: tuple[EncodedImage, float] | BaseException) -> None:
        """Tell everybody who waits for a picture; the first who still does has paid for it."""
        with self._lock:
            sights = self._waiting.pop(first.key)
            payer = next((sight for sight in sights if not sight.abandoned), first)
            for sight in sights:
                if isinstance(outcome, BaseException):
                    sight.error = outcome
                else:
                    sight.show(outcome[0], outcome[1] if sight is payer else 0.0)
                sight.news.put(None)
            self._encoded()

    def _failed(self, error: BaseException) -> None:
        for sights in self._waiting.values():
            for sight in sights:
                sight.error = error
                sight.news.put(None)
        self._waiting.clear()
        self._encoded()
