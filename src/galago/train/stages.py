"""The stages, and what nano is shown in all of them: the mixture of recipes and sizes at every difficulty.

"look" teaches the vision tower with dense labels alone; "answer" the whole model; "settle" is "answer" with a
falling learning rate, the last minutes before a model is used.
"""

from __future__ import annotations

from galago.drawing import RECIPE_SIZES
from galago.errors import TrainingError
from galago.train.pool import Source

STAGES = ("look", "answer", "settle")

SHARES: dict[str, float] = {
    "scene": 6.0,
    "word": 1.6,
    "line": 1.6,
    "lines": 2.5,
    "seven_segment": 0.8,
    "lcd": 0.8,
    "gauge": 0.9,
    "sign": 0.3,
    "label": 0.7,
    "receipt": 1.6,
    "form": 1.6,
}
"""Share of the training pictures by recipe; a recipe that is not named gets 1."""


def mixture(*, fonts: str = "full", largest: int | None = None, easiest: float = 0.0) -> list[Source]:
    """The sources of a run; with `largest`, only sizes of at most so many cells; none easier than `easiest`.

    Raises TrainingError when no size is that small.
    """
    sources = []
    for recipe, sizes in RECIPE_SIZES.items():
        fitting = [size for size in sizes if largest is None or size[0] * size[1] <= largest]
        for size in fitting:
            share = SHARES.get(recipe, 1.0) / len(fitting)
            sources.append(Source(recipe, size, share, (easiest, 1.0), fonts))
    if not sources:
        least = min(rows * cols for sizes in RECIPE_SIZES.values() for rows, cols in sizes)
        raise TrainingError(f"no picture has {largest} cells or fewer", hint=f"the smallest have {least}")
    return sources
