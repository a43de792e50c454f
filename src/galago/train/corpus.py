"""The closed language of nano's questions and answers, from which its merges are learned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from galago.drawing import RECIPES, Question, draw
from galago.train.vocabulary import learn_merges, write_tokenizer

_VALUE = re.compile(r'(?<=": ")(?:[^"\\]|\\.)*(?=")')
_FIRST_SEED = 500_000_000


def spans(question: Question) -> list[tuple[str, bool]]:
    """An answer as (text, spelled) pieces: what is read from the picture, and the language around it.

    In JSON the values are read and the keys are language.
    """
    if question.spelled:
        return [(question.answer, True)]
    if question.task != "json":
        return [(question.answer, False)]
    pieces, end = [], 0
    for value in _VALUE.finditer(question.answer):
        pieces += [(question.answer[end : value.start()], False), (value.group(), True)]
        end = value.end()
    return [*pieces, (question.answer[end:], False)]


def sentences(pictures: int, fonts: str = "full") -> Iterator[str]:
    """Questions, and answers that are not spelled, of `pictures` drawings of every recipe."""
    for recipe in RECIPES:
        for seed in range(_FIRST_SEED, _FIRST_SEED + pictures):
            for question in draw(recipe, seed, fonts=fonts).questions:
                yield question.text
                yield from (text for text, spelled in spans(question) if not spelled)


def make_tokenizer(folder: Path, pictures: int = 1500) -> None:
    """Learn the merges and write the tokenizer's files into `folder`.

    The tokenizer of a trained model is never made again: its ids are the rows of the embedding.
    """
    write_tokenizer(folder, learn_merges(sentences(pictures)))
