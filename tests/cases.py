"""The prompts on which Galago must answer as the reference does: text, pictures of awkward shapes, video.

Pictures are drawn by arithmetic on a frozen random stream, so that they are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Part = str | np.ndarray | tuple[list[np.ndarray], float]
"""Text, a picture [H, W, 3], or a video as (frames, frames per second)."""


@dataclass(frozen=True)
class Case:
    """One user turn of several parts, after a system turn that the template may add."""

    name: str
    parts: tuple[Part, ...]

    @property
    def pictures(self) -> list[np.ndarray]:
        return [part for part in self.parts if isinstance(part, np.ndarray)]

    @property
    def videos(self) -> list[tuple[list[np.ndarray], float]]:
        return [part for part in self.parts if isinstance(part, tuple)]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The turn in the form that every chat interface takes; a video is its frames with their rate."""
        return [{"role": "user", "content": [_content(part) for part in self.parts]}]


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """uint8 [height, width, 3]: coloured blocks of 20 pixels under a fine texture, no two patches agree."""
    random = np.random.RandomState(seed)
    blocks = random.randint(0, 256, (height // 20 + 1, width // 20 + 1, 3))
    coarse = np.kron(blocks, np.ones((20, 20, 1), int))[:height, :width]
    fine = random.randint(-30, 31, (height, width, 3))
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, np.ndarray):
        return {"type": "image", "image": part}
    return {"type": "video", "video": part[0], "fps": part[1]}


_FRAMES = [picture(70, 100, seed) for seed in range(20, 26)]
_ODD_FRAMES = [picture(61, 84, seed) for seed in range(30, 35)]

CASES = (
    Case("text", ("How many red squares are left of it? Say \u00e9\u4e2d in words.",)),
    Case("square", (picture(224, 224, 1), "What does the display read?")),
    Case("tall 1:7", (picture(392, 56, 2), "Describe the picture.")),
    Case("wide 7:1", (picture(59, 413, 3), "Describe the picture.")),
    Case("smaller than a window", (picture(40, 50, 4), "What is it?")),
    Case("not divisible by the window", (picture(190, 150, 5), "What is it?")),
    Case("two pictures", ("First:", picture(90, 130, 6), " second: ", picture(200, 60, 7), "What differs?")),
    Case("video of 6 frames", ((_FRAMES, 1.5), "What happens?")),
    # 5 frames become 6; at one frame in five seconds the time axis runs ahead of the text that follows
    Case("slow video after a picture", (picture(57, 90, 8), (_ODD_FRAMES, 0.2), "What happens?")),
)
