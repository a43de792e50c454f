"""Pixels to patches, placeholders to token runs, token runs to positions.

Follows the reference's PIL processor: the picture is stretched (not padded) by bicubic resampling to the
nearest multiples of merge x patch pixels within the pixel bounds, normalised in float32, and cut in
merge-block order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import ConfigError, OutOfMemoryError, PictureError, UsageError
from galago.frozen import frozen
from galago.media import resize_bicubic
from galago.models.config import OWN_FILE, ConfigReader
from galago.models.family import Visual
from galago.models.qwen2_vl.config import Config
from galago.types import Grid

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
ASPECT_LIMIT = 200
UNUSED = (
    "image_processor_type", "processor_class", "video_processor_type", "do_pad", "crop_size",
    "do_center_crop", "default_to_square", "data_format", "input_data_format", "device", "return_tensors",
    "disable_grouping", "return_metadata", "do_sample_frames", "fps", "num_frames", "min_frames",
    "max_frames", "video_metadata", "pad_size", "size_divisor", "cap_pixels_per_frame", "max_video_tokens",
)  # fmt: skip
"""Keys of preprocessor_config.json that concern other stages (frame sampling) or choose nothing here."""


@frozen
class QwenProcessor:
    """The settings of preprocessor_config.json and what follows from them."""

    patch: int
    temporal_patch: int
    merge: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_token: int
    video_token: int
    tokens_per_second: float | None
    limit: int | None = None
    """Pixels that no visual may go beyond, because memory has no room for more."""

    @property
    def cell(self) -> int:
        """Pixels on a side of one merged cell, which becomes one token."""
        return self.patch * self.merge

    @property
    def pixels_per_token(self) -> int:
        """Pixels of the resized picture behind one image token."""
        return self.cell**2

    def describe(self) -> str:
        """Every setting that changes the patches."""
        sizes = f"qwen {self.patch}/{self.temporal_patch}/{self.merge} {self.min_pixels}-{self.max_pixels}"
        limit = "" if self.limit is None or self.limit >= self.max_pixels else f" limit {self.limit}"
        return f"{sizes} {self.mean} {self.std} bicubic{limit}"

    def with_pixels(self, min_pixels: int | None, max_pixels: int | None) -> QwenProcessor:
        """The same processor with other bounds; a bound that is not given makes way for the one that is."""
        low = self.min_pixels if min_pixels is None else min_pixels
        high = self.max_pixels if max_pixels is None else max_pixels
        if min_pixels is None:
            low = min(low, high)
        elif max_pixels is None:
            high = max(low, high)
        if self.limit is not None and low > self.limit:
            raise OutOfMemoryError(
                f"min_pixels is {low}; memory has room for pictures of {self.limit} pixels",
                hint=f"min_pixels={self.limit}, or a larger memory budget",
            )
        if low < 1 or high < self.pixels_per_token or low > high:
            raise UsageError(
                f"pixel bounds {low} to {high} leave no picture: min_pixels must be at least 1, max_pixels at"
                f" least {self.pixels_per_token} (one token) and not below min_pixels"
            )
        return replace(self, min_pixels=low, max_pixels=high)

    def limited(self, pixels: int) -> QwenProcessor:
        """The same processor, for which no bound that is asked for goes beyond these pixels."""
        return replace(self, limit=max(pixels, self.pixels_per_token))

    def fitted(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to stretch a picture to, within the limit too."""
        wanted = self.resized(height, width)
        if self.limit is None or wanted[0] * wanted[1] <= self.limit:
            return wanted
        bounded = replace(self, max_pixels=self.limit, min_pixels=min(self.min_pixels, self.limit))
        return bounded.resized(height, width)

    def remarks(self, height: int, width: int) -> tuple[str, ...]:
        """What the limit does to a picture of this size; empty where it does nothing."""
        sizes = self.resized(height, width), self.fitted(height, width)
        wanted, got = (rows * columns // self.pixels_per_token for rows, columns in sizes)
        if wanted == got:
            return ()
        return (f"memory has room for {got} of the {wanted} tokens that the picture would take",)

    def image_grid(self, height: int, width: int) -> Grid:
        """The grid of a picture of this size."""
        return self.grid(1, self.fitted(height, width))

    def video_grid(self, frames: int, height: int, width: int) -> Grid:
        """The grid of so many frames of this size; raises OutOfMemoryError beyond the limit."""
        steps, size = -(-frames // self.temporal_patch), self.resized(height, width)
        pixels = size[0] * size[1]
        if self.limit is not None and steps * pixels > self.limit:
            most = self.limit // pixels * self.temporal_patch
            raise OutOfMemoryError(
                f"the video has {steps * self.temporal_patch} frames of {size[1]}x{size[0]}; memory has room"
                f" for {most}",
                hint=f"give fewer frames, or max_pixels={max(self.pixels_per_token, self.limit // steps)}",
            )
        return self.grid(steps, size)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) to stretch a picture to; PictureError beyond an aspect ratio of 200."""
        if max(height, width) > ASPECT_LIMIT * min(height, width):
            raise PictureError(
                f"the picture is {width}x{height} pixels; this model takes at most {ASPECT_LIMIT}:1",
                hint="crop the picture, or cut it into pieces",
            )
        cell = self.cell
        new_height, new_width = round(height / cell) * cell, round(width / cell) * cell  # half to even
        if new_height * new_width > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            new_height = max(cell, math.floor(height / shrink / cell) * cell)
            new_width = max(cell, math.floor(width / shrink / cell) * cell)
        elif new_height * new_width < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            new_height = math.ceil(height * grow / cell) * cell
            new_width = math.ceil(width * grow / cell) * cell
        return new_height, new_width

    def image(self, pixels: NDArray[np.uint8]) -> Visual:
        """Pixels [H, W, 3] -> a visual; a still picture fills every temporal slot of its patches."""
        original = pixels.shape[:2]
        resized = self.fitted(*original)
        frame = self.normalise(resize_bicubic(pixels, *resized))
        frames = np.broadcast_to(frame, (self.temporal_patch, *frame.shape))
        return Visual(self.cut(frames), self.grid(1, resized), resized, (original[0], original[1]))

    def video(self, frames: Sequence[NDArray[np.uint8]], fps: float) -> Visual:
        """Frames [H, W, 3] of one size, sampled at `fps` -> a visual; the last frame fills an odd end."""
        if not frames or any(frame.shape != frames[0].shape for frame in frames):
            raise PictureError("a video needs at least one frame, and all frames of one size")
        if not (fps > 0 and math.isfinite(fps)):
            raise UsageError(f"fps is {fps!r}; it must be above 0")
        original = frames[0].shape[:2]
        padded = [*frames, *[frames[-1]] * (-len(frames) % self.temporal_patch)]
        grid, resized = self.video_grid(len(frames), *original), self.resized(*original)
        pixels = np.stack([self.normalise(resize_bicubic(frame, *resized)) for frame in padded])
        return Visual(self.cut(pixels), grid, resized, (original[0], original[1]), self.temporal_patch / fps)

    def grid(self, time: int, resized: tuple[int, int]) -> Grid:
        """The grid of patches of a resized visual."""
        return time, resized[0] // self.patch, resized[1] // self.patch

    def normalise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [H, W, 3] -> float32 [3, H, W], (x / 255 - mean) / std by channel."""
        levels = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        table = (levels[None, :] - mean[:, None]) / std[:, None]  # [3, 256]
        return np.stack([table[channel][pixels[:, :, channel]] for channel in range(3)])

    def cut(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """frames [F, 3, H, W] -> patches [P, values], values in (channel, time, y, x) order."""
        count, channels, height, width = frames.shape
        p, m, t = self.patch, self.merge, self.temporal_patch
        blocks = frames.reshape(count // t, t, channels, height // (m * p), m, p, width // (m * p), m, p)
        ordered = blocks.transpose(
            0, 3, 6, 4, 7, 2, 1, 5, 8
        )  # time, block row, block column, row, column, ...
        return np.ascontiguousarray(ordered).reshape(-1, channels * t * p * p)

    def tokens(self, grid: Grid) -> int:
        """Merged cells of a grid."""
        return grid[0] * grid[1] * grid[2] // self.merge**2

    def positions(self, ids: NDArray[np.int64], visuals: Sequence[Visual]) -> tuple[NDArray[np.int64], int]:
        """Ids [T] with expanded placeholders -> positions [3, T] (time, row, column) and the next free one.

        A visual starts at the position after the text before it; text goes on after the larger of its rows
        and columns, however long a video lasts (as transformers 5 does).
        """
        is_visual = (ids == self.image_token) | (ids == self.video_token)
        parts: list[NDArray[np.int64]] = []
        start, token = 0, 0
        for visual in visuals:
            first = token + int(np.argmax(is_visual[token:]))
            parts.append(np.tile(np.arange(start, start + first - token), (3, 1)))
            start += first - token
            parts.append(start + self.steps(visual))
            start += max(visual.grid[1:]) // self.merge
            token = first + self.tokens(visual.grid)
        parts.append(np.tile(np.arange(start, start + len(ids) - token), (3, 1)))
        return np.concatenate(parts, axis=1), start + len(ids) - token

    def steps(self, visual: Visual) -> NDArray[np.int64]:
        """Positions [3, tokens] of a visual's cells relative to its start."""
        time, rows, columns = visual.grid[0], visual.grid[1] // self.merge, visual.grid[2] // self.merge
        steps = np.indices((time, rows, columns), dtype=np.int64).reshape(3, -1)
        if visual.seconds_per_step is not None and self.tokens_per_second is not None:
            # in float32, as the reference: where a step falls short of a whole number decides its position
            interval = np.float32(self.tokens_per_second) * np.float32(visual.seconds_per_step)
            steps[0] = (steps[0].astype(np.float32) * interval).astype(np.int64)
        return steps


def make_processor(config: Config, values: Mapping[str, Any]) -> QwenProcessor:
    """preprocessor_config.json -> a processor; raises ConfigError for what it does not know."""
    reader = ConfigReader(values, "preprocessor_config.json")
    for key in ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"):
        reader.expect(key, True)
    reader.expect("resample", 3)
    reader.expect("rescale_factor", 1 / 255)
    size = reader.inside("size", {})
    smallest = size.positive("shortest_edge", size.positive("min_pixels", 56 * 56))
    largest = size.positive("longest_edge", size.positive("max_pixels", 28 * 28 * 1280))
    size.finish()
    reader.expect("patch_size", config.vision.patch)
    reader.expect("temporal_patch_size", config.vision.temporal_patch)
    reader.expect("merge_size", config.vision.merge)
    processor = QwenProcessor(
        patch=config.vision.patch,
        temporal_patch=config.vision.temporal_patch,
        merge=config.vision.merge,
        min_pixels=reader.positive("min_pixels", smallest),
        max_pixels=reader.positive("max_pixels", largest),
        mean=reader.numbers("image_mean", (int, float), CLIP_MEAN, 0, 1, count=3),
        std=reader.numbers("image_std", (int, float), CLIP_STD, 1e-6, 1, count=3),
        image_token=config.image_token,
        video_token=config.video_token,
        tokens_per_second=config.tokens_per_second,
    )
    reader.finish(UNUSED)
    try:
        return processor.with_pixels(processor.min_pixels, processor.max_pixels)
    except UsageError as error:
        raise ConfigError(f"{reader.where}: {error}", hint=OWN_FILE) from error
