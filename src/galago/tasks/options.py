"""The keyword options that verbs share, and the request they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from galago.engine.generation_config import DRAW, is_number
from galago.engine.grammar import ConstraintSpec
from galago.engine.request import Messages, PictureBounds, Request
from galago.errors import UsageError
from galago.types import SamplingParams


class PictureOptions(TypedDict, total=False):
    """What a picture may cost."""

    min_pixels: int | None
    max_pixels: int | None
    image_tokens: int | Literal["auto"] | None
    keep_tokens: float | None


class TaskOptions(PictureOptions, total=False):
    """How an answer's tokens are chosen; see `SamplingParams`. `stop` is a text or several."""

    max_tokens: int
    min_tokens: int
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int
    draft_tokens: int
    stop: str | Sequence[str]


class AskOptions(TaskOptions, total=False):
    """What the answer must be: a JSON Schema, a regular expression, or one of some choices."""

    schema: Mapping[str, Any] | None
    regex: str | None
    choices: Sequence[str] | None


_PICTURE = tuple(PictureOptions.__annotations__)
_CONSTRAINT = ("schema", "regex", "choices")
_SAMPLING = tuple(key for key in TaskOptions.__annotations__ if key not in _PICTURE)
_WHOLE = ("max_tokens", "min_tokens", "top_k", "seed", "draft_tokens")


def picture_bounds(options: Mapping[str, Any]) -> PictureBounds:
    """The bounds among some options; raises UsageError for an option of another name."""
    check_names(options, _PICTURE)
    return PictureBounds(**options)


def make_request(
    messages: Messages,
    options: Mapping[str, Any],
    *,
    allow_constraint: bool = True,
    max_tokens: int | None = None,
    constraint: ConstraintSpec | None = None,
    show_special: bool = False,
    trusted: bool = False,
    checkpoint: Mapping[str, Any] | None = None,
) -> Request:
    """A request from the options of a verb; `max_tokens` is the verb's own default.

    `checkpoint` has the model's own values of sampling options, for what is not given. Who gives a
    temperature says all about the draw: the model's top_k, top_p and min_p then do not count.

    Raises UsageError for an unknown option, naming the nearest, a value out of its range, a rule of the draw
    where nothing is drawn, or a `stop` beside the verb's own `constraint`; SchemaError for a constraint that
    cannot be one.
    """
    check_names(options, (*_SAMPLING, *_PICTURE, *(_CONSTRAINT if allow_constraint else ())))
    sampling = {key: options[key] for key in _SAMPLING if key in options}
    own = checkpoint or {}
    if "temperature" in sampling:
        own = {key: value for key, value in own.items() if key not in DRAW}
    sampling = {**own, **sampling}
    if max_tokens is not None:
        sampling.setdefault("max_tokens", max_tokens)
    sampling["stop"] = _texts(sampling.get("stop", ()))
    for key in sampling.keys() - {"stop"}:
        _check_number(key, sampling[key])
    idle = [key for key in DRAW if options.get(key) and not sampling.get("temperature")]
    if idle:
        raise UsageError(f"{idle[0]} has no effect at temperature 0", hint="draw with temperature=0.7")
    if constraint is not None and sampling["stop"]:
        raise UsageError(
            f"stop is {options['stop']!r}, and would cut the JSON that is wanted", hint="leave out stop"
        )
    given = {key: options[key] for key in _CONSTRAINT if key in options}
    return Request(
        messages,
        SamplingParams(**sampling),
        constraint or ConstraintSpec.of(**given),
        PictureBounds(**{key: options[key] for key in _PICTURE if key in options}),
        show_special=show_special,
        trusted=trusted,
    )


def check_names(options: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise UsageError for an option that a verb does not have."""
    for name in options:
        if name not in known:
            import difflib  # only a mistake needs it

            close = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"there is no option {name!r} here",
                hint=f"did you mean {close[0]!r}?" if close else f"options are {', '.join(known)}",
            )


def _texts(stop: Any) -> tuple[str, ...]:
    texts = (stop,) if isinstance(stop, str) else () if stop is None else stop
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"stop is {stop!r}; a text or a list of texts is needed")
    return tuple(texts)


def _check_number(name: str, value: Any) -> None:
    whole = name in _WHOLE
    if value is None and SamplingParams.__dataclass_fields__[name].default is None:
        return
    if not is_number(value, whole=whole):
        raise UsageError(f"{name} is {value!r}; a {'whole' if whole else 'finite'} number is needed")
