"""An engine: one loaded model, its caches and its lock. Pictures in, features out; requests in, answers out.

May be used from several threads: one lock is held for every step of computing, so that requests of different
threads take turns step by step; answers asked for in one call are computed together. Two engines share
nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.engine.batch import TOGETHER, Batch, Job
from galago.engine.cache import RAM_BYTES, FeatureCache
from galago.engine.decode import CHUNK, prompt_logits
from galago.engine.encoder import Encoder
from galago.engine.features import EncodedImage
from galago.engine.grammar import GrammarCompiler
from galago.engine.guard import GARBAGE_HINT, is_finite
from galago.engine.kv import KVCache, SequenceCache
from galago.engine.load import LoadedModel
from galago.engine.memory import MemoryPlan, would_fit
from galago.engine.messages import Look, split
from galago.engine.pages import PagePool
from galago.engine.prefix import PREFIX_BYTES, PrefixStore
from galago.engine.prompt import build_prompt
from galago.engine.record import make_answer
from galago.engine.request import PictureBounds, Request
from galago.engine.stream import TextStream
from galago.errors import GarbageError
from galago.media import PictureLimits
from galago.types import Answer


class Engine:
    """`cache` is the folder of image features, None for memory alone; `chunk` and `together` bound a step."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        threads: int | None = None,
        cache: Path | None = None,
        limits: PictureLimits | None = None,
        plan: MemoryPlan | None = None,
        chunk: int = CHUNK,
        together: int = TOGETHER,
    ) -> None:
        self.model = model
        self.features = FeatureCache(cache, ram_bytes=plan.features_bytes if plan else RAM_BYTES)
        self.prefixes = PrefixStore(plan.prefix_bytes if plan else PREFIX_BYTES)
        self._encoder = Encoder(model, self.features, limits or PictureLimits())
        self._pool = None if threads is None else kernels.ThreadPool(threads)
        self._grammar = GrammarCompiler(model.tokenizer.to_json, model.config.vocabulary, model.end_ids)
        self._pages = None if model.device.is_host else PagePool(model.network.layers, model.device)
        self._chunk, self._together = chunk, together
        self._lock = threading.RLock()

    def encode(self, look: Look, bounds: PictureBounds) -> EncodedImage:
        """A picture or video as features; raises as `Encoder.encode`, and GarbageError for NaN."""
        with self.computing():
            image = self._encoder.encode(look, bounds).image
        if not is_finite(image.features):
            raise GarbageError(
                f"the vision tower of {self.model.name} computed numbers that are not finite",
                hint=GARBAGE_HINT,
            )
        return image

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers in the order of the requests, computed together.

        When one of them cannot be prepared, its error is raised and no answer is computed.
        """
        jobs = [self._prepare(request) for request in requests]
        batch = self._batch(jobs)
        while not batch.done:
            with self.computing():
                batch.step()
        return [self._record(job, batch) for job in jobs]

    def stream(self, request: Request) -> TextStream:
        """The answer piece by piece; everything that can be refused is refused before it returns."""
        job = self._prepare(request)
        return TextStream(self._batch([job]), job, self.computing, self._record)

    def logits(self, request: Request) -> NDArray[np.float32]:
        """The logits after every prompt token, [T, V], computed without the prefix cache."""
        prompt = self._prepare(request).prompt
        with self.computing():
            return prompt_logits(self.model.network, prompt, self._new_cache(), self._chunk)

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
        with self._lock:
            self.features.clear()
            self.prefixes.clear()

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Hold the lock and this engine's threads; never while a stream's caller has its turn."""
        computing = self.model.device.computing(partial(would_fit, self.model.checkpoint))
        with self._lock, kernels.using(threads=self._pool), computing:
            yield

    def _new_cache(self) -> SequenceCache:
        return KVCache(self.model.network.layers) if self._pages is None else self._pages.new()

    def _batch(self, jobs: Sequence[Job]) -> Batch:
        return Batch(
            self.model, jobs, self.prefixes, self._new_cache, chunk=self._chunk, together=self._together
        )

    def _prepare(self, request: Request) -> Job:
        started = time.perf_counter()
        messages, looks = split(request.messages)
        with self.computing():
            constraint = None if request.constraint is None else self._grammar.compile(request.constraint)
            encoded = [self._encoder.encode(look, request.bounds) for look in looks]
            images = [one.image for one in encoded]
            prompt = build_prompt(self.model, messages, images, trusted=request.trusted)
        return Job(
            request,
            prompt,
            started,
            image_s=sum(one.image_s for one in encoded) if encoded else None,
            encode_s=sum(one.encode_s for one in encoded) if encoded else None,
            constraint=constraint,
            notes=tuple(dict.fromkeys(note for image in images for note in image.notes)),
        )

    def _record(self, job: Job, batch: Batch) -> Answer:
        return make_answer(
            job,
            self.model,
            kv_bytes=self.prefixes.nbytes + batch.kv_bytes,
            features_bytes=self.features.nbytes,
            troubles=(self.features.trouble, self.model.device.trouble),
        )
