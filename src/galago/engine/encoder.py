"""Pictures and videos to features, past the caches that may hold them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago import kernels
from galago.engine.cache import FeatureCache
from galago.engine.features import EncodedImage, content_key
from galago.engine.guard import is_finite
from galago.engine.load import LoadedModel
from galago.engine.memory import memory_errors
from galago.engine.merging import kept_tokens, merge_similar
from galago.engine.messages import Look
from galago.engine.request import PictureBounds
from galago.engine.sight import Sight
from galago.errors import ContextLengthError, UsageError
from galago.media import Picture, PictureLimits, read_picture


class Encoder:
    """The vision side of an engine. Any thread may prepare; one at a time encodes."""

    def __init__(self, model: LoadedModel, cache: FeatureCache, limits: PictureLimits) -> None:
        self._model, self._cache, self._limits = model, cache, limits
        self._cache_lock = threading.Lock()

    def prepare(self, look: Look, bounds: PictureBounds, waiting: Callable[[str], Sight | None]) -> Sight:
        """Read and resize a picture, unless its features are given, cached, or about to be computed.

        `waiting(key)` is a sight of the same picture that waits to be encoded, None when there is none.
        Raises PictureError for what cannot be read, ContextLengthError for what no prompt has room for,
        FeaturesError for features of another model, UsageError for bounds that leave no picture or that given
        features do not keep.
        """
        given = look.sources[0]
        if isinstance(given, EncodedImage):
            return Sight.of(self._check(given, look, bounds))
        with memory_errors("reading a picture"):
            return self._prepared(look, bounds, waiting)

    def _prepared(self, look: Look, bounds: PictureBounds, waiting: Callable[[str], Sight | None]) -> Sight:
        start = time.perf_counter()
        pictures = [self._read(source) for source in look.sources]
        frames = [picture.pixels for picture in pictures]
        model, processor = self._model, bounds.apply(self._model.processor, frames[0])
        said = [note for picture in pictures for note in picture.notes]
        if look.fps is None:
            said += processor.remarks(*frames[0].shape[:2])
        notes = tuple(dict.fromkeys(said))
        settings = processor.describe() if look.fps is None else f"{processor.describe()} {look.fps} fps"
        if bounds.kept_share is not None:
            settings += f" keep {bounds.kept_share!r}"
        key = content_key(frames, settings, model.maker)
        with self._cache_lock:
            image = self._cache.get(key, model.maker)
        if image is not None:
            return Sight.of(image, image_s=time.perf_counter() - start, notes=notes)
        other = waiting(key)
        visual = None if other is None else other.visual
        image = None if other is None else other.image
        if image is not None:  # it was encoded just now
            return Sight.of(image, image_s=time.perf_counter() - start, notes=notes)
        size = frames[0].shape[:2]
        grid = processor.image_grid(*size) if look.fps is None else processor.video_grid(len(frames), *size)
        cells = processor.tokens(grid)
        check_room(cells, model)
        if visual is None:
            visual = processor.image(frames[0]) if look.fps is None else processor.video(frames, look.fps)
        tokens = cells if bounds.kept_share is None else kept_tokens(cells, bounds.kept_share)
        return Sight(key, visual, tokens, cells=cells, image_s=time.perf_counter() - start, notes=notes)

    def kept(self, key: str) -> EncodedImage | None:
        """Features that are in memory."""
        return self._cache.peek(key)

    def forget(self) -> None:
        """Forget the features that are in memory."""
        with self._cache_lock:
            self._cache.clear()

    def encode(self, sights: Sequence[Sight]) -> list[tuple[EncodedImage, float]]:
        """Features of several pictures computed together, with the seconds of each: by its patches.

        Features that are not finite are not cached.
        """
        model, visuals = self._model, [sight.visual for sight in sights]
        start = time.perf_counter()
        alone = len(visuals) == 1
        patches = visuals[0].patches if alone else np.concatenate([visual.patches for visual in visuals])
        computed = model.network.encode(model.device.array(patches), [visual.grid for visual in visuals])
        features = kernels.to_numpy(computed)
        ends = np.cumsum([sight.cells for sight in sights])
        whole = np.split(features, ends[:-1])
        parts = [self._fewer(sight, part) for sight, part in zip(sights, whole, strict=True)]
        seconds = time.perf_counter() - start
        encoded = []
        for sight, (part, kept) in zip(sights, parts, strict=True):
            image = self._image(sight, part if alone else part.copy(), kept)
            if is_finite(image.features):
                with self._cache_lock:
                    self._cache.put(image)
            encoded.append((image, seconds * len(sight.visual.patches) / len(patches)))
        return encoded

    @staticmethod
    def _fewer(sight: Sight, features: Any) -> tuple[Any, NDArray[np.int64] | None]:
        """features [cells, dim] -> [tokens, dim], and which cells they stand for; None for all."""
        return (features, None) if sight.tokens == sight.cells else merge_similar(features, sight.tokens)

    def _image(self, sight: Sight, features: Any, kept: NDArray[np.int64] | None) -> EncodedImage:
        features.flags.writeable = False
        visual = sight.visual
        return EncodedImage(
            features,
            visual.grid,
            visual.resized,
            visual.original,
            sight.key,
            self._model.maker,
            visual.seconds_per_step,
            sight.notes,
            kept,
        )

    def _check(self, image: EncodedImage, look: Look, bounds: PictureBounds) -> EncodedImage:
        is_video = image.visual.kind == "video"
        if len(look.sources) > 1 or is_video != (look.fps is not None):
            kind = "video" if is_video else "picture"
            raise UsageError(
                f"the features of a {kind} stand in the wrong part of a message",
                hint="an `image` part takes those of a picture, a `video` part frames",
            )
        image.check_maker(self._model.maker)
        cells, share = self._model.processor.tokens(image.grid), bounds.kept_share
        if share is not None and image.tokens != kept_tokens(cells, share):
            raise UsageError(
                f"keep_tokens is {share!r}, and these features have {image.tokens} of {cells} tokens",
                hint=f"merge them when they are made: encode(picture, keep_tokens={share!r})",
            )
        return image

    def _read(self, source: Any) -> Picture:
        return source if isinstance(source, Picture) else read_picture(source, limits=self._limits)


def check_room(tokens: int, model: LoadedModel) -> None:
    """Raise ContextLengthError for a picture that no prompt has room for, before it is resized."""
    context = model.context
    if tokens >= context:
        raise ContextLengthError(
            f"the picture takes {tokens} tokens; {model.name} takes {context}, with question and answer",
            hint=f"bound the picture: image_tokens={context // 2}",
        )
