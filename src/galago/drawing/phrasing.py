"""The ways in which a question is asked. A key is the task, or the task and what it is asked by.

Templates are filled with names: {what} "red circle", {whats} "red circles", {one} "a red circle", {colour},
{place} "in the top left", {other} "blue ring", {relation} "left of", {side} "left", {size} "largest",
{which} "first", {group} "two red circles".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from galago.drawing.phrasing_printed import PRINTED
from galago.drawing.phrasing_scenes import SCENES

PHRASINGS: Mapping[str, tuple[str, ...]] = {**SCENES, **PRINTED}
"""Every template by its key; each key has at least eight."""


def ask(rng: np.random.Generator, key: str, **names: str) -> str:
    """One of the key's templates, filled, with the habits of `vary`."""
    templates = PHRASINGS[key]
    return vary(rng, templates[int(rng.integers(len(templates)))].format(**names))


def vary(rng: np.random.Generator, text: str) -> str:
    """A question as people type it: now and then American, without capitals or without its last mark."""
    habit = rng.random(3)
    if habit[0] < 0.3:
        text = text.replace("colour", "color").replace("Colour", "Color").replace("grey", "gray")
    if habit[1] < 0.06:
        text = text.lower()
    if habit[2] < 0.06:
        text = text.rstrip("?.")
    return text


def article(name: str) -> str:
    """`name` with "a" or "an" before it."""
    return ("an " if name[0] in "aeiou" else "a ") + name
