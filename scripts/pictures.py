"""Draws the pictures of examples/ from fonts and layouts that nano was never trained on.

    .venv/bin/python scripts/pictures.py

What is true about each picture is printed. The pictures are kept in the tree: a machine with other fonts,
or a later version of the recipes, draws others.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from galago.drawing import RECIPES, Split, draw

EXAMPLES = Path(__file__).parents[1] / "examples"
DIFFICULTY = 0.4
PICTURES = {  # name: recipe, seed, size in cells
    "display": ("lcd", 0, (6, 8)),
    "scene": ("scene", 5, (8, 11)),
    "text": ("lines", 0, (7, 11)),
    "receipt": ("receipt", 0, (11, 11)),
}


def main() -> None:
    """Draw them all, and print the questions each can answer."""
    for name, (recipe, seed, size) in PICTURES.items():
        if recipe not in RECIPES:
            print(f"{name}: there is no recipe {recipe}")
            continue
        drawing = draw(recipe, seed, split=Split.HELD_OUT, difficulty=DIFFICULTY, size=size)
        Image.fromarray(drawing.pixels).save(EXAMPLES / f"{name}.png", optimize=True)
        print(f"{name}.png")
        for question in drawing.questions:
            print(f"  {question.text} {question.answer}")


if __name__ == "__main__":
    main()
