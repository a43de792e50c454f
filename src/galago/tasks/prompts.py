"""The wordings of the tasks. How boxes are asked for is the family's matter (`models.Boxes.question`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

READ = "Read the text."
CAPTION = "Describe the picture."


def fields(names: Sequence[str]) -> str:
    """Asks for texts by their names."""
    return f"Give the fields {', '.join(names)} as JSON."


def schema(wanted: Mapping[str, Any]) -> str:
    """Asks for what a JSON Schema describes: by its fields where it is a flat object, else with all of it."""
    properties = wanted.get("properties")
    if isinstance(properties, Mapping) and properties and all(map(_is_plain, properties.values())):
        return fields(list(properties))
    return f"Give what this JSON Schema describes, as JSON: {json.dumps(wanted, ensure_ascii=False)}"


def _is_plain(value: Any) -> bool:
    """Whether a property's own schema says no more than its type."""
    return isinstance(value, Mapping) and not value.keys() - {"type", "title", "default"}
