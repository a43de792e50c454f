"""A shard's pictures as tensors: patches, dense labels, and questions packed behind their picture.

Every turn (question and answer) sees the tokens of its picture and itself, nothing else, and its positions
start after the picture: exactly what the first question about a picture sees when it is answered.
"""

from __future__ import annotations

import bisect
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from galago.drawing import CELL, CellLabels, Question
from galago.frozen import frozen
from galago.train.corpus import spans
from galago.train.pool import Shard
from galago.train.vocabulary import ASSISTANT, END, IMAGE, MARKS, USER, VISION_END, VISION_START

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
PATCH = CELL // 2
BEFORE = [MARKS[USER], MARKS[VISION_START]]
AFTER = [MARKS[VISION_END]]
LEVELS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
"""Lengths at which a new group of turns begins."""
ASKED = {
    **dict.fromkeys(("colour", "kind", "absent", "place", "relation", "sign"), 0.2),
    **dict.fromkeys(("edge", "field", "next"), 0.5),
}
"""Of the questions of a task, how many are asked where others could be; of tasks not named, all.

Those named are learned before the others, or help them (LOG 2026-11-28).
"""

LAST_DIGIT, OTHER_DIGITS = 0.3, 2.0
"""What a coordinate's digits weigh: one pixel is hardly seen, ten lose a small box (LOG 2026-11-29)."""
DIGITS = frozenset(b"0123456789")
COORDINATES = ("box", "edge")
"""Tasks whose answers' numbers are coordinates."""
HOW_MANY = 3.0
"""What the word weighs that says how many are alike: with it most captions fail (LOG 2026-11-29)."""
GROUPS = ("caption", "group")
"""Tasks whose answers name groups of alike shapes."""


@frozen
class Turn:
    """A question about picture number `picture` and its answer as tokens; the `known` are not predicted.

    `weight` is what each token counts for.
    """

    picture: int
    task: str
    ids: list[int]
    known: NDArray[np.bool_]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


@frozen
class Rows:
    """Turns of similar length: `picture` [n], `ids`, `targets` (-1: nothing to learn), `weight` [n, A]."""

    picture: NDArray[np.int64]
    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    weight: NDArray[np.float32]
    tasks: list[str]


@frozen
class Batch:
    """B pictures [B, H, W, 3] of `grid` (rows, cols) cells with labels per cell, and turns about them."""

    grid: tuple[int, int]
    pixels: NDArray[np.uint8]
    cells: CellLabels
    rows: list[Rows]

    def __len__(self) -> int:
        return len(self.pixels)


class Spelling:
    """Text to tokens as training needs it: what is read from a picture is spelled byte by byte."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.encode = lru_cache(maxsize=100_000)(self._encode)
        self._parting = {token for text in (",", " and") for token in self.encode(text)}

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def turn(self, picture: int, questions: list[Question]) -> Turn:
        """A turn of one question, or a short conversation of several about the same picture."""
        ids: list[int] = []
        known: list[bool] = []
        weight: list[float] = []
        for place, question in enumerate(questions):
            asked = [MARKS[USER]] * (place > 0) + list(self.encode(question.text)) + [MARKS[ASSISTANT]]
            said = [MARKS[END]]
            for text, spelled in reversed(spans(question)):
                said[:0] = text.encode() if spelled else self.encode(text)
            ids += asked + said
            known += [True] * len(asked) + [False] * len(said)
            weight += [1.0] * len(asked) + self._weights(question.task, said)
        return Turn(picture, questions[-1].task, ids, np.array(known), np.array(weight, np.float32))

    def _weights(self, task: str, said: list[int]) -> list[float]:
        """What each token of an answer counts for."""
        if task in GROUPS:
            begins = [True, *(token in self._parting for token in said[:-1])]
            return [HOW_MANY if here else 1.0 for here in begins]
        if task not in COORDINATES:
            return [1.0] * len(said)
        digit = [token in DIGITS for token in (*said, MARKS[END])]
        of_digit = {True: OTHER_DIGITS, False: LAST_DIGIT}
        return [of_digit[after] if here else 1.0 for here, after in pairwise(digit)]


def choose_turns(
    shard: Shard, spelling: Spelling, rng: np.random.Generator, *, tokens: int, chained: float, longest: int
) -> list[Turn]:
    """Questions of every picture in random order until its `tokens` are used up, at least one of each.

    A share `chained` of the turns are conversations of two; turns over `longest` tokens are left out.
    """
    turns = []
    for picture, asked in enumerate(shard.questions):
        order = [asked[i] for i in rng.permutation(len(asked))]
        chance = rng.random(len(order))
        order = [q for q, c in zip(order, chance, strict=True) if c < ASKED.get(q.task, 1.0)] or order
        left = tokens
        while order and left > 0:
            pair = [order.pop() for _ in range(2 if rng.random() < chained and len(order) > 1 else 1)]
            turn = spelling.turn(picture, pair)
            if len(turn) <= (longest if left == tokens else left):
                turns.append(turn)
                left -= len(turn)
    return turns


def pack(turns: list[Turn]) -> list[Rows]:
    """Turns grouped by length (see `LEVELS`), each group padded to its longest turn."""
    groups: dict[int, list[Turn]] = {}
    for turn in turns:
        groups.setdefault(bisect.bisect_left(LEVELS, len(turn)), []).append(turn)
    packed = []
    for chosen in groups.values():
        width = -(-max(map(len, chosen)) // 8) * 8
        ids = np.full((len(chosen), width), MARKS[END], np.int64)
        targets = np.full((len(chosen), width), -1, np.int64)
        weight = np.ones((len(chosen), width), np.float32)
        for row, turn in enumerate(chosen):
            ids[row, : len(turn)] = turn.ids
            targets[row, : len(turn) - 1] = np.where(turn.known[1:], -1, turn.ids[1:])
            weight[row, : len(turn) - 1] = turn.weight[1:]
        pictures = np.array([turn.picture for turn in chosen])
        packed.append(Rows(pictures, ids, targets, weight, [turn.task for turn in chosen]))
    return packed


def make_batch(
    shard: Shard,
    spelling: Spelling,
    rng: np.random.Generator,
    *,
    tokens_per_cell: float = 4.0,
    chained: float = 0.1,
    longest: int = 400,
) -> Batch:
    """All pictures of a shard with some of their questions; none at all when `tokens_per_cell` is 0."""
    height, width = shard.pixels.shape[1:3]
    grid = (height // CELL, width // CELL)
    tokens = int(tokens_per_cell * grid[0] * grid[1])
    turns = (
        choose_turns(shard, spelling, rng, tokens=tokens, chained=chained, longest=longest) if tokens else []
    )
    return Batch(grid, shard.pixels, shard.cells, pack(turns))


def patches(pixels: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pixels [B, H, W, 3] -> normalised patches [B * P, 6 * PATCH^2] in merge-block order, frames alike."""
    count, height, width, _ = pixels.shape
    x = torch.as_tensor(pixels, device=device).permute(0, 3, 1, 2)  # [B, 3, H, W]
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1) * 255
    deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1) * 255
    x = ((x - mean) / deviation).to(dtype)
    rows, cols = height // CELL, width // CELL
    x = x.view(count, 3, rows, 2, PATCH, cols, 2, PATCH).permute(0, 2, 5, 3, 6, 1, 4, 7)
    return x.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1).reshape(count * rows * cols * 4, -1)


def prefix_ids(cells: int) -> NDArray[np.int64]:
    """The tokens of one picture with its marks: [3 + cells]."""
    return np.array([*BEFORE, *[MARKS[IMAGE]] * cells, *AFTER])


@lru_cache(maxsize=64)
def prefix_positions(rows: int, cols: int) -> NDArray[np.int64]:
    """Positions (time, row, column) of the tokens of `prefix_ids`: [3, 3 + rows * cols]."""
    start = len(BEFORE)
    place = np.zeros((3, start + rows * cols + 1), np.int64)
    place[:, :start] = np.arange(start)
    grid = np.indices((rows, cols)).reshape(2, -1)
    place[0, start:-1] = start
    place[1:, start:-1] = start + grid
    place[:, -1] = start + max(rows, cols)
    return place
