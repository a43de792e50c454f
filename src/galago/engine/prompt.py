"""From messages and pictures to the rows a decoder takes: ids, positions, and where features go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.engine.features import EncodedImage
from galago.engine.load import LoadedModel
from galago.engine.sight import Sight
from galago.errors import ConfigError, ContextLengthError
from galago.frozen import frozen
from galago.text import guard_messages

Ids = NDArray[np.int64]
Shown = EncodedImage | Sight
"""A picture of a prompt; of one that is on its way, all but the features is known."""


@frozen(eq=False)
class Rows:
    """Neighbouring tokens of a sequence: `ids` and `feature_rows` [n], `positions` [axes, n]."""

    ids: Ids
    feature_rows: Ids
    positions: Ids


@frozen(eq=False)
class Prompt:
    """T tokens of a prompt. `ids` [T] has placeholders where `feature_rows` [T] names a row of the features.

    `feature_rows` is -1 for text. `whole` [axes, W] are positions of all cells of the pictures and of the
    text, which `in_picture` [W] tells apart, `cells` for each picture; W is T where no tokens are merged.
    The answer goes on at `next_position`.
    """

    ids: Ids
    images: tuple[Shown, ...]
    feature_rows: Ids
    whole: Ids
    in_picture: NDArray[np.bool_]
    cells: tuple[int, ...]
    next_position: int

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def positions(self) -> Ids:
        """[axes, T]: what is kept of a picture stays where it was.

        All pictures must be encoded where tokens of one are merged.
        """
        if len(self) == len(self.in_picture):
            return self.whole
        stays, first = ~self.in_picture, 0
        cells = np.flatnonzero(self.in_picture)
        for image, count in zip(self.images, self.cells, strict=True):
            of_image = cells[first : first + count]
            stays[of_image if image.kept is None else of_image[image.kept]] = True
            first += count
        return self.whole[:, stays]

    @property
    def image_tokens(self) -> int:
        """How many of the tokens stand for pictures."""
        return int((self.feature_rows >= 0).sum())

    @property
    def head(self) -> int:
        """Tokens up to the end of the last picture: what other questions about it share."""
        places = np.flatnonzero(self.feature_rows >= 0)
        return int(places[-1]) + 1 if len(places) else 0

    def rows(self, start: int, stop: int) -> Rows:
        """The tokens from `start` to `stop`."""
        part = slice(start, stop)
        return Rows(self.ids[part], self.feature_rows[part], self.positions[:, part])

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """The features of all pictures, [image tokens, dim]; all must be encoded."""
        if len(self.images) == 1:
            return self.images[0].features
        return np.concatenate([image.features for image in self.images])

    @cached_property
    def identity(self) -> Ids:
        """[T]: equal numbers mean equal rows; a feature counts as the hash of its picture and its place."""
        identity: Ids = self.ids.copy()
        place = 0
        rows = np.flatnonzero(self.feature_rows >= 0)
        for image in self.images:
            first = int(image.key[:15], 16)  # 60 bits, and below zero: never a token's id
            identity[rows[place : place + image.tokens]] = -1 - first - np.arange(image.tokens)
            place += image.tokens
        return identity


def build_prompt(
    model: LoadedModel, messages: Sequence[dict[str, Any]], images: Sequence[Shown], *, trusted: bool
) -> Prompt:
    """Render messages through the chat template and give every picture its tokens.

    `messages` have the form of `messages.split`; `images` are in their order. Unless `trusted`, texts cannot
    spell special tokens. Raises ContextLengthError when prompt and at least one answer token do not fit.
    """
    guarded = messages if trusted else guard_messages(messages, model.tokenizer)
    ids = np.array(model.tokenizer.encode(model.template.render(guarded)), np.int64)
    tokens = tuple(image.tokens for image in images)
    expanded, feature_rows = _expand(model, ids, images, tokens)
    context = model.context
    if len(expanded) >= context:
        raise ContextLengthError(
            f"the prompt has {len(expanded)} tokens, {int((feature_rows >= 0).sum())} of them for pictures;"
            f" {model.name} takes {context} with the answer",
            hint="bound the pictures with image_tokens, or shorten the text",
        )
    visuals = [image.visual for image in images]
    cells = tuple(model.processor.tokens(visual.grid) for visual in visuals)
    whole, in_picture = expanded, feature_rows >= 0
    if cells != tokens:
        whole, rows = _expand(model, ids, images, cells)
        in_picture = rows >= 0
    positions, next_position = model.processor.positions(whole, visuals)
    return Prompt(expanded, tuple(images), feature_rows, positions, in_picture, cells, next_position)


def _expand(model: LoadedModel, ids: Ids, images: Sequence[Shown], tokens: Sequence[int]) -> tuple[Ids, Ids]:
    """Repeat each placeholder for the `tokens` of its picture: ids and feature rows, both [T]."""
    kinds = {"image": model.config.image_token, "video": model.config.video_token}
    places = np.flatnonzero(np.isin(ids, list(kinds.values())))
    if [int(one) for one in ids[places]] != [kinds[image.visual.kind] for image in images]:
        raise ConfigError(
            f"the chat template of {model.name} leaves {len(places)} places for {len(images)} pictures",
            hint="is it the template of the instruct version of this model?",
        )
    counts = np.ones(len(ids), np.int64)
    counts[places] = tokens
    is_visual = np.zeros(len(ids), bool)
    is_visual[places] = True
    in_picture = np.repeat(is_visual, counts)
    feature_rows = np.where(in_picture, np.cumsum(in_picture) - 1, -1)
    return np.repeat(ids, counts), feature_rows
