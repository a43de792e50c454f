"""Options that several commands share, and what they mean to the library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galago.cli.progress import progress_bar
from galago.cli.settings import flag, option
from galago.errors import ConfigError, SchemaError, UsageError
from galago.files import read_json_object, reason
from galago.frozen import frozen
from galago.types import Weights

if TYPE_CHECKING:
    from galago import Model
    from galago.media import PictureLimits


@frozen(kw_only=True)
class MachineSettings:
    """How a model is held, and what it may use of the machine."""

    weights: Weights | None = option(
        "Convert the weights on load; by default they stay as the file has them.", environment=True
    )
    threads: int | None = option(
        "Threads to compute with; by default one for each core.", metavar="N", environment=True
    )
    memory: str | None = option(
        "Budget such as 2GB; by default what is free.", metavar="SIZE", environment=True
    )


@frozen(kw_only=True)
class ModelSettings(MachineSettings):
    """Which model answers, and where it keeps image features."""

    model: str = option(
        "Name or folder of the model.", default="nano", metavar="MODEL", short="-m", environment=True
    )
    device: str = option(
        "What computes: cpu, or cuda for a GPU (cuda:1 for the second).",
        default="cpu",
        metavar="DEVICE",
        environment=True,
    )
    cache: Path | None = option(
        "Folder that keeps image features; by default $GALAGO_CACHE or the user's cache folder.",
        metavar="DIR",
    )
    no_cache: bool = flag("Neither read nor write image features on disk.")

    def load(self, limits: PictureLimits | None = None) -> Model:
        """The model, ready to answer about pictures within `limits`."""
        from galago import load

        if self.no_cache and self.cache is not None:
            raise UsageError("--cache and --no-cache exclude each other")
        with progress_bar("converting weights") as progress:
            return load(
                self.model,
                device=self.device,
                threads=self.threads,
                weights=self.weights,
                memory=self.memory,
                cache=False if self.no_cache else self.cache,
                limits=limits,
                progress=progress,
            )


@frozen(kw_only=True)
class StatsSettings:
    """Whether the record of the answer is shown."""

    stats: bool = flag("Show where time and memory went, on stderr.")


@frozen(kw_only=True)
class CostSettings:
    """How many tokens a picture may cost."""

    image_tokens: str | None = option(
        "At most so many tokens for each picture; auto: as its detail needs.", metavar="N|auto"
    )
    keep_tokens: float | None = option(
        "Merge similar tokens of a picture until this share of them is left, such as 0.5.", metavar="SHARE"
    )
    min_pixels: int | None = option("Enlarge smaller pictures to this area.", metavar="N")
    max_pixels: int | None = option("Reduce larger pictures to this area.", metavar="N")

    def picture_options(self) -> dict[str, Any]:
        """What was asked for, as keyword arguments of the verbs."""
        options = given(self, CostSettings)
        tokens = options.get("image_tokens")
        if tokens is not None and tokens != "auto":
            options["image_tokens"] = _whole(tokens)
        return options


@frozen(kw_only=True)
class PictureSettings(CostSettings):
    """How large a picture may be, and how many tokens it may cost."""

    max_picture_pixels: int | None = option("Refuse files whose picture is larger than this.", metavar="N")

    def picture_limits(self) -> PictureLimits:
        """What is refused of pictures; a memory budget refuses more."""
        from galago.media import PictureLimits

        if self.max_picture_pixels is None:
            return PictureLimits()
        if self.max_picture_pixels < 1:
            raise UsageError(f"--max-picture-pixels is {self.max_picture_pixels}; it must be 1 or more")
        return PictureLimits(max_pixels=self.max_picture_pixels)


@frozen(kw_only=True)
class SamplingSettings:
    """How the words of an answer are chosen."""

    max_tokens: int | None = option("Length at which an answer is cut.", metavar="N")
    min_tokens: int | None = option("Length before which an answer does not end.", metavar="N")
    temperature: float | None = option(
        "0 always takes the likeliest token; by default what the model's generation_config.json says.",
        metavar="T",
    )
    top_k: int | None = option("Draw from the K likeliest tokens.", metavar="K")
    top_p: float | None = option("Draw from the likeliest tokens that sum up to P.", metavar="P")
    min_p: float | None = option(
        "Draw from tokens of at least P times the best one's probability.", metavar="P"
    )
    repetition_penalty: float | None = option("Above 1 makes repeating less likely.", metavar="X")
    seed: int | None = option("The same seed draws the same text.", metavar="N")
    draft_tokens: int | None = option(
        "Guess N tokens ahead from what was said before: changes the speed and no word.", metavar="N"
    )
    stop: tuple[str, ...] = option("End the answer before this text.", default=(), metavar="TEXT")

    def sampling_options(self) -> dict[str, Any]:
        """What was asked for, as keyword arguments of the verbs."""
        return given(self, SamplingSettings)


@frozen(kw_only=True)
class ConstraintSettings:
    """What form the answer must have."""

    schema: Path | None = option(
        "JSON Schema in this file; the answer is JSON that validates.", metavar="FILE"
    )
    regex: str | None = option("The answer matches this regular expression.", metavar="REGEX")
    choices: str | None = option("The answer is one of these.", metavar="A,B,C")

    def constraint_options(self) -> dict[str, Any]:
        """The one constraint that was asked for, as a keyword argument of the verbs."""
        options = given(self, ConstraintSettings)
        if len(options) > 1:
            raise UsageError(f"{' and '.join(map(spelling, options))} exclude each other")
        if self.schema is not None:
            return {"schema": read_schema(self.schema)}
        if self.choices is not None:
            return {"choices": split(self.choices, "--choices")}
        return options


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--image-tokens is {text!r}; a number of 1 or more, or auto, is needed")
    return int(text)


def given(settings: Any, part: type[Any]) -> dict[str, Any]:
    """The options of `part` that have a value."""
    values = {name: getattr(settings, name) for name in part.__dataclass_fields__}
    return {name: value for name, value in values.items() if value not in (None, ())}


def spelling(name: str) -> str:
    """A field's name as it is written on the command line."""
    return "--" + name.replace("_", "-")


def split(text: str, where: str) -> list[str]:
    """The parts of "a, b, c"; raises UsageError where one is empty."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{where} has an empty name in {text!r}", hint=f"{where} a,b,c")
    return parts


def read_schema(path: Path) -> Mapping[str, Any]:
    """A JSON Schema from a file; raises SchemaError where there is none."""
    try:
        return read_json_object(path)
    except ConfigError as error:
        hint = 'name a file that holds a JSON Schema: {"type": "object", ...}'
        raise SchemaError(str(error), hint=hint) from error


def check_output(path: Path) -> None:
    """Raise UsageError, before the work, for a file that could not be written after it."""
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder", hint="name a file in it")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent} is not a folder", hint="make the folder first")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {reason(error)}", hint="choose another place") from error
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"nothing can be written into {path.parent}", hint="choose another place")
