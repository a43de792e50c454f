"""The measurement itself: one model, loaded here, asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from galago import device, kernels, media
from galago.bench import facts, pictures, work
from galago.bench.ceilings import ceilings
from galago.bench.record import (
    MemoryUse,
    PictureFacts,
    Plan,
    Record,
    Second,
    Shares,
    Single,
    Spread,
    Together,
    share_of_peak,
    share_of_reading,
    spread,
)
from galago.engine.guard import GARBAGE_HINT
from galago.errors import GarbageError
from galago.files import StrPath
from galago.tasks.model import Model, load
from galago.types import Answer

Progress = Callable[[int, int], None]
"""Told (steps done, steps in all)."""

QUICK_S = 2.0
"""What takes less is measured as often as single answers are; what takes longer, once."""
RUNS_S = 20.0
"""Time for the runs where the plan leaves their number open."""
MOST_RUNS = 5


def measure(
    source: StrPath,
    picture: Any = None,
    plan: Plan | None = None,
    *,
    command: str | None = None,
    progress: Progress | None = None,
) -> Record:
    """Load a model and measure it; `command` goes into the record as it is.

    Image features are not kept on disk. The peak of memory is this process's: what it did before counts.
    Raises what `galago.load` and `Model.ask` raise, PictureError first, and GarbageError where an answer is
    garbage.
    """
    plan = plan or Plan()
    pixels = pictures.draw(plan.size) if picture is None else media.read_picture(picture).pixels
    return _Measurement(plan, pixels, progress or (lambda _done, _count: None)).run(source, command)


class _Measurement:
    """The steps in their order; `pixels` [H, W, 3] is the picture."""

    STEPS = 8

    def __init__(self, plan: Plan, pixels: pictures.Pixels, progress: Progress) -> None:
        self.plan, self.pixels = plan, pixels
        self._progress, self._done = progress, 0

    def run(self, source: StrPath, command: str | None) -> Record:
        """All of it."""
        plan = self.plan
        threads = kernels.ThreadPool(plan.threads).threads
        felt = device.state()
        self._step()
        before = ceilings(threads)
        self._step()
        model, load_s = self._load(source)
        self._step()
        first = self._ask(model, 0)
        self._step()
        singles, seconds = self._singles(model, first)
        alone = device.process_memory()
        self._step()
        questions, shown = self._together(model, singles, seconds)
        crowded = device.process_memory()
        self._step()
        counted, picture = self._count(model, singles[0])
        self._step()
        peaks = (before, ceilings(threads))
        self._step()
        single = _single(singles)
        return Record(
            software=facts.software(command),
            machine=facts.machine(threads),
            model=facts.model(model),
            plan=plan,
            picture=picture,
            runs=len(singles),
            load_s=load_s,
            first=first.timings,
            single=single,
            second=_second(seconds),
            questions_together=questions,
            pictures_together=shown,
            memory=MemoryUse(alone.peak_bytes, alone.own_bytes, crowded.peak_bytes, crowded.own_bytes),
            work=counted,
            shares=Shares(
                vision=share_of_peak(counted.vision, single.vision_s, peaks),
                prefill=share_of_peak(counted.prefill, single.prefill_s, peaks),
                decode=share_of_reading(counted.token_bytes, single.decode_tokens_per_second, peaks),
            ),
            ceilings=peaks,
            device=(felt, device.state()),
            answer=sorted(singles, key=lambda answer: answer.timings.total_s or 0)[len(singles) // 2],
        )

    def _step(self) -> None:
        self._progress(self._done, self.STEPS)
        self._done += 1

    def _load(self, source: StrPath) -> tuple[Model, Spread]:
        """The model, loaded several times where that is quick: the first time finds nothing imported."""
        plan, seconds = self.plan, list[float]()
        while True:
            began = time.perf_counter()
            model = load(source, threads=plan.threads, weights=plan.weights, memory=plan.memory, cache=False)
            seconds.append(time.perf_counter() - began)
            if sum(seconds) > QUICK_S or len(seconds) >= (plan.runs or MOST_RUNS):
                return model, Spread.of(seconds)
            del model

    def _ask(self, model: Model, question: int) -> Answer:
        return self._ask_many(model, [(self.pixels, pictures.QUESTIONS[question])])[0]

    def _ask_many(self, model: Model, pairs: Sequence[tuple[Any, str]]) -> list[Answer]:
        tokens = self.plan.tokens
        answers = model.ask_many(pairs, max_tokens=tokens, min_tokens=tokens)
        for answer in answers:
            if answer.finish_reason == "garbage":
                raise GarbageError(f"{answer.model}: {answer.notes[-1]}", hint=GARBAGE_HINT)
        return answers

    def _singles(self, model: Model, first: Answer) -> tuple[list[Answer], list[Answer]]:
        """Answers about a picture that no cache knows, and to a second question each."""
        runs = self.plan.runs
        if runs is None:
            runs = max(1, min(MOST_RUNS, int(RUNS_S / max(first.timings.total_s or 0, 1e-3))))
        singles, seconds = [], []
        for _ in range(runs):
            model.close()
            singles.append(self._ask(model, 0))
            seconds.append(self._ask(model, 1))
        return singles, seconds

    def _together(
        self, model: Model, singles: Sequence[Answer], seconds: Sequence[Answer]
    ) -> tuple[Together | None, Together | None]:
        """Different questions about one picture, and one question about different pictures."""
        count = self.plan.together
        if count == 0:
            return None, None
        one, another = (_middle(answers) for answers in (singles, seconds))
        asked = [(self.pixels, text) for text in pictures.QUESTIONS[:count]]
        shown = [(pixels, pictures.QUESTIONS[0]) for pixels in pictures.variants(self.pixels, count)]
        return (
            self._at_once(model, asked, one + (count - 1) * another, len(singles)),
            self._at_once(model, shown, count * one, len(singles)),
        )

    def _at_once(self, model: Model, pairs: Sequence[tuple[Any, str]], alone_s: float, runs: int) -> Together:
        seconds, rates = list[float](), list[float]()
        while len(seconds) < runs and sum(seconds) <= QUICK_S:
            model.close()
            began = time.perf_counter()
            answers = self._ask_many(model, pairs)
            seconds.append(time.perf_counter() - began)
            rates.append(sum(answer.usage.completion_tokens for answer in answers) / seconds[-1])
        total = Spread.of(seconds)
        share = total.median / alone_s if alone_s else None
        return Together(len(pairs), total, Spread.of(rates), share)

    def _count(self, model: Model, answer: Answer) -> tuple[work.Work, PictureFacts]:
        loaded = model.engine.model
        visual = loaded.processor.image(self.pixels)
        with model.engine.computing():
            counted = work.count(
                loaded.network,
                loaded.processor,
                visual,
                prompt_tokens=answer.usage.prompt_tokens,
                cached_tokens=answer.usage.cached_tokens,
                new_tokens=answer.usage.completion_tokens,
                kv_bytes_per_token=model.info()["kv_bytes_per_token"],
            )
        height, width = self.pixels.shape[:2]
        return counted, PictureFacts(width, height, answer.usage.image_tokens)


def _single(answers: Sequence[Answer]) -> Single:
    times = [answer.timings for answer in answers]
    return Single(
        image_s=spread([one.image_s for one in times]),
        vision_s=spread([one.encode_s for one in times]),
        prefill_s=spread([one.prefill_s for one in times]),
        first_token_s=spread([one.first_token_s for one in times]),
        decode_tokens_per_second=spread([_rate(answer) for answer in answers]),
        total_s=spread([one.total_s for one in times]),
    )


def _second(answers: Sequence[Answer]) -> Second:
    times = [answer.timings for answer in answers]
    return Second(
        first_token_s=spread([one.first_token_s for one in times]),
        total_s=spread([one.total_s for one in times]),
    )


def _rate(answer: Answer) -> float | None:
    """Tokens a second after the first one; None where there is none."""
    more = answer.usage.completion_tokens - 1
    return more / answer.timings.decode_s if more > 0 and answer.timings.decode_s else None


def _middle(answers: Sequence[Answer]) -> float:
    total = spread([answer.timings.total_s for answer in answers])
    return total.median if total else 0.0
