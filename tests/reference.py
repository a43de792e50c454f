"""What `transformers` computes for a case: ids, patches, logits, greedy tokens.

Its processor classes need torchvision, which nothing else here needs, so the prompt is put together from the
documented parts they are made of: chat template, image processor (PIL), one placeholder per merged cell. A
video is its frames through the image processor, two of them in the temporal slots of one patch: the layout of
its video processor, whose own (torchvision) resampling differs from PIL's by up to 2 grey levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer, Qwen2VLImageProcessorPil
from transformers.utils import logging

from cases import Case

VERSION = "5.23.0"
logging.disable_progress_bar()


@lru_cache(maxsize=8)
def reference(folder: Path) -> Reference:
    """One reference per checkpoint folder and session."""
    return Reference(folder)


@dataclass(frozen=True)
class Prompt:
    """What the model is given: ids [T]; patches and grids of pictures and videos, seconds per step."""

    ids: np.ndarray
    tensors: dict[str, torch.Tensor]

    @property
    def patches(self) -> list[np.ndarray]:
        keys = ("pixel_values", "pixel_values_videos")
        return [self.tensors[key].numpy() for key in keys if key in self.tensors]


class Reference:
    """A checkpoint folder as `transformers` reads it, in float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.images: Any = Qwen2VLImageProcessorPil.from_pretrained(folder)

    @cached_property
    def model(self) -> Any:
        model, _ = self.load()
        model.generation_config.eos_token_id = None  # as many tokens as asked for, whatever they are
        return model.eval()

    def load(self) -> tuple[Any, dict[str, Any]]:
        """The model, and what was missing, unexpected or of another shape."""
        return AutoModelForImageTextToText.from_pretrained(
            self.folder, dtype=torch.float32, output_loading_info=True
        )

    def prompt(self, case: Case) -> Prompt:
        pictures = [self._patches(picture) for picture in case.pictures]
        videos = [self._video_patches(frames) for frames, _ in case.videos]
        text = self.tokenizer.apply_chat_template(case.messages, tokenize=False, add_generation_prompt=True)
        for token, visuals in (("<|image_pad|>", pictures), ("<|video_pad|>", videos)):
            before, *after = text.split(token)
            counts = [grid.prod() // self.images.merge_size**2 for _, grid in visuals]
            text = before + "".join(token * count + rest for count, rest in zip(counts, after, strict=True))
        ids = torch.tensor([self.tokenizer(text)["input_ids"]])
        kinds = [self.tokenizer.convert_tokens_to_ids(name) for name in ("<|image_pad|>", "<|video_pad|>")]
        tensors = {
            "input_ids": ids,
            "mm_token_type_ids": (ids == kinds[0]).int() + 2 * (ids == kinds[1]).int(),
        }
        for suffix, grid, visuals in (("", "image", pictures), ("_videos", "video", videos)):
            if visuals:
                tensors[f"pixel_values{suffix}"] = torch.from_numpy(np.concatenate([p for p, _ in visuals]))
                tensors[f"{grid}_grid_thw"] = torch.from_numpy(np.stack([g for _, g in visuals]))
        if videos and self.model.config.model_type == "qwen2_5_vl":
            tensors["second_per_grid_ts"] = torch.tensor([2 / fps for _, fps in case.videos])
        return Prompt(ids[0].numpy(), tensors)

    def logits(self, case: Case) -> np.ndarray:
        """[T, vocabulary] float32."""
        with torch.no_grad():
            return self.model(**self.prompt(case).tensors).logits[0].numpy()

    def greedy(self, case: Case, count: int) -> tuple[list[int], float]:
        """The next `count` tokens, and the smallest lead of a chosen logit over the second, in logits."""
        prompt = self.prompt(case)
        with torch.no_grad():
            done = self.model.generate(
                **prompt.tensors, max_new_tokens=count, do_sample=False, pad_token_id=0,
                output_logits=True, return_dict_in_generate=True,
            )  # fmt: skip
        best = torch.cat(done.logits).topk(2).values
        return done.sequences[0, len(prompt.ids) :].tolist(), float((best[:, 0] - best[:, 1]).min())

    def _patches(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        done = self.images(images=[Image.fromarray(picture)], return_tensors="np")
        return np.asarray(done["pixel_values"], np.float32), np.asarray(done["image_grid_thw"])[0]

    def _video_patches(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        padded = [*frames, *frames[-1:]][: len(frames) + len(frames) % 2]
        patches, grids = zip(*[self._patches(frame) for frame in padded], strict=True)
        slots = np.stack(patches).reshape(len(padded) // 2, 2, len(patches[0]), 3, 2, -1)[:, :, :, :, 0]
        both = slots.transpose(0, 2, 3, 1, 4)  # [time, P, channel, slot, pixels]
        grid = grids[0] * [len(padded) // 2, 1, 1]
        return np.ascontiguousarray(both).reshape(grid.prod(), -1), grid
