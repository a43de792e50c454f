"""Pictures drawn by program, with true questions, answers and cell labels: what `nano` learns from.

numpy and Pillow only. A picture is a function of recipe, split, seed, size, difficulty and installed fonts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import cast

import numpy as np

from galago.drawing.sample import (
    CELL,
    CHARACTERS_PER_CELL,
    MOST_SHAPES,
    NEEDLE_STEPS,
    CellLabels,
    Drawing,
    Question,
    Recipe,
    Setting,
    Split,
)
from galago.errors import UsageError

__all__ = [
    "CELL",
    "CHARACTERS_PER_CELL",
    "MOST_SHAPES",
    "NEEDLE_STEPS",
    "RECIPES",
    "RECIPE_SIZES",
    "CellLabels",
    "Drawing",
    "Question",
    "Recipe",
    "Setting",
    "Split",
    "draw",
]

_MODULES = ("scenes", "printed", "displays", "documents", "labels", "signs", "gauges")


def _recipes() -> dict[str, Recipe]:
    modules = (import_module(f"galago.drawing.{name}") for name in _MODULES)
    recipes = [recipe for module in modules for recipe in cast("tuple[Recipe, ...]", module.RECIPES)]
    return {recipe.name: recipe for recipe in recipes}


RECIPES: Mapping[str, Recipe] = _recipes()
"""Every recipe by its name."""

RECIPE_SIZES: Mapping[str, tuple[tuple[int, int], ...]] = {
    name: recipe.sizes for name, recipe in RECIPES.items()
}
"""The sizes, (rows, cols) in cells, that each recipe is meant for."""


def draw(
    recipe: str,
    seed: int,
    *,
    split: Split = Split.TRAIN,
    difficulty: float = 1.0,
    size: tuple[int, int] | None = None,
    fonts: str = "full",
) -> Drawing:
    """The picture of `recipe` number `seed`; the same arguments give the same picture.

    `size` is (rows, cols) in cells, by default one of RECIPE_SIZES[recipe] chosen by the seed. `difficulty`
    is 0 (large, short, clean) to 1. `fonts="minimal"` draws with whatever font there is, for machines without
    the font packages.
    Raises UsageError for an unknown recipe or a value out of range, TrainingError when fonts are missing.
    """
    if recipe not in RECIPES:
        raise UsageError(f"no recipe is called {recipe!r}", hint=f"one of {', '.join(RECIPES)}")
    if seed < 0 or not 0 <= difficulty <= 1:
        raise UsageError(f"seed {seed} must be 0 or more, and difficulty {difficulty} between 0 and 1")
    known = RECIPES[recipe]
    rng = np.random.default_rng((known.number, split.value, seed))
    rows, cols = known.sizes[int(rng.integers(len(known.sizes)))]
    if size is not None:
        rows, cols = size
    return known.paint(rng, Setting(rows, cols, split, difficulty, fonts))
