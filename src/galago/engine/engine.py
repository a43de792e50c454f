"""An engine: one loaded model, its caches and its loop. Pictures in, features out; requests in, answers out.

May be used from several threads at once: their answers are written together, and pictures are encoded
meanwhile. Two engines share nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.engine.batch import TOGETHER, Batch
from galago.engine.cache import RAM_BYTES, FeatureCache
from galago.engine.decode import prompt_logits
from galago.engine.encoder import Encoder
from galago.engine.encoding import EncodeQueue
from galago.engine.features import EncodedImage
from galago.engine.frugal import give_back_heap
from galago.engine.grammar import GrammarCompiler
from galago.engine.guard import GARBAGE_HINT, is_finite
from galago.engine.job import Job
from galago.engine.kv import KVCache, SequenceCache, held_bytes
from galago.engine.load import LoadedModel
from galago.engine.memory import MemoryPlan, memory_errors
from galago.engine.messages import Look, split
from galago.engine.pages import PagePool
from galago.engine.prefix import PREFIX_BYTES, PrefixStore
from galago.engine.prompt import build_prompt
from galago.engine.record import make_answer
from galago.engine.request import PictureBounds, Request
from galago.engine.scheduler import Scheduler
from galago.engine.share import BESIDE, CHUNK
from galago.engine.sight import Sight
from galago.engine.stream import TextStream
from galago.engine.turns import Turn, Turns
from galago.engine.worker import Work
from galago.errors import GarbageError
from galago.media import PictureLimits
from galago.types import Answer, Weights

ROUNDED: frozenset[Weights] = frozenset({"q8", "q4"})
"""Weights whose tower may round what its attention multiplies to bfloat16: its products round more."""
AHEAD = 16
"""Requests of one call that are prepared and not yet answered: their pictures are held in memory."""


class Engine:
    """`cache` is the folder of image features, None for memory alone.

    `chunk`, `beside` and `together` bound a step (see `share`).
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        threads: int | None = None,
        cache: Path | None = None,
        limits: PictureLimits | None = None,
        plan: MemoryPlan | None = None,
        chunk: int = CHUNK,
        beside: int = BESIDE,
        together: int = TOGETHER,
    ) -> None:
        self.model = model
        self.features = FeatureCache(cache, ram_bytes=plan.features_bytes if plan else RAM_BYTES)
        self.prefixes = PrefixStore(plan.prefix_bytes if plan else PREFIX_BYTES)
        self._pool = None if threads is None else kernels.ThreadPool(threads)
        self._grammar = GrammarCompiler(model.tokenizer.to_json, model.config.vocabulary, model.end_ids)
        self._grammar_lock = threading.Lock()
        self._chunk = chunk
        self._ahead = AHEAD
        planned = plan is not None and plan.budget_bytes is not None  # which has room for one answer
        self._turns = Turns(single=planned)
        if planned:
            self._ahead = together = 1
        self._lock = threading.Lock()
        self._pages = None if model.device.is_host else PagePool(model.network.layers, model.device)
        self._batch = Batch(
            model, self.prefixes, self._new_cache, chunk=chunk, beside=beside, together=together
        )
        rest = None if plan is None else self._rest
        self._scheduler = Scheduler(self._batch, self._lock, self.computing, rest)
        self._encoder = Encoder(model, self.features, limits or PictureLimits())
        self._pictures = EncodeQueue(
            self._encoder,
            self._lock,
            self.computing,
            self._scheduler.wake,
            None if plan is None else plan.image_tokens,
            rest,
        )

    def encode(self, look: Look, bounds: PictureBounds) -> EncodedImage:
        """A picture or video as features; raises as `Encoder.prepare`, and GarbageError for NaN."""
        turn = self._turns.take()
        try:
            sight = self._encoder.prepare(look, bounds, self._pictures.waiting)
            image = self._seen(sight)
        finally:
            turn.give_back()
        if not is_finite(image.features):
            raise GarbageError(
                f"the vision tower of {self.model.name} computed numbers that are not finite",
                hint=GARBAGE_HINT,
            )
        return image

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the order of the requests, computed together.

        When one of them cannot be prepared or answered, its error is raised and the others are cancelled; so
        they are when the waiting is interrupted.
        """
        jobs: list[Job] = []
        try:
            for request in requests:
                if len(jobs) >= self._ahead:
                    self._scheduler.wait(jobs[len(jobs) - self._ahead])
                jobs.append(self._prepare(request))
                jobs[-1].crowd = jobs
                self._scheduler.submit(jobs[-1], self._pictures)
            return [self._record(self._scheduler.wait(job)) for job in jobs]
        except BaseException:
            self._scheduler.cancel(jobs)
            raise

    def stream(self, request: Request) -> TextStream:
        """The answer piece by piece; everything that can be refused is refused before it returns."""
        job = self._prepare(request)
        job.streamed = True
        self._scheduler.submit(job, self._pictures)
        return TextStream(job, self._scheduler, self._record)

    def logits(self, request: Request) -> NDArray[np.float32]:
        """The logits after every prompt token, [T, V], computed without the prefix cache."""
        job = self._prepare(request)
        try:
            for sight in job.sights:
                self._seen(sight)
            with self.computing():
                return prompt_logits(self.model.network, job.prompt, self._new_cache(), self._chunk)
        finally:
            job.turn.give_back()

    def info(self) -> dict[str, Any]:
        """What the model is, in JSON types; sizes in bytes."""
        model = self.model
        parameters = sum(math.prod(tensor.shape) for tensor in model.checkpoint.tensors)
        return {
            "name": model.name,
            "folder": str(model.checkpoint.folder),
            "family": model.family.model_type,
            "device": model.device.name,
            "parameters": parameters,
            "weights": model.weights,
            "weights_bytes": model.weights_bytes,
            "layers": model.network.layers,
            "vocabulary": model.config.vocabulary,
            "context": model.config.context,
            "kv_bytes_per_token": 4 * model.config.cache_values,
            "min_pixels": model.processor.min_pixels,
            "max_pixels": model.processor.max_pixels,
            "pixels_per_token": model.processor.pixels_per_token,
            "revision": model.maker.revision,
        }

    def close(self) -> None:
        """Forget cached features and prefixes. The engine can still be used."""
        self._encoder.forget()
        with self._lock:
            self.prefixes.clear()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """What every thread that computes for this engine is in: its pool of threads, and its device.

        Raises OutOfMemoryError where memory ran out.
        """
        with (
            kernels.using(threads=self._pool, round_attention=self.model.weights in ROUNDED),
            memory_errors(self.model.name),
            self.model.computing(),
        ):
            yield

    def _rest(self) -> Work | None:
        """What a thread does that has nothing left; inside an answer, free pages are soon taken again."""
        return None if self._batch.jobs else give_back_heap

    def _new_cache(self) -> SequenceCache:
        return KVCache(self.model.network.layers) if self._pages is None else self._pages.new()

    def _seen(self, sight: Sight) -> EncodedImage:
        """Have a picture encoded."""
        try:
            with self._lock:
                self._pictures.add(sight)
            return self._pictures.wait(sight)
        finally:
            sight.abandoned = True

    def _prepare(self, request: Request) -> Job:
        """Everything that can be refused is refused here, before anything is computed."""
        started, turn = time.perf_counter(), self._turns.take()
        try:
            return self._prepared(request, turn, started)
        except BaseException:
            turn.give_back()
            raise

    def _prepared(self, request: Request, turn: Turn, started: float) -> Job:
        messages, looks = split(request.messages)
        constraint = None
        if request.constraint is not None:
            with self._grammar_lock:
                constraint = self._grammar.compile(request.constraint)
        sights = tuple(self._encoder.prepare(look, request.bounds, self._pictures.waiting) for look in looks)
        return Job(
            request,
            build_prompt(self.model, messages, sights, trusted=request.trusted),
            started,
            turn,
            sights=sights,
            constraint=constraint,
            notes=tuple(dict.fromkeys(note for sight in sights for note in sight.notes)),
        )

    def _record(self, job: Job) -> Answer:
        with self._lock:
            kv_bytes = held_bytes([*self.prefixes.caches, *self._batch.caches])
        return make_answer(
            job,
            self.model,
            kv_bytes=kv_bytes,
            features_bytes=self.features.nbytes,
            troubles=(self.features.trouble, self.model.device.trouble),
        )
