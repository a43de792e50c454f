"""What to extract, and the value that comes back: a JSON Schema, a pydantic model, or names of fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from galago.engine.grammar import ConstraintSpec
from galago.errors import GalagoError, SchemaError
from galago.frozen import frozen
from galago.tasks import prompts
from galago.types import Answer


@frozen
class Wanted:
    """How to ask, what constrains the answer, and how its text becomes the value."""

    question: str
    constraint: ConstraintSpec
    parse: Callable[[str], Any]


def parse_wanted(wanted: Any) -> Wanted:
    """A JSON Schema (a mapping), a pydantic model (its class), or a list of field names.

    Fields by name are texts as they are printed, or null where the picture has none. Raises SchemaError for
    anything else.
    """
    if isinstance(wanted, Mapping):
        return _wanted(prompts.schema(wanted), wanted, json.loads)
    if hasattr(wanted, "model_json_schema") and hasattr(wanted, "model_validate_json"):
        schema = wanted.model_json_schema()
        return _wanted(prompts.schema(schema), schema, lambda text: _validated(wanted, text))
    if isinstance(wanted, Sequence) and not isinstance(wanted, (str, bytes)):
        names = list(wanted)
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise SchemaError(
                f"the fields are {wanted!r}; a list of names is needed", hint='["total", "date"]'
            )
        if len(set(names)) < len(names):
            raise SchemaError(f"the fields {names!r} name one twice")
        schema = {
            "type": "object",
            "properties": {name: {"type": ["string", "null"]} for name in names},
            "required": names,
            "additionalProperties": False,
        }
        return _wanted(prompts.fields(names), schema, json.loads)
    raise SchemaError(
        f"{type(wanted).__name__} says not what to extract",
        hint="give a JSON Schema, a pydantic model, or a list of field names",
    )


def value_of(answer: Answer, wanted: Wanted) -> Any:
    """The value in a finished answer; raises GalagoError when it was cut before the JSON was complete."""
    if answer.finish_reason != "stop":
        raise GalagoError(
            f"the answer was cut after {answer.usage.completion_tokens} tokens, before its JSON was complete:"
            f" {answer.text[-40:]!r}",
            hint="raise max_tokens (--max-tokens), or bound the lengths of texts and lists in the schema",
        )
    return wanted.parse(answer.text)


def _wanted(question: str, schema: Mapping[str, Any], parse: Callable[[str], Any]) -> Wanted:
    constraint = ConstraintSpec.of(schema=schema)
    assert constraint is not None
    return Wanted(question, constraint, parse)


def _validated(model: Any, text: str) -> Any:
    try:
        return model.model_validate_json(text)
    except ValueError as error:  # a validator of the user's that the schema does not tell
        first = str(error).splitlines()
        raise GalagoError(f"the answer {text} does not validate: {' '.join(first[:3])}") from error
