"""`frozen`: a dataclass whose fields nobody assigns to, cheap to define.

`dataclass(frozen=True)` writes and compiles six methods for each class, half a millisecond of every start; an
answer needs sixty such classes. Here one method is compiled and the others are shared, and the type checker
refuses assignments, not the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        """Nothing, but for a type checker."""
        return lambda decorator: decorator


Class = TypeVar("Class", bound=type)


@overload
def frozen(cls: Class, /) -> Class: ...


@overload
def frozen(*, eq: bool = True, kw_only: bool = False) -> Callable[[Class], Class]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, eq: bool = True, kw_only: bool = False) -> Any:
    """A dataclass of values: fields are set once; those of equal fields are equal and hash alike if `eq`."""

    def define(cls: type) -> type:
        dataclass(cls, eq=False, repr=False, kw_only=kw_only)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = _repr  # type: ignore[assignment]
        if eq and "__eq__" not in cls.__dict__:
            _compare_by_value(cls)
        return cls

    return define if cls is None else define(cls)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _compare_by_value(cls: type[Any]) -> None:
    names = [each.name for each in fields(cls) if each.compare]

    def values(self: Any) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in names)

    def equal(self: Any, other: Any) -> bool:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    cls.__eq__, cls.__hash__ = equal, hashed  # type: ignore[assignment]
