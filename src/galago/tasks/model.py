"""A loaded model and its verbs: the public face of the library."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from galago.engine.cache import cache_folder
from galago.engine.checkpoint import Checkpoint, open_checkpoint
from galago.engine.engine import Engine
from galago.engine.features import EncodedImage
from galago.engine.guard import GARBAGE_HINT
from galago.engine.load import LoadedModel, Progress, load_checkpoint
from galago.engine.memory import memory_errors, parse_size
from galago.engine.messages import split
from galago.engine.planner import plan_memory
from galago.engine.request import Messages, Request, check_count
from galago.engine.room import check_room
from galago.engine.share import DEVICE_BESIDE, DEVICE_CHUNK
from galago.engine.stream import TextStream
from galago.errors import GalagoWarning, GarbageError, UsageError
from galago.files import StrPath
from galago.kernels import Device, check_device, open_device
from galago.media import PictureLimits
from galago.tasks import prompts
from galago.tasks.extract import parse_wanted, value_of
from galago.tasks.options import AskOptions, PictureOptions, TaskOptions, make_request, picture_bounds
from galago.types import Answer, Box, Reading, Weights

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

LONG = 2048
"""Tokens that reading, finding and extracting may take unless `max_tokens` says otherwise."""
OnAnswer = Callable[[Answer], None]
"""Told the whole answer, with its record, before a verb makes its result of it."""


def load(
    source: StrPath,
    *,
    device: str = "cpu",
    threads: int | None = None,
    weights: Weights | None = None,
    memory: str | int | None = None,
    cache: StrPath | bool | None = None,
    limits: PictureLimits | None = None,
    progress: Progress | None = None,
) -> Model:
    """A model ready to answer: an embedded model's name, or a folder with config.json and safetensors files.

    `device` is "cpu", or "cuda" ("cuda:1" for the second) for a GPU: there f32 weights become bf16 unless
    "f32" is asked for, `memory` is the GPU's, and `threads` cannot be set.

    `weights` are "f32", "bf16", "q8" or "q4", by default what the file holds; others are converted while
    loading, which `progress(done_bytes, all_bytes)` is told of. `threads` are this model's own, by default
    one for each core. `memory` is a budget such as "2GB", by default what is free: what cannot fit is refused
    before loading; pictures, context and caches are kept within it. `cache` is the folder that keeps image
    features between runs (by default the user's cache folder), False keeps none. `limits` bound what is read
    as a picture.

    Raises UsageError, ModelNotFoundError, ConfigError, WeightError or OutOfMemoryError; for a GPU also
    MissingDependencyError without torch, and DeviceError without a GPU. The files must stay in place while
    the model is in use.
    """
    _check_kind("source", source, str, os.PathLike)
    _check_kind("cache", cache, str, os.PathLike, bool, NoneType)
    _check_kind("limits", limits, PictureLimits, NoneType)
    check_device(device)
    if threads is not None:
        check_count("threads", threads)
    if device != "cpu" and threads is not None:
        raise UsageError(f"threads is {threads!r}; they are the cpu's, and device is {device!r}")
    if weights is not None and weights not in get_args(Weights):
        raise UsageError(f"weights is {weights!r}; one of {', '.join(get_args(Weights))} is needed")
    checkpoint, folder = open_checkpoint(source), _cache_folder(cache)
    budget = None if memory is None else parse_size(memory)
    place = open_device(device, exact=weights == "f32")
    if not place.is_host:
        loaded = _on_device(checkpoint, place, weights, budget, progress)
        engine = Engine(loaded, cache=folder, limits=limits, chunk=DEVICE_CHUNK, beside=DEVICE_BESIDE)
        return Model(engine, limits=limits)
    plan = plan_memory(checkpoint, weights, budget)
    with memory_errors(checkpoint.source.name):
        loaded = load_checkpoint(checkpoint, weights=weights, progress=progress, plan=plan)
    bounds = limits or PictureLimits()
    bounds = replace(bounds, max_pixels=min(bounds.max_pixels, plan.picture_pixels))
    engine = Engine(loaded, threads=threads, cache=folder, limits=bounds, plan=plan, chunk=plan.chunk)
    return Model(engine, limits=bounds)


def _on_device(
    checkpoint: Checkpoint,
    place: Device,
    weights: Weights | None,
    budget: int | None,
    progress: Progress | None,
) -> LoadedModel:
    """A model in the memory of a device, within a budget and what is free there."""
    if weights is None and checkpoint.weights == "f32":
        weights = "bf16"
    bounds = [bound for bound in (budget, place.free_bytes()) if bound is not None]
    check_room(checkpoint, weights, min(bounds, default=None))
    return load_checkpoint(checkpoint, device=place, weights=weights, progress=progress)


class Model:
    """A loaded model. Made by `load`; may be used from several threads, whose answers are written together.

    A picture is a path, a URL, bytes, a PIL image, an array [height, width, 3] of uint8, or an
    `EncodedImage`. All verbs take what bounds a picture's cost: `image_tokens`, or `min_pixels` and
    `max_pixels`, and `keep_tokens`. All that write text take `max_tokens`, `min_tokens`, `temperature`,
    `top_k`, `top_p`, `min_p`, `repetition_penalty`, `seed`, `draft_tokens` and (not `extract`) `stop`; `ask`,
    `ask_many`, `chat` and `stream` also one of `schema`, `regex` and `choices`. What these four are not told
    about drawing tokens, the checkpoint's generation_config.json says; the other verbs take the likeliest
    token unless told otherwise, and tell `on_answer` the answer that their result is made of, with its
    record, even when it is garbage. An option that a verb does not have raises UsageError, as `top_k`,
    `top_p` and `min_p` do where nothing is drawn (temperature 0); a picture that cannot be read raises
    PictureError, a prompt that is too long ContextLengthError.
    """

    def __init__(self, engine: Engine, *, limits: PictureLimits | None = None) -> None:
        self.engine = engine
        self.limits = limits or PictureLimits()
        """What is refused of the pictures it reads: those of `load`, and what the memory has no room for."""

    @property
    def name(self) -> str:
        """What answers call the model."""
        return self.engine.model.name

    def ask(self, image: Any, question: str, **options: Unpack[AskOptions]) -> Answer:
        """Answer a question about one picture, or about a list of pictures."""
        return self.chat(_messages(image, question), **options)

    def ask_many(self, pairs: Sequence[tuple[Any, str]], **options: Unpack[AskOptions]) -> list[Answer]:
        """Answers to several (picture, question) pairs, computed together; each is what `ask` alone gives."""
        requests = [self._request(_messages(*pair), options) for pair in _checked_pairs(pairs)]
        return self.engine.answer(requests)

    def chat(self, messages: Messages, **options: Unpack[AskOptions]) -> Answer:
        """The next turn of a conversation: messages with `role`, and `content` as a text or a list of parts.

        Parts are `{"type": "text", "text": ...}`, `{"type": "image", "image": picture}`,
        `{"type": "image_url", "image_url": {"url": ...}}` and
        `{"type": "video", "video": [frame, ...], "fps": 2.0}`.
        """
        return self.engine.answer([self._request(messages, options)])[0]

    def stream(self, messages: Messages, **options: Unpack[AskOptions]) -> TextStream:
        """`chat`, piece by piece: iterate for texts, `.answer` is the whole, `.close()` cancels the work."""
        return self.engine.stream(self._request(messages, options))

    def caption(
        self, image: Any, *, on_answer: OnAnswer | None = None, **options: Unpack[TaskOptions]
    ) -> str:
        """What the picture shows, in a sentence or two. Raises GarbageError."""
        return self._task(image, prompts.CAPTION, options, on_answer=on_answer).text

    def find(
        self, image: Any, what: str, *, on_answer: OnAnswer | None = None, **options: Unpack[TaskOptions]
    ) -> list[Box]:
        """Where `what` is, in pixels of the given picture; empty when it is not found. Raises GarbageError.

        An answer that `max_tokens` cut raises GalagoWarning and gives the boxes before the cut.
        """
        _check_text("what to find", what)
        loaded = self.engine.model
        question = loaded.family.boxes.question.format(what=loaded.tokenizer.guard(what))
        request = make_request(
            _messages([image], question),
            options,
            allow_constraint=False,
            max_tokens=LONG,
            show_special=True,
            trusted=True,
        )
        answer = self._answer(request, on_answer)
        if answer.finish_reason == "length":
            warnings.warn("the list of boxes was cut at max_tokens", GalagoWarning, stacklevel=2)
        return list(answer.boxes)

    def read(
        self, image: Any, *, on_answer: OnAnswer | None = None, **options: Unpack[TaskOptions]
    ) -> Reading:
        """The text in the picture, from top to bottom. Raises GarbageError."""
        answer = self._task(image, prompts.READ, options, max_tokens=LONG, on_answer=on_answer)
        text = answer.text.strip()
        return Reading(text, tuple(line.strip() for line in text.splitlines() if line.strip()))

    def extract(
        self, image: Any, wanted: Any, *, on_answer: OnAnswer | None = None, **options: Unpack[TaskOptions]
    ) -> Any:
        """What a picture says, as a value that validates.

        `wanted` is a JSON Schema (the value is its JSON), a pydantic model (the value is an instance), or a
        list of field names (the value is an object of texts, null where the picture has none). Raises
        SchemaError for what cannot be wanted, GalagoError when `max_tokens` cut the answer, GarbageError.
        """
        parsed = parse_wanted(wanted)
        request = make_request(
            _messages(image, parsed.question),
            options,
            allow_constraint=False,
            max_tokens=LONG,
            constraint=parsed.constraint,
        )
        return value_of(self._answer(request, on_answer), parsed)

    def encode(
        self, image: Any, *, fps: float | None = None, **options: Unpack[PictureOptions]
    ) -> EncodedImage:
        """The picture's features: asking about them costs only the question's own tokens.

        A list of frames with `fps`, their rate in frames per second, is a video. Raises GarbageError.
        """
        is_list = isinstance(image, (list, tuple))
        if is_list != (fps is not None):
            raise UsageError(
                f"fps is {fps!r} for {'a list' if is_list else 'one picture'}",
                hint="a video is a list of frames with fps; encode several pictures one by one",
            )
        part = {"type": "video", "video": image, "fps": fps} if is_list else {"type": "image", "image": image}
        _, (look,) = split([{"role": "user", "content": [part]}])
        return self.engine.encode(look, picture_bounds(options))

    def logits(self, messages: Messages, **options: Unpack[PictureOptions]) -> NDArray[np.float32]:
        """The logits after every prompt token, [prompt tokens, vocabulary], for parity and evaluation."""
        return self.engine.logits(Request(messages, bounds=picture_bounds(options)))

    def info(self) -> dict[str, Any]:
        """What the model is: JSON types, sizes in bytes."""
        return self.engine.info()

    def close(self) -> None:
        """Free the caches. The model can still be used; its weights go when nobody holds it any more."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _request(self, messages: Messages, options: Mapping[str, Any]) -> Request:
        """A request that is drawn as the checkpoint says where the options do not."""
        return make_request(messages, options, checkpoint=self.engine.model.generation.sampling)

    def _task(
        self,
        image: Any,
        question: str,
        options: Mapping[str, Any],
        *,
        max_tokens: int | None = None,
        on_answer: OnAnswer | None,
    ) -> Answer:
        """The answer to a verb's question with the verb's own defaults."""
        request = make_request(
            _messages(image, question),
            options,
            allow_constraint=False,
            max_tokens=max_tokens,
        )
        return self._answer(request, on_answer)

    def _answer(self, request: Request, on_answer: OnAnswer | None) -> Answer:
        """The answer, which is told as it is; raises GarbageError when it is garbage."""
        answer = self.engine.answer([request])[0]
        if on_answer is not None:
            on_answer(answer)
        if answer.finish_reason == "garbage":
            raise GarbageError(f"{answer.model}: {answer.notes[-1]}", hint=GARBAGE_HINT)
        return answer


def _messages(image: Any, question: Any) -> list[dict[str, Any]]:
    """One user turn: the pictures, then the question."""
    _check_text("the question", question)
    images = image if isinstance(image, (list, tuple)) else [image]
    parts = [{"type": "image", "image": one} for one in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name} is {value!r}; a text is needed")


def _check_kind(name: str, value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise UsageError(f"{name} is {value!r}; {names} is needed")


def _checked_pairs(pairs: Any) -> list[tuple[Any, Any]]:
    found = list(pairs) if isinstance(pairs, Iterable) else [pairs]
    for pair in found:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise UsageError(
                f"a (picture, question) pair is needed, not {type(pair).__name__}",
                hint='ask_many([("a.png", "What is it?")])',
            )
    return found


def _cache_folder(cache: StrPath | bool | None) -> Path | None:  # noqa: FBT001 - False is a value of `cache`
    if cache is False:
        return None
    return cache_folder() / "features" if cache is None or isinstance(cache, bool) else Path(os.fspath(cache))
