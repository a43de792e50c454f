"""A network that takes a step only when the test lets it, and notes what every step was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from galago import Model
from galago.engine.engine import Engine

HELLO = [{"role": "user", "content": "hello"}]
PATIENCE_S = 60
"""A step that does not come in this time never will: the test fails instead of hanging."""


class Gate:
    """`passed` has one number for each step begun: its rows. Closed at first, or open for ever."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.passed: list[int] = []
        self._began = threading.Semaphore(0)
        self._tickets = threading.Semaphore(0)
        self._open = is_open

    def enter(self, rows: int) -> None:
        """Called by the network: wait for a ticket."""
        self.passed.append(rows)
        self._began.release()
        if not self._open:
            assert self._tickets.acquire(timeout=PATIENCE_S)

    def wait(self) -> None:
        """Until the next step has begun (and waits for its ticket)."""
        assert self._began.acquire(timeout=PATIENCE_S)

    def release(self) -> None:
        """Let the step that waits go on."""
        self._tickets.release()

    def let(self) -> None:
        """Let the step that waits go on, and wait for the next one."""
        self.release()
        self.wait()

    def open(self) -> None:
        """Let everything pass from now on."""
        self._open = True
        self._tickets.release()


class Gated:
    """A network with a gate before its decoder and one before its vision tower."""

    def __init__(self, network: Any, steps: Gate, looks: Gate) -> None:
        self._network, self.steps, self.looks = network, steps, looks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def decode(self, x: Any, positions: Any, cache: Any, wanted: Any = None) -> Any:
        self.steps.enter(len(x))
        return self._network.decode(x, positions, cache, wanted)

    def encode(self, patches: Any, grids: Any) -> Any:
        self.looks.enter(len(grids))
        return self._network.encode(patches, grids)


def gated(model: Model, *, steps: bool = False, looks: bool = False, **options: Any) -> tuple[Model, Gated]:
    """A model like this one with closed gates before its `steps` or its `looks`, and its network."""
    network = Gated(model.engine.model.network, Gate(is_open=not steps), Gate(is_open=not looks))
    return Model(Engine(replace(model.engine.model, network=network), **options)), network


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """What `work` returns, computed in another thread: call the result to have it."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def join() -> Any:
        thread.join()
        return found[0]

    return join


def asking(image: Any, question: str) -> list[dict[str, Any]]:
    """The messages of one question about a picture."""
    parts = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    return [{"role": "user", "content": parts}]


def exactly(count: int) -> dict[str, Any]:
    """Options of an answer of so many tokens."""
    return {"max_tokens": count, "min_tokens": count}


def fresh(model: Model, **options: Any) -> Model:
    """A model like this one that knows no picture and no prompt yet."""
    return Model(Engine(model.engine.model, **options))
