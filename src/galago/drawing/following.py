"""Questions about the line after a line, from which a model learns to copy one line after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from galago.drawing.sample import Question
from galago.drawing.sheet import NONE, Asker, Phrases, sample

PHRASES: Phrases = {
    "next": (
        'Which line comes after "{line}"?', 'What is the line after "{line}"?', 'What comes after "{line}"?',
        'What is written below "{line}"?', 'What is printed under "{line}"?', 'What stands below "{line}"?',
        'Read the line below "{line}".', 'Which line follows "{line}"?',
    ),
}  # fmt: skip
"""The question in its wordings."""


def following(rng: np.random.Generator, lines: Sequence[str], count: int) -> list[Question]:
    """Up to `count` questions of task "next" about lines that stand there once; after the last comes "none".

    Takes nothing from `rng`: whatever else is drawn from it stays as it is.
    """
    ask = Asker(rng.spawn(1)[0], PHRASES, "next")
    often = Counter(lines)
    pairs = [pair for pair in zip(lines, [*lines[1:], NONE], strict=True) if often[pair[0]] == 1]
    return [ask("next", after, line=line, spelled=True) for line, after in sample(ask.rng, pairs, count)]
