"""How an answer is judged against the truth: shares from 0 to 1, and an error rate of characters.

A metric takes the given and the true answer and returns named values; a suite averages them over its cases.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

Metric: TypeAlias = Callable[[str, str], dict[str, float]]
Corners: TypeAlias = tuple[float, float, float, float]

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7}


def exact(given: str, true: str) -> dict[str, float]:
    """Whether the answer is the true one, letter by letter; white space around it does not count."""
    return {"exact": float(given.strip() == true.strip())}


def spelled(given: str, true: str) -> dict[str, float]:
    """Exactness, and the edits needed per character of the truth."""
    true = true.strip()
    return {**exact(given, true), "character_error": edits(given.strip(), true) / max(1, len(true))}


def edits(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The fewest insertions, deletions and replacements that turn one into the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def json_value(given: str, true: str) -> dict[str, float]:
    """Whether both are the same JSON value; what is no JSON is wrong."""
    try:
        return {"exact": float(json.loads(given) == json.loads(true))}
    except ValueError:
        return {"exact": 0.0}


def caption(given: str, true: str) -> dict[str, float]:
    """Whether all and only the true things are named, each as often; wording and order do not count."""
    return {"exact": float(named(given) == named(true))}


def named(text: str) -> Counter[str]:
    """The things a caption names: "Two red circles and a star." is red circle twice, star once."""
    things: Counter[str] = Counter()
    for part in re.split(r",| and ", text.strip().rstrip(".").lower()):
        words = part.split()
        if not words:
            continue
        often = _NUMBERS.get(words[0])
        name = " ".join(words if often is None else words[1:])
        if often is not None and often > 1:
            name = _singular(name)
        things[name] += often or 1
    return things


def _singular(name: str) -> str:
    if name.endswith("crosses"):
        return name.removesuffix("es")
    return name.removesuffix("s")


def boxes(given: str, true: str) -> dict[str, float]:
    """Boxes matched one to one within their label, best first.

    `found`: the share of boxes met with an overlap of at least half, of the larger of both numbers; `iou`:
    the mean overlap, 0 for a box without partner; `exact`: whether all are met and nothing else is named.
    """
    wanted, offered = read_boxes(true), read_boxes(given)
    if offered is None:
        return {"found": 0.0, "iou": 0.0, "exact": 0.0}
    assert wanted is not None, true
    overlaps = _match(offered, wanted)
    count = max(len(offered), len(wanted))
    if not count:
        return {"found": 1.0, "iou": 1.0, "exact": 1.0}
    met = sum(overlap >= 0.5 for overlap in overlaps)
    return {"found": met / count, "iou": sum(overlaps) / count, "exact": float(met == count)}


def read_boxes(text: str) -> list[tuple[str, Corners]] | None:
    """(label, corners) of a JSON list of boxes; None when it is not one."""
    try:
        return [(str(item["label"]), _corners(item["bbox_2d"])) for item in json.loads(text)]
    except (ValueError, TypeError, KeyError):
        return None


def _corners(values: Sequence[Any]) -> Corners:
    x0, y0, x1, y1 = (float(value) for value in values)
    return x0, y0, x1, y1


def overlap(one: Corners, other: Corners) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def _match(offered: list[tuple[str, Corners]], wanted: list[tuple[str, Corners]]) -> list[float]:
    pairs = sorted(
        (
            (overlap(theirs, ours), i, j)
            for i, (label, theirs) in enumerate(offered)
            for j, (name, ours) in enumerate(wanted)
            if label == name
        ),
        reverse=True,
    )
    used_offered: set[int] = set()
    used_wanted: set[int] = set()
    found = []
    for value, i, j in pairs:
        if value > 0 and i not in used_offered and j not in used_wanted:
            used_offered.add(i)
            used_wanted.add(j)
            found.append(value)
    return found


def near(tolerance: float) -> Metric:
    """A metric of readings: whether the first number given is at most `tolerance` off.

    An answer without a number, such as the name of a unit, must be exact.
    """

    def close(given: str, true: str) -> dict[str, float]:
        found, wanted = _NUMBER.search(given), _NUMBER.search(true)
        if not tolerance or found is None or wanted is None:
            return {"within": exact(given, true)["exact"]}
        # the grain of floats: 0.3 and 0.25 are 0.05 apart, but their difference is a little more
        return {"within": float(abs(float(found.group()) - float(wanted.group())) <= tolerance * (1 + 1e-9))}

    return close
