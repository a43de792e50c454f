"""Pictures and videos to features, past the caches that may hold them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from galago import kernels
from galago.engine.cache import FeatureCache
from galago.engine.features import EncodedImage, content_key
from galago.engine.load import LoadedModel
from galago.engine.messages import Look
from galago.engine.request import PictureBounds
from galago.errors import ContextLengthError, UsageError
from galago.media import Picture, PictureLimits, read_picture


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features, the seconds of reading and preparing the picture, and those of the vision tower."""

    image: EncodedImage
    image_s: float
    encode_s: float


class Encoder:
    """The vision side of an engine. Not safe for two threads at once."""

    def __init__(self, model: LoadedModel, cache: FeatureCache, limits: PictureLimits) -> None:
        self._model, self._cache, self._limits = model, cache, limits

    def encode(self, look: Look, bounds: PictureBounds) -> Encoded:
        """Features that are given or cached cost no vision tower (0 s).

        Raises PictureError for what cannot be read, ContextLengthError for what no prompt has room for,
        FeaturesError for features of another model, UsageError for bounds that leave no picture. Features
        that are not finite are not cached.
        """
        given = look.sources[0]
        if isinstance(given, EncodedImage):
            return Encoded(self._check(given, look), 0.0, 0.0)
        start = time.perf_counter()
        pictures = [self._read(source) for source in look.sources]
        notes = tuple(dict.fromkeys(note for picture in pictures for note in picture.notes))
        frames = [picture.pixels for picture in pictures]
        model, processor = self._model, bounds.apply(self._model.processor)
        settings = processor.describe() if look.fps is None else f"{processor.describe()} {look.fps} fps"
        key = content_key(frames, settings, model.maker)
        image = self._cache.get(key, model.maker)
        if image is not None:
            return Encoded(replace(image, notes=notes), time.perf_counter() - start, 0.0)
        visual = processor.image(frames[0]) if look.fps is None else processor.video(frames, look.fps)
        check_room(processor.tokens(visual.grid), model)
        prepared = time.perf_counter()
        computed = model.network.encode(model.device.array(visual.patches), [visual.grid])
        finite, features = kernels.is_finite(computed), kernels.to_numpy(computed)
        features.flags.writeable = False
        encoded = time.perf_counter()
        image = EncodedImage(
            features,
            visual.grid,
            visual.resized,
            visual.original,
            key,
            model.maker,
            visual.seconds_per_step,
            notes,
        )
        if finite:
            self._cache.put(image)
        return Encoded(image, prepared - start, encoded - prepared)

    def _check(self, image: EncodedImage, look: Look) -> EncodedImage:
        is_video = image.visual.kind == "video"
        if len(look.sources) > 1 or is_video != (look.fps is not None):
            kind = "video" if is_video else "picture"
            raise UsageError(
                f"the features of a {kind} stand in the wrong part of a message",
                hint="an `image` part takes those of a picture, a `video` part frames",
            )
        image.check_maker(self._model.maker)
        return image

    def _read(self, source: Any) -> Picture:
        return source if isinstance(source, Picture) else read_picture(source, limits=self._limits)


def check_room(tokens: int, model: LoadedModel) -> None:
    """Raise ContextLengthError for a picture that no prompt has room for, before it is encoded."""
    context = model.config.context
    if tokens >= context:
        raise ContextLengthError(
            f"the picture takes {tokens} tokens; {model.name} takes {context}, with question and answer",
            hint=f"bound the picture: image_tokens={context // 2}",
        )
