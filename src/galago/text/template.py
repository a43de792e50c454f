"""Chat templates as Hugging Face folders have them, rendered with minijinja in place of Jinja2.

Settings and helpers are those of the reference: blocks trimmed, `tojson` without escapes, `raise_exception`,
`strftime_now`, and `generation` blocks, which mark text for training and are plain text here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from galago.errors import ConfigError, UsageError
from galago.files import StrPath, read_json_object, reason, shown

_NAME = "chat template"
_FUEL = 10_000_000  # instructions; a conversation of a thousand messages needs less than a tenth of it
_GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")
_TOKEN_KEYS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """A conversation as one prompt text. May be shared by threads."""

    def __init__(self, source: str, *, variables: Mapping[str, Any] | None = None) -> None:
        """`variables` are what the template may name besides the messages: `bos_token` and the like.

        Raises ConfigError when the template's syntax is wrong.
        """
        import minijinja

        self._variables = dict(variables or {})
        source = _GENERATION.sub(_plain_block, source)
        self._environment = minijinja.Environment(
            filters={"tojson": _to_json},
            globals={"raise_exception": _refuse, "strftime_now": _strftime_now},
            fuel=_FUEL,
            debug=False,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_escape_callback=lambda _name: False,
        )
        try:
            self._environment.add_template(_NAME, source)
        except minijinja.TemplateError as error:
            raise _broken(error) from None

    @classmethod
    def from_folder(cls, folder: StrPath) -> ChatTemplate:
        """The template of a model folder.

        Looked for in chat_template.jinja, chat_template.json and tokenizer_config.json, in this order.
        Raises ConfigError when none has one.
        """
        folder = Path(folder)
        settings = _json_if_there(folder / "tokenizer_config.json")
        tokens = {key: _spelling(settings[key]) for key in _TOKEN_KEYS if settings.get(key)}
        file = folder / "chat_template.jinja"
        if file.exists():
            try:
                source: Any = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                what = reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
                raise ConfigError(f"{file} cannot be read: {what}", hint="download the file again") from None
        else:
            file = folder / "chat_template.json"
            source = _json_if_there(file).get("chat_template")
            if not source:
                file, source = folder / "tokenizer_config.json", settings.get("chat_template")
        said = source
        if isinstance(source, list):  # several templates, each with its name
            named = [one for one in source if isinstance(one, dict) and one.get("name") == "default"]
            source = named[0].get("template") if named else None
        if not isinstance(source, str):
            raise ConfigError(
                f"{folder} has no chat template: in {file.name}, chat_template is {shown(said)}",
                hint="use the instruct version of the model, or put its chat_template.jinja into the folder",
            )
        return cls(source, variables=tokens)

    def render(
        self,
        messages: Iterable[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt for `messages` (`role`, and `content`: a text or a list of typed parts).

        Texts and roles are taken as they are: guard what users wrote first (`guard_messages`).
        What is no text, number, list or mapping (a picture) the template sees as its type's name.
        `variables` go to the template: `add_vision_id=True`, `tools=[...]`. Raises UsageError when the
        template refuses the conversation, ConfigError when the template fails.
        """
        import minijinja

        known = {
            "tools": None, "documents": None, **self._variables, **variables,
            "messages": _plain(list(messages)), "add_generation_prompt": add_generation_prompt,
        }  # fmt: skip
        try:
            return str(self._environment.render_template(_NAME, **known))
        except minijinja.TemplateError as error:
            raise _broken(error) from None


def _plain_block(match: re.Match[str]) -> str:
    left, end, right = match.groups()
    return f"{{%{left} {'endif' if end else 'if true'} {right}%}}"


def _plain(value: Any) -> Any:
    """A copy made of JSON types alone: a template is a stranger's program, and objects have methods."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - the filter's arguments in templates
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(message: Any) -> None:
    raise UsageError(
        f"the model's chat template refuses this conversation: {message}",
        hint="check the order and the roles of the messages",
    )


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


def _broken(error: Exception) -> ConfigError:
    what = str(error).split("\n", 1)[0]
    return ConfigError(f"the chat template fails: {what}", hint="check the template in the model folder")


def _json_if_there(file: Path) -> dict[str, Any]:
    return read_json_object(file) if file.exists() else {}


def _spelling(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token
