"""Boxes as Qwen2.5-VL writes them: a JSON list in absolute pixels of the picture the model saw."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from galago.types import Box

_OBJECT = re.compile(r"\{[^{}]*\}")


class JsonBoxes:
    """`[{"bbox_2d": [x0, y0, x1, y1], "label": "name"}, ...]`, with or without a code fence around it."""

    question: str = "Locate {what} and output the bounding boxes in JSON format."

    def parse(self, text: str, resized: tuple[int, int], original: tuple[int, int]) -> list[Box]:
        """Boxes in pixels of the original (height, width); entries cut short or senseless are left out."""
        across, down = original[1] / resized[1], original[0] / resized[0]
        boxes = []
        for found in _OBJECT.finditer(text):  # object by object: an answer may end in the middle of its list
            entry = _loads(found.group())
            corners = entry.get("bbox_2d") if isinstance(entry, dict) else None
            if isinstance(corners, list) and len(corners) == 4 and all(_is_number(c) for c in corners):
                x0, y0, x1, y1 = corners
                boxes.append(Box(x0 * across, y0 * down, x1 * across, y1 * down, str(entry.get("label", ""))))
        return boxes


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # cut short, or brackets without end
        return None


def _is_number(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    )
