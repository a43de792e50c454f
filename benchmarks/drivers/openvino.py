"""OpenVINO GenAI's pipeline for vision-language models."""

from __future__ import annotations

import numpy as np
import openvino
import openvino_genai
from PIL import Image

from benchmarks.drivers.common import Driver, Job, Values, check_count, run


class OpenVINO(Driver):
    """A compiled pipeline."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        options = {"INFERENCE_NUM_THREADS": job.threads, **job.options}
        self._pipeline = openvino_genai.VLMPipeline(job.model, "CPU", **options)
        self._config = openvino_genai.GenerationConfig()
        self._config.max_new_tokens = self._config.min_new_tokens = job.new_tokens
        self._config.ignore_eos = True
        self._config.do_sample = False

    def ask(self, picture: str, question: str) -> Values:
        """Answer; the stages are those of the pipeline's own metrics."""
        with Image.open(picture) as opened:
            pixels = openvino.Tensor(np.array(opened.convert("RGB"))[None])
        result = self._pipeline.generate(question, images=[pixels], generation_config=self._config)
        metrics = result.perf_metrics
        check_count(metrics.get_num_generated_tokens(), self.job)
        first, vision = metrics.get_ttft().mean / 1e3, metrics.get_prepare_embeddings_duration().mean / 1e3
        return {
            "vision_s": vision,
            "prefill_s": first - vision,
            "first_token_s": first,
            "decode_tokens_per_s": 1e3 / metrics.get_tpot().mean,
            "prompt_tokens": metrics.get_num_input_tokens(),
        }


if __name__ == "__main__":
    run(OpenVINO)
