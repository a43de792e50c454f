"""Galago: vision-language models that answer fast and truly on ordinary CPUs, offline.

    import galago

    model = galago.load("nano")
    answer = model.ask("meter.png", "What does the display read?")

Names are imported on first use: `import galago` alone loads no array library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galago.compress.conversion import convert
    from galago.engine.features import EncodedImage
    from galago.errors import (
        ConfigError,
        ContextLengthError,
        DeviceError,
        FeaturesError,
        FetchError,
        GalagoError,
        GalagoWarning,
        GarbageError,
        MissingDependencyError,
        ModelError,
        ModelNotFoundError,
        OutOfMemoryError,
        PictureError,
        SchemaError,
        TrainingError,
        UsageError,
        WeightError,
    )
    from galago.media.picture import PictureLimits
    from galago.tasks.model import Model, load
    from galago.types import Answer, Box, DeviceState, Memory, Reading, SamplingParams, Timings, Usage

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Box",
    "ConfigError",
    "ContextLengthError",
    "DeviceError",
    "DeviceState",
    "EncodedImage",
    "FeaturesError",
    "FetchError",
    "GalagoError",
    "GalagoWarning",
    "GarbageError",
    "Memory",
    "MissingDependencyError",
    "Model",
    "ModelError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "PictureError",
    "PictureLimits",
    "Reading",
    "SamplingParams",
    "SchemaError",
    "Timings",
    "TrainingError",
    "Usage",
    "UsageError",
    "WeightError",
    "__version__",
    "convert",
    "load",
]

_HOMES = {
    "convert": "galago.compress.conversion",
    "load": "galago.tasks.model",
    "Model": "galago.tasks.model",
    "EncodedImage": "galago.engine.features",
    "PictureLimits": "galago.media.picture",
    **dict.fromkeys(
        ("Answer", "Box", "DeviceState", "Memory", "Reading", "SamplingParams", "Timings", "Usage"),
        "galago.types",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'galago' has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "galago.errors")), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return __all__
