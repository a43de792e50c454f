"""OpenAI-style messages: checked, and split into what the chat template sees and the pictures it does not.

Everything that is not understood is refused by name; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from galago.engine.features import EncodedImage
from galago.errors import UsageError
from galago.frozen import frozen

DEFAULT_FPS = 2.0
"""Frames per second of a video whose message does not say, as the reference assumes."""


@frozen
class Look:
    """A picture, or the frames of a video, where a message refers to it."""

    sources: tuple[Any, ...]
    fps: float | None = None
    """Set for a video."""


def split(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Look]]:
    """Messages as the template takes them, and their pictures and videos in order.

    Raises UsageError naming the role, the part or the key that is not understood.
    """
    if not isinstance(messages, (list, tuple)) or not messages:
        raise UsageError(
            "messages are a non-empty list of objects with `role` and `content`",
            hint='[{"role": "user", "content": "..."}]',
        )
    looks: list[Look] = []
    return [_message(message, looks) for message in messages], looks


def _message(message: Mapping[str, Any], looks: list[Look]) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise UsageError(f"a message is an object with `role` and `content`, not {type(message).__name__}")
    _check_keys(message, "a message", ("role", "content"))
    role, content = message["role"], message["content"]
    if not isinstance(role, str) or not role:
        raise UsageError(f"the role of a message is {role!r}; it must be a text such as 'user'")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, (list, tuple)):
        raise UsageError(
            f"the content of a message is a text or a list of parts, not {type(content).__name__}"
        )
    return {"role": role, "content": [_part(part, looks) for part in content]}


def _part(part: Any, looks: list[Look]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping) or "type" not in part:
        raise UsageError(
            "a part of a message is an object with a `type`", hint='{"type": "text", "text": "..."}'
        )
    kind = part["type"]
    reader = _PARTS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise UsageError(f"a message has a part of type {kind!r}; {', '.join(_PARTS)} are understood")
    return reader(part, looks)


def _text(part: Mapping[str, Any], _looks: list[Look]) -> dict[str, Any]:
    _check_keys(part, "a text part", ("type", "text"))
    if not isinstance(part["text"], str):
        raise UsageError(f"the text of a part is {type(part['text']).__name__}, not a text")
    return {"type": "text", "text": part["text"]}


def _image(part: Mapping[str, Any], looks: list[Look]) -> dict[str, Any]:
    _check_keys(part, "an image part", ("type", "image"))
    looks.append(Look((part["image"],)))
    return {"type": "image"}


def _image_url(part: Mapping[str, Any], looks: list[Look]) -> dict[str, Any]:
    _check_keys(part, "an image_url part", ("type", "image_url"))
    url = part["image_url"]
    if isinstance(url, Mapping):
        _check_keys(url, "image_url", ("url",), ("detail",))
        if url.get("detail") not in (None, "auto"):
            raise UsageError(f"image_url.detail is {url['detail']!r}", hint="use max_pixels or image_tokens")
        url = url["url"]
    if not isinstance(url, str):
        raise UsageError(f"image_url is {type(url).__name__}, not a URL")
    looks.append(Look((url,)))
    return {"type": "image"}


def _video(part: Mapping[str, Any], looks: list[Look]) -> dict[str, Any]:
    _check_keys(part, "a video part", ("type", "video"), ("fps",))
    frames, fps = part["video"], part.get("fps", DEFAULT_FPS)
    if isinstance(frames, EncodedImage):
        frames = [frames]
    if not isinstance(frames, (list, tuple)) or not frames:
        raise UsageError(
            "a video is a non-empty list of frames", hint="sample the frames of a video file first"
        )
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e30:
        raise UsageError(f"fps is {fps!r}; a number of frames per second is needed")
    looks.append(Look(tuple(frames), float(fps)))
    return {"type": "video"}


_PARTS = {"text": _text, "image": _image, "image_url": _image_url, "video": _video}


def _check_keys(
    values: Mapping[str, Any], what: str, needed: Collection[str], optional: Collection[str] = ()
) -> None:
    missing = [key for key in needed if key not in values]
    if missing:
        raise UsageError(f"{what} lacks {missing[0]!r}")
    known = [*needed, *optional]
    for key in values:
        if key not in known:
            import difflib  # only a mistake needs it

            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else None
            raise UsageError(f"{what} has {key!r}, which is not understood", hint=hint)
