"""What `frozen` promises: as a frozen dataclass, but for assignments, which the type checker refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from inspect import signature

import pytest

from galago.frozen import frozen


@frozen
class Point:
    x: int
    y: float = 1.5
    note: str = field(default="", compare=False)
    secret: str = field(default="s", repr=False)


@dataclass(frozen=True)
class Reference:
    x: int
    y: float = 1.5
    note: str = field(default="", compare=False)
    secret: str = field(default="s", repr=False)


def test_it_is_a_dataclass_with_the_representation_of_one():
    assert repr(Point(1)) == repr(Reference(1)).replace("Reference", "Point")
    assert asdict(Point(1)) == asdict(Reference(1))
    assert [one.name for one in fields(Point)] == ["x", "y", "note", "secret"]
    assert replace(Point(1), y=2.0) == Point(1, 2.0)


@pytest.mark.parametrize("kind", [Point, Reference])
@pytest.mark.parametrize(
    ("args", "given"), [((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})]
)
def test_arguments_that_are_missing_too_many_twice_or_unknown_are_refused(kind, args, given):
    with pytest.raises(TypeError, match=kind.__name__):
        kind(*args, **given)


def test_fields_are_made_in_the_order_of_a_dataclass():
    @frozen(kw_only=True)
    class Base:
        first: list[int] = field(default_factory=list)

        def __post_init__(self):
            self.first.append(len(self.first))

    @frozen
    class Derived(Base):
        second: int
        third: int = 3

    one, other = Derived(2), Derived(2, first=[5])
    assert (one.first, one.second, one.third) == ([0], 2, 3)
    assert other.first == [5, 1]
    assert vars(replace(one, third=4)) == {"first": [0, 1], "second": 2, "third": 4}
    assert (
        str(signature(Derived)) == "(second: 'int', third: 'int' = 3, *, first: 'list[int]' = <class 'list'>)"
    )


@pytest.mark.parametrize("kind", [Point, Reference])
def test_equal_fields_make_equal_values_that_hash_alike(kind):
    assert kind(1) == kind(1)
    assert hash(kind(1)) == hash(kind(1))
    assert kind(1) == kind(1, note="not compared")
    assert hash(kind(1)) == hash(kind(1, note="not compared"))
    assert kind(1) != kind(2)
    assert len({kind(1), kind(1), kind(2)}) == 2


def test_values_of_other_classes_are_never_equal():
    @frozen
    class Same(Point):
        pass

    @frozen
    class Empty:
        pass

    assert Point(1) != Same(1)
    assert Point(1) != 1
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


@pytest.mark.parametrize("decorator", [frozen, dataclass(frozen=True)])
def test_a_single_field_is_compared_as_several_are(decorator):
    @decorator
    class Lone:
        x: object

    nan = float("nan")
    assert Lone((1, 2)) == Lone((1, 2))
    assert Lone((1, 2)) != Lone((1, 3))
    assert hash(Lone((1, 2))) == hash(Lone((1, 2)))
    assert Lone(nan) == Lone(nan)


def test_identity_is_all_that_counts_without_eq():
    @frozen(eq=False)
    class Weight:
        data: list[int]

    one = Weight([1])
    assert one == one  # noqa: PLR0124
    assert one != Weight([1])
    assert {one: 1}[one] == 1


def test_methods_that_a_class_writes_itself_stay():
    @frozen(kw_only=True)
    class Loose:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "loose"

        __hash__ = None

    assert repr(Loose(x=1)) == "loose"
    assert Loose(x=1) == Loose(x=2)
    with pytest.raises(TypeError):
        Loose(1)
    with pytest.raises(TypeError):
        hash(Loose(x=1))


def test_the_type_checker_refuses_assignments(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from galago.types import Box\nbox = Box(1, 2, 3, 4)\nbox.x0 = 2\nBox('a', 2, 3, 4)\nBox(1, 2, 3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "program.py:3: error" in done.stdout, done.stdout + done.stderr
    assert "read-only" in done.stdout
    assert "program.py:4: error" in done.stdout
    assert "program.py:5: error" in done.stdout
