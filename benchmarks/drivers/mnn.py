"""MNN's engine for language models with pictures, by its Python package."""

from __future__ import annotations

import time
from pathlib import Path

import MNN.llm
from PIL import Image

from benchmarks.drivers.common import Driver, Job, Values, check_count, run

CELL = 28
"""Pixels on a side of what becomes one token: pictures are resized to multiples of it, as the others do."""


class Pipeline(Driver):
    """A loaded model; every question encodes its picture again."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._model = MNN.llm.create(str(Path(job.model) / "config.json"))
        shared = {"backend_type": "cpu", "thread_num": job.threads, "precision": "low", "memory": "low"}
        greedy = {"sampler_type": "greedy", "max_new_tokens": job.new_tokens, "reuse_kv": False}
        self._model.set_config({**shared, **greedy, "mllm": shared, **job.options})
        self._model.load()

    def ask(self, picture: str, question: str) -> Values:
        """Answer; the stages are by the clock around the engine's own steps."""
        with Image.open(picture) as opened:
            width, height = (CELL * max(1, round(side / CELL)) for side in opened.size)
        # The package's own `generate` decodes text, which random tokens are not.
        engine = self._model._c_obj  # noqa: SLF001
        began = time.perf_counter()
        engine.reset()
        told = self._model.apply_chat_template(f"<img><hw>{height}, {width}</hw>{picture}</img>{question}")
        ids = engine.tokenizer_encode(told)  # runs the tower
        seen = time.perf_counter()
        first = engine.generate(ids, 1)
        started = time.perf_counter()
        written = engine.generate(first[-1:], self.job.new_tokens - 1)  # goes on, and tells all tokens so far
        ended = time.perf_counter()
        check_count(len(written), self.job)
        return {
            "vision_s": seen - began,
            "prefill_s": started - seen,
            "first_token_s": started - began,
            "decode_tokens_per_s": (self.job.new_tokens - 1) / (ended - started),
            "prompt_tokens": len(ids),
        }


if __name__ == "__main__":
    run(Pipeline)
