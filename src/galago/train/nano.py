"""`train`: the run that makes nano, from nothing or from a checkpoint, for so many minutes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from galago.drawing import Split
from galago.engine.checkpoint import open_checkpoint
from galago.errors import TrainingError
from galago.files import reason
from galago.kernels import open_device
from galago.train import checkpoint as checkpoints
from galago.train.batches import make_batch
from galago.train.checkpoint import Checkpoint, Progress
from galago.train.learner import Learner
from galago.train.optimise import Optimiser, rate_factor
from galago.train.pool import Pool, Shard, Source, draw_shard, load_shard, save_shard
from galago.train.settings import Settings
from galago.train.stages import STAGES, mixture
from galago.train.workers import Helper, Report, Worker

NANO = Path(__file__).parent.parent / "nano"
CHECKPOINT, SETTLED = "checkpoint.pt", "settled.pt"
VALIDATION_SEED = 900_000_000
STALE_S = 1800


class Run:
    """One run: the learner, its optimiser, the pool, and the log that is kept."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        torch.set_num_threads(settings.threads)
        config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
        self.learner = Learner(config, seed=settings.seed, device=settings.device, dtype=settings.dtype)
        self.optimiser = Optimiser(
            self.learner.masters,
            rate=settings.rate,
            weight_decay=settings.weight_decay,
            dtype=self.learner.dtype,
        )
        self.average = {name: master.clone() for name, master in self.learner.masters.items()}
        tokenizer = Tokenizer.from_file(str(NANO / "tokenizer.json"))
        # this process also updates the weights, so it takes smaller batches than its helpers
        share = 0.65 if settings.processes > 1 else 1.0
        self.worker = Worker(settings, self.learner, tokenizer, share=share)
        self.rng = np.random.default_rng(settings.seed)
        self.progress = Progress()
        if settings.start is not None:
            self._begin_with(settings.start)
        if settings.resume:
            self._restore(checkpoints.load(self.checkpoint_path))
        if settings.processes > 1:
            self.learner.share()
        self._asked = False
        self.helpers = [Helper(settings, self.learner, config) for _ in range(1, settings.processes)]

    @property
    def checkpoint_path(self) -> Path:
        """Where the plateau's checkpoint is: what a run resumes from."""
        return self.settings.out / CHECKPOINT

    @property
    def path(self) -> Path:
        """Where the state of the present stage is written."""
        return self.settings.out / SETTLED if self.progress.stage == "settle" else self.checkpoint_path

    def _begin_with(self, source: str) -> None:
        """Take the weights of a model that was shipped."""
        found = open_checkpoint(source)
        for tensor in found.tensors:
            master = self.learner.masters.get(tensor.ours)
            weight = torch.from_numpy(np.array(found.weight(tensor, "f32"), np.float32))
            if master is None or master.numel() != weight.numel():
                raise TrainingError(
                    f"{source} is another model than {NANO / 'config.json'}: {tensor.ours} differs"
                )
            master.copy_(weight.reshape(master.shape))
            self.average[tensor.ours].copy_(master)
        self.learner.refresh()

    def _restore(self, found: Checkpoint) -> None:
        for ours, theirs in ((self.learner.masters, found.masters), (self.average, found.average)):
            if ours.keys() != theirs.keys():
                raise TrainingError(
                    f"{self.checkpoint_path} belongs to another model than {NANO / 'config.json'}"
                )
            for name, value in theirs.items():
                ours[name].copy_(value)
        self.optimiser.restore(found.optimiser)
        self.rng.bit_generator.state = found.generator
        self.progress = found.progress
        self.learner.refresh()

    def save(self) -> None:
        """Write the state of the run into its folder; settling leaves the checkpoint of the plateau alone."""
        state = Checkpoint(
            self.learner.masters,
            self.average,
            self.optimiser.state(),
            dict(self.rng.bit_generator.state),
            self.progress,
        )
        checkpoints.save(self.path, state)

    def enter(self, stage: str) -> None:
        """Begin a stage, or go on in it."""
        if self.progress.stage != stage:
            self.progress.stage, self.progress.stage_started = stage, self.progress.step

    def step(self, pool: Pool, settled: float = 0.0) -> Report:
        """One update of all weights.

        Helpers go on with their next batches while the weights are updated: their gradients may be one step
        old, and no core waits.
        """
        stage = self.progress.stage
        if not self._asked:
            for helper in self.helpers:
                helper.ask(stage)
        batches = [self.worker.batch(pool, stage, self.rng) for _ in range(self.settings.batches)]
        report = self.worker.work(batches, stage)
        gradients = self.learner.gradients()
        for helper in self.helpers:
            theirs = helper.answer()
            report.loss += theirs.loss
            report.pictures += theirs.pictures
            report.turns += theirs.turns
            report.add(theirs.tasks)
            for name, gradient in helper.gradients.items():
                if name in gradients:
                    gradients[name].add_(gradient)
                elif gradient.any():  # what only the helper's pictures have, a needle for example
                    gradients[name] = gradient.clone()
            helper.ask(stage)
        self._asked = True
        share = 1 / (1 + len(self.helpers))
        report.loss *= share
        torch._foreach_mul_(list(gradients.values()), share)
        if not np.isfinite(report.loss):
            raise TrainingError(
                f"the loss is {report.loss} at step {self.progress.step}",
                hint="--resume goes on from the last checkpoint",
            )
        since = self.progress.step - self.progress.stage_started
        self.optimiser.step(gradients, rate_factor(since, self.settings.warmup, settled))
        self.learner.refresh()
        self.progress.step += 1
        self.progress.pictures += report.pictures
        self.progress.turns += report.turns
        self._follow()
        return report

    def close(self) -> None:
        """End the helpers."""
        for helper in self.helpers:
            helper.close()

    @torch.no_grad()
    def _follow(self) -> None:
        """The moving average of the weights, over about the last two hundred steps."""
        weight = max(5e-3, 1 / (1 + self.progress.step))
        torch._foreach_lerp_(list(self.average.values()), list(self.learner.masters.values()), weight)

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the run's log."""
        where = {
            "step": self.progress.step,
            "pictures": self.progress.pictures,
            "minutes": round(self.progress.minutes, 2),
            "stage": self.progress.stage,
        }
        with (self.settings.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**where, **record}) + "\n")

    @torch.no_grad()
    def validate(self, shards: Mapping[str, Shard]) -> dict[str, dict[str, float]]:
        """Losses and exact answers on held-out pictures by task, with the averaged weights."""
        _copy(self.learner.live, self.average)
        report = Report()
        for shard in shards.values():
            batch = make_batch(
                shard, self.worker.spelling, np.random.default_rng(0), tokens_per_cell=8.0, chained=0.0
            )
            report.add(self.learner.scores(batch).tasks)
        self.learner.refresh()
        return summary(report.tasks)


@torch.no_grad()
def _copy(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)


def summary(seen: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Sums by task -> loss a token, share of tokens right, share of answers exact, answers seen."""
    return {
        name: {
            "loss": round(loss / max(tokens, 1), 4),
            "tokens": round(right / max(tokens, 1), 4),
            "exact": round(exact / max(turns, 1), 4),
            "count": int(turns),
        }
        for name, (loss, right, tokens, exact, turns) in sorted(seen.items())
    }


def validation_shards(settings: Settings, sources: list[Source]) -> dict[str, Shard]:
    """Held-out pictures of every source at full difficulty, drawn once and kept beside the run."""
    folder = settings.out / "validation"
    folder.mkdir(parents=True, exist_ok=True)
    shards = {}
    for source in sources if settings.validation else []:
        path = folder / f"{source.key}.npz"
        if not path.exists():
            hard = Source(source.recipe, source.size, difficulty=(0.5, 1.0), fonts=source.fonts)
            save_shard(path, draw_shard(hard, VALIDATION_SEED, settings.validation, Split.HELD_OUT))
        shards[source.key] = load_shard(path)
    return shards


def train(settings: Settings) -> Progress:
    """Train nano for `settings.minutes`; leaves checkpoints, model/ and log.jsonl in `settings.out`.

    Ctrl-C saves first. Raises TrainingError when the folder cannot be made or holds a run that is not to be
    resumed, when a checkpoint cannot be resumed or the loss is not finite, DeviceError when there is no GPU.
    """
    if settings.resume and settings.start is not None:
        raise TrainingError(
            f"a run that resumes from {settings.out} cannot start from {settings.start}",
            hint="leave out one of --resume and --start",
        )
    if settings.stage not in (*STAGES, "all"):
        raise TrainingError(f"there is no stage {settings.stage!r}", hint=f"one of all, {', '.join(STAGES)}")
    open_device(settings.device)  # raises where it is not there
    _check_folder(settings)
    plan = (
        [
            ("look", settings.minutes * 0.25),
            ("answer", settings.minutes * 0.6),
            ("settle", settings.minutes * 0.15),
        ]
        if settings.stage == "all"
        else [(settings.stage, settings.minutes)]
    )
    run = Run(settings)
    try:
        for stage, minutes in plan:
            _run_stage(run, stage, minutes)
    except KeyboardInterrupt:
        run.save()
        raise
    finally:
        run.close()
    from galago.train.export import write_model

    # on the plateau the moving average is better than the last weights
    settled = run.progress.stage == "settle"
    write_model(run.path, settings.out / "model", average=not settled)
    return run.progress


def _check_folder(settings: Settings) -> None:
    """Make the folder of the run; the checkpoints of another run in it are not written over."""
    out = settings.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        taken = not settings.resume and any((out / name).exists() for name in (CHECKPOINT, SETTLED))
    except OSError as error:
        raise TrainingError(f"{out} cannot be written: {reason(error)}", hint="another --out") from error
    if taken:
        raise TrainingError(f"{out} holds a run", hint="go on with --resume, or name another --out")


def open_pool(settings: Settings) -> Pool:
    """The pool of pictures of a run, with its drawing process unless the run is to be repeatable."""
    return Pool(
        settings.out / "pool",
        mixture(fonts=settings.fonts, largest=settings.largest, easiest=settings.easiest),
        seed=settings.seed,
        shards_kept=settings.shards,
        background=settings.background,
    )


def _run_stage(run: Run, stage: str, minutes: float) -> None:
    settings = run.settings
    run.enter(stage)
    pool = open_pool(settings)
    try:
        shards = validation_shards(settings, pool.sources)
        while not pool.ready():
            time.sleep(1.0)
        _loop(run, pool, stage, minutes, shards)
    finally:
        pool.close()
    run.save()
    if shards:
        run.log({"validation": run.validate(shards)})


def _loop(run: Run, pool: Pool, stage: str, minutes: float, shards: Mapping[str, Shard]) -> None:
    settings, progress = run.settings, run.progress
    began = last = time.monotonic()
    logged = saved = validated = began
    seen, steps = Report(), 0
    while (now := time.monotonic()) - began < minutes * 60:
        settled = (now - began) / (minutes * 60) if stage == "settle" else 0.0
        report = run.step(pool, settled)
        seen.loss += report.loss
        seen.pictures += report.pictures
        seen.turns += report.turns
        seen.add(report.tasks)
        steps += 1
        progress.minutes += (time.monotonic() - last) / 60
        last = time.monotonic()
        if last - logged > settings.log_s:
            speed = {
                "pictures_per_s": seen.pictures / (last - logged),
                "turns_per_s": seen.turns / (last - logged),
            }
            rounded = {name: round(value, 1) for name, value in speed.items()}
            run.log(
                {
                    "loss": round(seen.loss / steps, 4),
                    **rounded,
                    "pool_age_s": round(pool.age_s()),
                    "tasks": summary(seen.tasks),
                }
            )
            if settings.background and pool.age_s() > STALE_S:
                raise TrainingError(
                    f"no picture was drawn for {pool.age_s():.0f} s: the drawing process hangs"
                )
            seen, steps, logged = Report(), 0, last
        if last - saved > settings.save_s:
            run.save()
            saved = last
        if shards and last - validated > settings.validate_s:
            run.log({"validation": run.validate(shards)})
            validated = last = time.monotonic()
