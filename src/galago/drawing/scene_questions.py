"""What is asked about a scene of shapes, and the true answers. Nothing is asked that has two answers.

Counts are digits; yes/no; places are one of nine ("top left", "top", ..., "middle"); what is not there has
the colour, kind or place "none", is counted "0", and an empty side holds "nothing"; boxes are a JSON list in
pixels, by top edge, then left edge; a caption names every group of alike shapes, by colour, then by kind, in
the order these are listed: which of two shapes is higher may be hard to see. An edge is one number of a box,
and "group" asks what a caption names next: from these a model learns to tell whole boxes and captions.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from galago.drawing.phrasing import article, ask
from galago.drawing.sample import Question
from galago.drawing.shapes import COLOURS, KINDS, Shape, plural

TASKS = ("colour", "kind", "count", "absent", "place", "relation", "box", "caption", "edge", "group")

Chosen = TypeVar("Chosen")

_NUMBERS = ("no", "a", "two", "three", "four", "five", "six", "seven")
_SIZE_MARGIN = 1.3
"""The largest shape's radius over that of the next, for it to be called the largest."""
_THIRD_MARGIN = 0.04
"""A shape whose centre is this near to a border of the nine places (share of the side) has no sure place."""
_SIDE_MARGIN = 0.1
"""Two shapes are surely beside each other when their centres are this share of the side apart."""

_SIDES = ("left", "top", "right", "bottom")
"""What the four numbers of a box are."""
_EDGES = 4
"""Edges asked about in a scene."""
_GROUPS = 3
"""Groups asked about in a scene."""

_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_WHERE = {
    "top left": "in the top left",
    "top": "at the top",
    "top right": "in the top right",
    "left": "on the left",
    "middle": "in the middle",
    "right": "on the right",
    "bottom left": "in the bottom left",
    "bottom": "at the bottom",
    "bottom right": "in the bottom right",
}


def caption_order(shapes: Sequence[Shape]) -> list[str]:
    """The names of the groups of alike shapes as a caption has them."""
    places = {(tuple(COLOURS).index(s.colour), KINDS.index(s.kind)): s.name for s in shapes}
    return [places[place] for place in sorted(places)]


class _Scene:
    """The shapes of one picture with what the questions need to know about them."""

    def __init__(self, rng: np.random.Generator, shapes: Sequence[Shape], height: int, width: int) -> None:
        self.rng = rng
        self.shapes = sorted(shapes, key=lambda shape: (shape.box[1], shape.box[0]))
        self.height, self.width = height, width
        self.names = Counter(shape.name for shape in self.shapes)
        self.kinds = Counter(shape.kind for shape in self.shapes)
        self.colours = Counter(shape.colour for shape in self.shapes)
        self.single = [shape for shape in self.shapes if self.names[shape.name] == 1]

    def one_of(self, choices: Sequence[Chosen]) -> Chosen:
        return choices[int(self.rng.integers(len(choices)))]

    def called(self, shape: Shape) -> str:
        """A name that means this shape alone, the shape being the only one of its kind and colour."""
        short = self.kinds[shape.kind] == 1 and self.rng.random() < 0.4
        return shape.kind if short else shape.name

    def place(self, shape: Shape) -> str | None:
        """One of nine places, or None when it lies too near to a border between two."""
        down = _third(shape.y / self.height, ("top", "", "bottom"))
        across = _third(shape.x / self.width, ("left", "", "right"))
        if down is None or across is None:
            return None
        return f"{down} {across}".strip() or "middle"

    def placed_alone(self) -> list[tuple[Shape, str]]:
        """Shapes that are surely the only one in their place."""
        places = {id(shape): self.place(shape) for shape in self.shapes}
        if None in places.values():
            return []
        often = Counter(places.values())
        pairs = ((shape, places[id(shape)]) for shape in self.shapes)
        return [(shape, place) for shape, place in pairs if place is not None and often[place] == 1]

    def largest(self) -> tuple[Shape, str] | None:
        """The shape that is surely the largest or the smallest, and which of the two."""
        if len(self.shapes) < 2:
            return None
        order = sorted(self.shapes, key=lambda shape: shape.radius)
        ends = []
        if order[-1].radius >= _SIZE_MARGIN * order[-2].radius:
            ends.append((order[-1], self.one_of(("largest", "biggest"))))
        if order[1].radius >= _SIZE_MARGIN * order[0].radius:
            ends.append((order[0], "smallest"))
        return self.one_of(ends) if ends else None

    def relation(self, one: Shape, other: Shape, relation: str) -> bool | None:
        """Whether `one` is "left of" (...) `other`, or None when a person might hesitate."""
        across, down = (other.x - one.x) / self.width, (other.y - one.y) / self.height
        along, aside = (across, down) if relation in {"left of", "right of"} else (down, across)
        if abs(along) < _SIDE_MARGIN or abs(along) < 0.4 * abs(aside):
            return None
        return (along > 0) == (relation in {"left of", "above"})

    def groups(self) -> list[str]:
        """Alike shapes as a caption names them ("two red circles"), in its order."""
        named = [(name, self.names[name]) for name in caption_order(self.shapes)]
        return [article(name) if n == 1 else f"{_NUMBERS[n]} {plural(name)}" for name, n in named]

    def absent_name(self) -> str:
        """A coloured kind that is not there, most often one whose colour or kind is."""
        if self.rng.random() < 0.7:
            near = [f"{c} {k}" for c in self.colours for k in self.kinds if f"{c} {k}" not in self.names]
            near += [f"{c} {self.one_of(KINDS)}" for c in self.colours]
            near += [f"{self.one_of(tuple(COLOURS))} {k}" for k in self.kinds]
            near = [name for name in near if name not in self.names]
            if near:
                return self.one_of(near)
        names = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
        return self.one_of([name for name in names if name not in self.names])

    def absent_kind(self) -> str:  # there are fewer shapes than kinds and than colours
        return self.one_of([kind for kind in KINDS if kind not in self.kinds])

    def absent_colour(self) -> str:
        return self.one_of([colour for colour in COLOURS if colour not in self.colours])


def questions(
    rng: np.random.Generator, shapes: Sequence[Shape], height: int, width: int
) -> tuple[Question, ...]:
    """One to four questions of every task that has a sure answer here: edges last, the others shuffled."""
    scene = _Scene(rng, shapes, height, width)
    asked: list[Question] = []
    for maker, wished in _MAKERS:
        texts = {question.text for question in asked}
        for _ in range(wished):
            question = maker(scene)
            if question is not None and question.text not in texts:
                asked.append(question)
                texts.add(question.text)
    asked = [asked[i] for i in rng.permutation(len(asked))]
    # these came later: the other questions of a seed stay as they were
    return (*asked, *edges(scene), *next_groups(scene))


def colour(scene: _Scene) -> Question | None:
    """The colour of a kind, of the shape in a place, or of the largest or smallest."""
    ways: list[tuple[str, dict[str, str], str]] = []
    for kind, often in scene.kinds.items():
        colours = {shape.colour for shape in scene.shapes if shape.kind == kind}
        if often == 1:
            ways += [("colour", {"what": kind}, colours.pop())] * 2
        elif len(colours) == 1:
            ways.append(("colour.several", {"whats": plural(kind)}, colours.pop()))
    ways += [("colour.place", {"place": _WHERE[p]}, shape.colour) for shape, p in scene.placed_alone()]
    end = scene.largest()
    if end:
        ways += [("colour.size", {"size": end[1]}, end[0].colour)]
    if len(scene.shapes) == 1:
        ways.append(("colour", {"what": scene.one_of(("shape", "object"))}, scene.shapes[0].colour))
    return _one_way(scene, ways, "colour")


def kind(scene: _Scene) -> Question | None:
    """The kind of what has a colour, lies in a place, or is the largest or smallest."""
    ways: list[tuple[str, dict[str, str], str]] = []
    for colour_name, often in scene.colours.items():
        kinds = {shape.kind for shape in scene.shapes if shape.colour == colour_name}
        if often == 1:
            ways += [("kind", {"colour": colour_name}, kinds.pop())] * 2
        elif len(kinds) == 1:
            ways.append(("kind.several", {"colour": colour_name}, kinds.pop()))
    ways += [("kind.place", {"place": _WHERE[p]}, shape.kind) for shape, p in scene.placed_alone()]
    end = scene.largest()
    if end:
        ways += [("kind.size", {"size": end[1]}, end[0].kind)]
    return _one_way(scene, ways, "kind")


def count(scene: _Scene) -> Question:
    """How many of all, a kind, a colour or a coloured kind: each number that can be, as often."""
    total = len(scene.shapes)
    groups = [(scene.one_of(("shapes", "objects")), total)]
    groups += [(plural(name), often) for name, often in scene.kinds.items()]
    groups += [
        (f"{name} {scene.one_of(('shapes', 'objects'))}", often) for name, often in scene.colours.items()
    ]
    groups += [(plural(name), often) for name, often in scene.names.items()]
    groups.append((plural(scene.absent_kind()), 0))
    numbers = sorted({often for _, often in groups})
    number = numbers[int(scene.rng.integers(len(numbers)))]
    whats, often = scene.one_of([group for group in groups if group[1] == number])
    return Question(ask(scene.rng, "count", whats=whats), str(often), "count")


def absent(scene: _Scene) -> Question:
    """About something that is not there: no, 0, none, nothing, no text."""
    rng = scene.rng
    name, lone_kind = scene.absent_name(), scene.absent_kind()
    what = scene.one_of((name, name, lone_kind))
    names = {"what": what, "whats": plural(what), "one": article(what), "colour": scene.absent_colour()}
    ways = (
        ("exists", names, "no"),
        ("count", names, "0"),
        ("colour", {"what": lone_kind}, "none"),
        ("place", names, "none"),
        ("kind", names, "none"),
        ("text", names, "no text"),
        ("any_text", names, "no"),
    )
    key, filling, answer = ways[int(rng.choice(len(ways), p=(0.34, 0.22, 0.14, 0.1, 0.1, 0.05, 0.05)))]
    return Question(ask(rng, key, **filling), answer, "absent")


def present(scene: _Scene) -> Question | None:
    """The balancing yes, about something that is there; as often as `absent` says no."""
    if scene.rng.random() < 0.58:
        return None
    shape = scene.one_of(scene.shapes)
    what = scene.one_of((shape.name, shape.name, shape.kind, f"{shape.colour} shape"))
    return Question(ask(scene.rng, "exists", one=article(what), whats=plural(what)), "yes", "absent")


def place(scene: _Scene) -> Question | None:
    """Where a shape is, or what is in a place."""
    ways: list[tuple[str, dict[str, str], str]] = []
    for shape in scene.single:
        where = scene.place(shape)
        if where is not None:
            ways.append(("place", {"what": scene.called(shape)}, where))
    ways += [("place.what", {"place": _WHERE[p]}, shape.name) for shape, p in scene.placed_alone()]
    return _one_way(scene, ways, "place")


def relation(scene: _Scene) -> Question | None:
    """Whether one shape is left of (...) another, or which one is."""
    rng = scene.rng
    if len(scene.single) < 2:
        return None
    one, other = (scene.single[i] for i in rng.permutation(len(scene.single))[:2])
    word = scene.one_of(tuple(_OPPOSITE))
    if rng.random() < 0.6:
        if scene.relation(one, other, word) is None:
            word = "above" if word in {"left of", "right of"} else "left of"
        true = scene.relation(one, other, word)
        if true is None:
            return None
        if true == (rng.random() < 0.5):
            word, true = _OPPOSITE[word], not true
        text = ask(rng, "relation", what=scene.called(one), relation=word, other=scene.called(other))
        return Question(text, "yes" if true else "no", "relation")
    others = [shape for shape in scene.shapes if shape is not one]
    sure = [scene.relation(shape, one, word) for shape in others]
    if None in sure or sum(map(bool, sure)) > 1:
        return None
    answer = next((shape.name for shape, true in zip(others, sure, strict=True) if true), "nothing")
    return Question(ask(rng, "relation.what", relation=word, what=scene.called(one)), answer, "relation")


def box(scene: _Scene) -> Question:
    """The boxes of a coloured kind, of a kind, of a colour or of all; an empty list for what is not there."""
    rng = scene.rng
    way = float(rng.random())
    shape = scene.one_of(scene.shapes)
    if way < 0.1:
        name = scene.absent_name()
        return Question(_box_text(scene, name, 0), "[]", "box")
    if way < 0.15:
        return Question(_box_text(scene, scene.one_of(("shape", "object")), 2), boxes(scene.shapes), "box")
    what = shape.name if way < 0.7 else shape.kind if way < 0.88 else f"{shape.colour} shape"
    found = [s for s in scene.shapes if what in {s.name, s.kind, f"{s.colour} shape"}]
    return Question(_box_text(scene, what, len(found)), boxes(found), "box")


def boxes(shapes: Sequence[Shape]) -> str:
    """The text form of the boxes, in the order given."""
    return json.dumps([{"bbox_2d": list(shape.box), "label": shape.name} for shape in shapes])


def edges(scene: _Scene) -> list[Question]:
    """Single edges of shapes that are the only ones of their kind and colour, in pixels."""
    asked: dict[str, Question] = {}
    for _ in range(_EDGES if scene.single else 0):
        shape, side = scene.one_of(scene.single), scene.one_of((0, 1, 2, 3))
        text = ask(scene.rng, "edge", side=_SIDES[side], what=scene.called(shape))
        asked[text] = Question(text, str(shape.box[side]), "edge")
    return list(asked.values())


def caption(scene: _Scene) -> Question:
    """All there is, in one sentence."""
    parts = scene.groups()
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return Question(ask(scene.rng, "caption"), f"{text[0].upper()}{text[1:]}.", "caption")


def next_groups(scene: _Scene) -> list[Question]:
    """What a caption names after one of its groups; after the last "nothing"."""
    groups = scene.groups()
    after = [*groups[1:], "nothing"]
    chosen = scene.rng.permutation(len(groups))[:_GROUPS]
    return [Question(ask(scene.rng, "group", group=groups[i]), after[i], "group") for i in chosen]


def _box_text(scene: _Scene, what: str, often: int) -> str:
    one = scene.rng.random() < (0.5, 0.7, 0)[min(often, 2)]
    return ask(scene.rng, "box.one" if one else "box", what=what, whats=plural(what))


def _one_way(scene: _Scene, ways: list[tuple[str, dict[str, str], str]], task: str) -> Question | None:
    if not ways:
        return None
    key, names, answer = scene.one_of(ways)
    return Question(ask(scene.rng, key, **names), answer, task)


def _third(share: float, names: tuple[str, str, str]) -> str | None:
    if min(abs(share - 1 / 3), abs(share - 2 / 3)) < _THIRD_MARGIN:
        return None
    return names[min(2, int(share * 3))]


_MAKERS: tuple[tuple[Callable[[_Scene], Question | None], int], ...] = (
    (colour, 1),
    (kind, 1),
    (count, 2),
    (absent, 1),
    (present, 1),
    (place, 2),
    (relation, 3),
    (box, 2),
    (caption, 1),
)
