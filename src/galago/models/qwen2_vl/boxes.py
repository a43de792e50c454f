"""Boxes as Qwen2-VL writes them: tags around integers in thousandths of the picture's width and height."""

from __future__ import annotations

import math
import re

from galago.types import Box

_TAGGED = re.compile(
    r"(?:<\|object_ref_start\|>(?P<label>.*?)<\|object_ref_end\|>)?\s*"
    r"<\|box_start\|>\s*\((?P<x0>\d+),\s*(?P<y0>\d+)\),\s*\((?P<x1>\d+),\s*(?P<y1>\d+)\)",
    re.DOTALL,
)


class TaggedBoxes:
    """`<|object_ref_start|>name<|object_ref_end|><|box_start|>(x0,y0),(x1,y1)<|box_end|>`, 0 to 1000."""

    question: str = "Output the bounding box of <|object_ref_start|>{what}<|object_ref_end|>."

    def parse(self, text: str, resized: tuple[int, int], original: tuple[int, int]) -> list[Box]:
        """Boxes in pixels of the original (height, width); a repeated box group keeps its label.

        A box whose numbers are beyond a float's is left out.
        """
        del resized  # thousandths of the picture: independent of the resize
        height, width = original
        boxes, label = [], ""
        for match in _TAGGED.finditer(text):
            label = (match["label"] or label).strip()
            x0, y0, x1, y1 = corners = [float(match[name]) for name in ("x0", "y0", "x1", "y1")]
            if all(map(math.isfinite, corners)):
                boxes.append(
                    Box(x0 * width / 1000, y0 * height / 1000, x1 * width / 1000, y1 * height / 1000, label)
                )
        return boxes
