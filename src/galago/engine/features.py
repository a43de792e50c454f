"""An encoded picture as a value: its features, where they came from, and the file that keeps them.

Features are only good for the model that made them; the model's name and revision travel along and are
checked wherever features are used.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import FeaturesError, WeightError
from galago.files import StrPath
from galago.formats import safetensors
from galago.frozen import frozen
from galago.models import Visual
from galago.types import Grid

_VERSION = "3"
_KEY = "galago-features"
_SIZES = ("grid", "resized", "original")


@frozen
class Maker:
    """Which model made features: its name for people, its revision and precision for the comparison."""

    name: str
    revision: str
    precision: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.precision}, revision {self.revision[:8]})"


@frozen(eq=False)
class EncodedImage:
    """A picture, or the frames of a video, as the language model takes it.

    `features` float32 [tokens, dim], read-only; `grid` in patches; `resized` and `original` are (height,
    width) in pixels, after and before the resize. `key` is the hash of everything the features depend on.
    Where tokens were merged, `kept` are the cells of the grid that remain, ascending [tokens]; else None.
    Hold it as long as there are questions about the picture: asking costs only the question's own tokens.
    """

    features: NDArray[np.float32] = field(repr=False)
    grid: Grid
    resized: tuple[int, int]
    original: tuple[int, int]
    key: str
    maker: Maker
    seconds_per_step: float | None = None
    notes: tuple[str, ...] = ()
    kept: NDArray[np.int64] | None = field(default=None, repr=False)

    @property
    def tokens(self) -> int:
        """Tokens that the picture takes of a prompt."""
        return len(self.features)

    @property
    def visual(self) -> Visual:
        """What positions are computed from; it has no patches."""
        none = np.empty((0, 0), np.float32)
        return Visual(none, self.grid, self.resized, self.original, self.seconds_per_step)

    def check_maker(self, maker: Maker) -> None:
        """Raise FeaturesError, naming both, unless this model made the features."""
        if (self.maker.revision, self.maker.precision) != (maker.revision, maker.precision):
            raise FeaturesError(
                f"these image features were made by {self.maker} and cannot be used by {maker}",
                hint="encode the picture again with this model",
            )

    def save(self, path: StrPath) -> None:
        """Write a safetensors file, whole or not at all; raises FeaturesError when it cannot be written."""
        facts = {
            "grid": self.grid, "resized": self.resized, "original": self.original, "key": self.key,
            "maker": [self.maker.name, self.maker.revision, self.maker.precision],
            "seconds_per_step": self.seconds_per_step, "notes": self.notes,
            "kept": None if self.kept is None else self.kept.tolist(),
        }  # fmt: skip
        said = json.dumps(facts)
        metadata = {_KEY: _VERSION, "facts": said, "checksum": _checksum(said, self.features)}
        try:
            safetensors.write(path, {"features": self.features}, metadata, durable=False)
        except WeightError as error:
            raise FeaturesError(str(error), hint=error.hint) from error

    @staticmethod
    def load(path: StrPath) -> EncodedImage:
        """Read what `save` wrote. Whose features they are is checked where they are used.

        Raises FeaturesError when the file is missing, damaged, or holds something else.
        """
        try:
            stored, metadata = safetensors.open_with_metadata(path)
        except WeightError as error:
            raise FeaturesError(f"no image features: {error}", hint=error.hint) from error
        if metadata.get(_KEY) != _VERSION or set(stored) != {"features"} or stored["features"].dtype != "F32":
            raise FeaturesError(
                f"{path} holds no image features of this version", hint="encode the picture again"
            )
        try:
            features = np.array(stored["features"].array)  # a copy: the file may be replaced or cut meanwhile
            if metadata["checksum"] != _checksum(metadata["facts"], features):
                raise ValueError("the checksum does not match")
            return _from_facts(json.loads(metadata["facts"]), features)
        except (KeyError, ValueError, TypeError) as error:
            raise FeaturesError(f"{path} is damaged: {error}", hint="encode the picture again") from error


def _checksum(facts: str, features: NDArray[np.float32]) -> str:
    """Of all that a file says: the facts as they are written there, the shape and the numbers."""
    return str(zlib.crc32(features.data, zlib.crc32(f"{facts} {features.shape}".encode())))


def _from_facts(facts: dict[str, Any], features: NDArray[np.float32]) -> EncodedImage:
    if features.ndim != 2:
        raise ValueError(f"the features have {features.ndim} axes")
    kept = None if facts["kept"] is None else np.array(facts["kept"], np.int64)
    if kept is not None and kept.shape != (len(features),):
        raise ValueError(f"{len(features)} features have {kept.size} places")
    features.flags.writeable = False
    sizes: dict[str, Any] = {name: tuple(int(size) for size in facts[name]) for name in _SIZES}
    seconds = facts["seconds_per_step"]
    return EncodedImage(
        features,
        key=str(facts["key"]),
        maker=Maker(*facts["maker"]),
        seconds_per_step=None if seconds is None else float(seconds),
        notes=tuple(facts["notes"]),
        kept=kept,
        **sizes,
    )


def content_key(pixels: Sequence[NDArray[np.uint8]], settings: str, maker: Maker) -> str:
    """The hash of frames [H, W, 3], preprocessing, model revision and precision: 64 hexadecimal digits."""
    import hashlib

    digest = hashlib.sha256(f"{_KEY} {_VERSION}\0{settings}\0{maker.revision}\0{maker.precision}\0".encode())
    for frame in pixels:
        digest.update(f"{frame.shape}\0".encode())
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()
