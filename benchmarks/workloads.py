"""What is asked of every engine: pictures, questions, lengths. Pictures are drawn from seeds, once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

QUESTIONS: Final = (
    "Describe this image in detail: what is in the picture?",
    "How many objects are visible, and which colours do they have?",
    "Which object is the largest one, and where is it?",
    "What is in the upper left corner of this picture?",
    "Are there more circles than rectangles in this image?",
    "Which colours appear only once, and on which object?",
    "Is there text in the image, and what does it say?",
    "What would you see first, and what is behind it?",
)
"""The first two are the first and second question; all eight are asked of one picture together."""
PICTURES: Final = 10
"""The first answer's, the one measured, and eight to be asked about together."""
SHAPES: Final = 40


@dataclass(frozen=True)
class Workload:
    """Sizes of one benchmark. `config` names a configuration of `checkpoints`; pictures are square."""

    name: str
    pixels: int
    new_tokens: int
    threads: int = 2


WORKLOADS: Final = {
    "w1": Workload("w1", pixels=512, new_tokens=64),
    "w2": Workload("w2", pixels=224, new_tokens=32),
    "qwen2-vl-2b": Workload("qwen2-vl-2b", pixels=512, new_tokens=64),
}


def draw_picture(pixels: int, seed: int) -> Image.Image:
    """Ellipses and rectangles in many colours on a plain ground."""
    chance = random.Random(seed)
    picture = Image.new("RGB", (pixels, pixels), _colour(chance))
    drawing = ImageDraw.Draw(picture)
    for _ in range(SHAPES):
        x, y, width, height = (chance.randrange(pixels) for _ in range(4))
        shape = drawing.ellipse if chance.random() < 0.5 else drawing.rectangle
        shape([x, y, x + width // 3, y + height // 3], fill=_colour(chance))
    return picture


def pictures(workload: Workload, folder: Path) -> list[Path]:
    """The workload's pictures as PNG files in a folder; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{workload.pixels}-{seed}.png" for seed in range(PICTURES)]
    for seed, path in enumerate(paths):
        if not path.exists():
            draw_picture(workload.pixels, seed).save(path)
    return paths


def _colour(chance: random.Random) -> tuple[int, int, int]:
    return chance.randrange(256), chance.randrange(256), chance.randrange(256)
