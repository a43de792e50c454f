"""A picture or video of a request on its way to features: what a prompt must know before they are there."""

from __future__ import annotations

from dataclasses import replace
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from galago.engine.features import EncodedImage
from galago.models import Visual


class Sight:
    """A picture of one request. `tokens`, sizes and `key` are known from the start, `image` once encoded.

    The tower makes `cells` tokens of it; where `tokens` are fewer, similar ones are merged afterwards.
    `image_s` are the seconds of reading and preparing it; `encode_s` those of the vision tower that were
    spent for this request: 0 where the features were given, cached, or computed for another request.
    """

    def __init__(
        self,
        key: str,
        visual: Visual,
        tokens: int,
        *,
        cells: int | None = None,
        image_s: float = 0.0,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.key, self.visual, self.tokens = key, visual, tokens
        self.cells = tokens if cells is None else cells
        self.image_s, self.encode_s = image_s, 0.0
        self.notes = notes
        self.image: EncodedImage | None = None
        self.error: BaseException | None = None
        self.news: SimpleQueue[None] = SimpleQueue()
        """Who waits for it gets from here, once when it is settled."""
        self.abandoned = False
        """Whether nobody waits for it any more."""

    @classmethod
    def of(cls, image: EncodedImage, *, image_s: float = 0.0, notes: tuple[str, ...] | None = None) -> Sight:
        """One whose features are there already."""
        sight = cls(
            image.key,
            image.visual,
            image.tokens,
            image_s=image_s,
            notes=image.notes if notes is None else notes,
        )
        sight.image = image
        return sight

    def show(self, image: EncodedImage, encode_s: float) -> None:
        """Take the features; the patches are let go, in this order: other threads read both."""
        self.encode_s = encode_s
        self.image = replace(image, notes=self.notes)
        self.visual = image.visual

    def outline(self) -> Sight:
        """What is to be known of it when nobody needs it any more: it has neither patches nor features."""
        bare = replace(self.visual, patches=np.empty((0, 0), np.float32))
        outline = Sight(self.key, bare, self.tokens, cells=self.cells, image_s=self.image_s, notes=self.notes)
        outline.encode_s, outline.abandoned = self.encode_s, True
        return outline

    @property
    def settled(self) -> bool:
        """Whether it is encoded, or never will be."""
        return self.image is not None or self.error is not None

    @property
    def features(self) -> NDArray[np.float32]:
        """[tokens, dim]; the picture must be encoded."""
        assert self.image is not None, self.key
        return self.image.features

    @property
    def kept(self) -> NDArray[np.int64] | None:
        """Which cells its tokens stand for, None for all; the picture must be encoded."""
        assert self.image is not None, self.key
        return self.image.kept

    @property
    def resized(self) -> tuple[int, int]:
        """(height, width) in pixels after the resize."""
        return self.visual.resized

    @property
    def original(self) -> tuple[int, int]:
        """(height, width) in pixels of what was given."""
        return self.visual.original
