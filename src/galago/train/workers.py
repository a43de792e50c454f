"""Losses and gradients of batches, by this process and its helpers.

Each helper is one process of one thread that computes with the same weights in shared memory and leaves its
gradients there: the processes meet once per step, not once per operation as threads would.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.multiprocessing
from tokenizers import Tokenizer
from torch import Tensor

from galago.errors import TrainingError
from galago.train.batches import Batch, Spelling, make_batch
from galago.train.learner import Learner
from galago.train.pool import Pool, Source
from galago.train.settings import Settings

PATCHES_PER_CELL = 4


@dataclass
class Report:
    """What a process did in one step: mean loss of its batches, and sums by task (see `learner.Scores`)."""

    loss: float = 0.0
    pictures: int = 0
    turns: int = 0
    tasks: dict[str, list[float]] = field(default_factory=dict)

    def add(self, tasks: Mapping[str, list[float]]) -> None:
        """Add sums by task."""
        for name, values in tasks.items():
            entry = self.tasks.setdefault(name, [0.0] * 5)
            for place, value in enumerate(values):
                entry[place] += value


class Worker:
    """Draws batches from the pool and adds up the gradients of the learner it is given."""

    def __init__(
        self, settings: Settings, learner: Learner, tokenizer: Tokenizer, *, share: float = 1.0
    ) -> None:
        self.settings, self.learner, self.share = settings, learner, share
        self.spelling = Spelling(tokenizer)

    def pictures(self, source: Source) -> int:
        """How many pictures of a source go into a batch."""
        patches = source.size[0] * source.size[1] * PATCHES_PER_CELL
        return max(4, min(192, round(self.settings.patches * self.share) // patches))

    def batch(self, pool: Pool, stage: str, rng: np.random.Generator) -> Batch:
        """A batch of one source, chosen by its share of pictures, with pictures and questions at random."""
        while not (sources := pool.ready()):
            time.sleep(0.5)
        share = np.array([source.weight / self.pictures(source) for source in sources])
        source = sources[int(rng.choice(len(sources), p=share / share.sum()))]
        shard = pool.pick(source, rng, self.pictures(source))
        tokens = 0.0 if stage == "look" else self.settings.tokens_per_cell
        return make_batch(shard, self.spelling, rng, tokens_per_cell=tokens)

    def work(self, batches: list[Batch], stage: str) -> Report:
        """Add the gradients of the mean loss of `batches` to the learner's."""
        report = Report()
        for batch in batches:
            dense = 1.0 if stage == "look" else self.settings.dense
            scores = self.learner.scores(batch, dense=dense, pull=self.settings.pull)
            torch.autograd.backward(scores.loss / len(batches))
            report.loss += float(scores.loss.detach()) / len(batches)
            report.pictures += len(batch)
            report.turns += sum(len(rows.ids) for rows in batch.rows)
            report.add(scores.tasks)
        return report


class Helper:
    """Another process that works on the same weights. `gradients` are its own, float32, in shared memory."""

    def __init__(self, settings: Settings, learner: Learner, config: Mapping[str, object]) -> None:
        self.gradients = {name: _shared(torch.zeros_like(m)) for name, m in learner.masters.items()}
        context = torch.multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        shared = {name: live.detach() for name, live in learner.live.items()}
        self.process = context.Process(
            target=_serve, args=(settings, config, shared, self.gradients, theirs), daemon=True
        )
        self.process.start()

    def ask(self, stage: str) -> None:
        """Let it compute its batches of one step with the weights as they are now."""
        self.pipe.send(stage)

    def answer(self) -> Report:
        """Wait for what `ask` began; raises TrainingError when the process died."""
        try:
            report = self.pipe.recv()
        except EOFError:
            raise TrainingError(
                "a training process ended unexpectedly", hint="resume with --resume"
            ) from None
        assert isinstance(report, Report)
        return report

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()


def _shared(tensor: Tensor) -> Tensor:
    moved: Tensor = tensor.share_memory_()  # type: ignore[no-untyped-call]
    return moved


def _serve(
    settings: Settings,
    config: Mapping[str, object],
    shared: dict[str, Tensor],
    gradients: dict[str, Tensor],
    pipe: multiprocessing.connection.Connection,
) -> None:
    """The body of a helper: computes with whatever weights are in shared memory."""
    from galago.train.nano import NANO

    torch.set_num_threads(settings.threads)
    learner = Learner(config, seed=settings.seed, device=settings.device, dtype=settings.dtype, live=shared)
    worker = Worker(settings, learner, Tokenizer.from_file(str(NANO / "tokenizer.json")))
    pool = Pool(settings.out / "pool", [], seed=settings.seed, draws=False)
    rng = np.random.default_rng()  # batches of a run with helpers are not repeatable
    stage = pipe.recv()
    batches = [worker.batch(pool, stage, rng) for _ in range(settings.batches)]
    while True:
        report = worker.work(batches, stage)
        found = learner.gradients()
        for name, target in gradients.items():
            if name in found:
                target.copy_(found[name])
            else:
                target.zero_()
        pipe.send(report)
        stage = pipe.recv()
        batches = [worker.batch(pool, stage, rng) for _ in range(settings.batches)]
