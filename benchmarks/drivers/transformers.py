"""transformers on torch, in the checkpoint's bfloat16 or as `dtype` says."""

from __future__ import annotations

import time

import torch
import transformers
from PIL import Image

from benchmarks.drivers.common import Driver, Job, Values, check_count, run


class Stamps(transformers.LogitsProcessor):
    """Notes when each token's logits were there."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores as they are."""
        del input_ids
        self.times.append(time.perf_counter())
        return scores


class Transformers(Driver):
    """A loaded model with its processor."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        torch.set_num_threads(job.threads)
        transformers.logging.set_verbosity_error()
        dtype = getattr(torch, job.options.get("dtype", "bfloat16"))
        # Not AutoProcessor, which wants torchvision for videos.
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(job.model)
        self._images = transformers.AutoImageProcessor.from_pretrained(job.model, backend="pil")
        self._model = transformers.AutoModelForImageTextToText.from_pretrained(job.model, dtype=dtype).eval()
        self._seen: list[float] = []
        tower = self._model.model.visual
        tower.register_forward_pre_hook(lambda *_: self._seen.append(time.perf_counter()))
        tower.register_forward_hook(lambda *_: self._seen.append(time.perf_counter()))

    def ask(self, picture: str, question: str) -> Values:
        """Answer; the stages are between the tower's hooks and the logits."""
        began, stamps, job = time.perf_counter(), Stamps(), self.job
        self._seen.clear()
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True
        )
        with Image.open(picture) as opened:
            inputs = self._images(images=[opened.convert("RGB")], return_tensors="pt")
        token = self._tokenizer.convert_ids_to_tokens(self._model.config.image_token_id)
        count = int(inputs["image_grid_thw"].prod()) // self._images.merge_size**2
        ids = self._tokenizer(text.replace(token, token * count), return_tensors="pt")["input_ids"]
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs["mm_token_type_ids"] = (ids == self._model.config.image_token_id).int()
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs,
                max_new_tokens=job.new_tokens,
                min_new_tokens=job.new_tokens,
                do_sample=False,
                logits_processor=transformers.LogitsProcessorList([stamps]),
            )
        prompt = ids.shape[1]
        self._tokenizer.batch_decode(tokens[:, prompt:])
        check_count(tokens.shape[1] - prompt, job)
        return {
            "vision_s": self._seen[1] - self._seen[0],
            "prefill_s": stamps.times[0] - self._seen[1],
            "first_token_s": stamps.times[0] - began,
            "decode_tokens_per_s": (job.new_tokens - 1) / (stamps.times[-1] - stamps.times[0]),
            "prompt_tokens": prompt,
        }


if __name__ == "__main__":
    run(Transformers)
