"""Galago through its Python API; features are not kept on disk.

What only the counting at the end needs is imported there: it is no part of loading a model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import galago
from benchmarks.drivers.common import Driver, Job, Values, check_count, run
from galago import kernels

READ_BYTES = 1 << 30
"""Of the weights, to measure reading with."""
SHARE_TURNS, SHARE_TOKENS = 15, 16
"""Answers that decoding is measured with, and the tokens of each."""


class Galago(Driver):
    """A loaded model."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._prompt_tokens = 0
        self._model = galago.load(job.model, threads=job.threads, cache=False, **job.options)

    def ask(self, picture: str, question: str) -> Values:
        """Answer; the stages are those of the answer's own record."""
        job = self.job
        answer = self._model.ask(picture, question, max_tokens=job.new_tokens, min_tokens=job.new_tokens)
        check_count(answer.usage.completion_tokens, job)
        self._prompt_tokens = answer.usage.prompt_tokens
        told = answer.timings
        assert told.encode_s is not None
        assert told.prefill_s is not None
        assert told.first_token_s is not None
        assert told.decode_s is not None
        return {
            "vision_s": told.encode_s,
            "prefill_s": told.prefill_s,
            "first_token_s": told.first_token_s,
            "decode_tokens_per_s": (job.new_tokens - 1) / told.decode_s,
            "prompt_tokens": answer.usage.prompt_tokens,
            "image_tokens": answer.usage.image_tokens,
        }

    def ask_many(self, pairs: list[tuple[str, str]]) -> None:
        """All of them together."""
        most = self.job.new_tokens
        for answer in self._model.ask_many(pairs, max_tokens=most, min_tokens=most):
            check_count(answer.usage.completion_tokens, self.job)

    def work(self, picture: str) -> Values:
        """Counted on the loaded weights; a multiplication and an addition are two operations."""
        from galago.bench.work import count
        from galago.media import read_picture

        model, loaded = self._model, self._model.engine.model
        visual = loaded.processor.image(read_picture(picture).pixels)
        with model.engine.computing():
            counted = count(
                loaded.network,
                loaded.processor,
                visual,
                prompt_tokens=self._prompt_tokens,
                new_tokens=self.job.new_tokens,
                kv_bytes_per_token=model.info()["kv_bytes_per_token"],
            )
        return {
            "vision_int8_operations": 2 * counted.vision.int8,
            "vision_f32_operations": 2 * (counted.vision.f32 + counted.vision.attention),
            "vision_bf16_operations": 2 * counted.vision.rounded,
            "prefill_int8_operations": 2 * counted.prefill.int8,
            "prefill_f32_operations": 2 * (counted.prefill.f32 + counted.prefill.attention),
            "token_bytes": counted.token_bytes,
            **self._read_share(picture, counted.token_bytes),
        }

    def _read_share(self, picture: str, token_bytes: int) -> Values:
        """The part of the rate of reading alone at which decoding reads; the median of several short answers.

        Reading is measured on the weights where they lie, before and after each answer: a machine may read at
        half the rate from one second to the next, so an answer between two unlike readings does not count.
        Nothing where none counts.
        """
        from statistics import median

        from galago.formats.mapped import map_file

        largest = max(Path(self.job.model).glob("*.safetensors"), key=lambda path: path.stat().st_size)
        with largest.open("rb") as file:
            size = min(READ_BYTES, largest.stat().st_size)
            weights = np.frombuffer(map_file(file.fileno(), size), np.uint8)
        shares = []
        before = self._read_rate(weights)
        for turn in range(SHARE_TURNS):
            question = f"Question {turn}"
            answer = self._model.ask(picture, question, max_tokens=SHARE_TOKENS, min_tokens=SHARE_TOKENS)
            after, seconds = self._read_rate(weights), answer.timings.decode_s
            assert seconds is not None
            if max(before, after) < 1.1 * min(before, after):
                rate = (SHARE_TOKENS - 1) / seconds * token_bytes
                shares.append(2 * rate / (before + after))
            before = after
        return {"decode_read_share": median(shares)} if shares else {}

    def _read_rate(self, weights: NDArray[np.uint8]) -> float:
        """Bytes of these in a second, from the file cache."""
        from galago.kernels import native

        with kernels.using(threads=self.job.threads):
            return native.read_rate(weights)

    def close(self) -> None:
        """Free the caches."""
        self._model.close()


if __name__ == "__main__":
    run(Galago)
