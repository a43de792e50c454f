"""`frozen`: a dataclass whose fields nobody assigns to, cheap to define.

`dataclass(frozen=True)` writes and compiles six methods for each class, half a millisecond of every start; an
answer needs sixty such classes. Here nothing is compiled: methods are made from the fields, and the type
checker refuses assignments, not the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
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
        dataclass(cls, init=False, eq=False, repr=False, match_args=False, kw_only=kw_only)
        _set_fields(cls)
        if "__repr__" not in cls.__dict__:
            cls.__repr__ = _repr  # type: ignore[assignment]
        if eq and "__eq__" not in cls.__dict__:
            _compare_by_value(cls)
        return cls

    return define if cls is None else define(cls)


class _Signature:
    """The signature of a class, put together when somebody asks for it."""

    def __get__(self, value: object, cls: type[Any]) -> Any:
        from inspect import Parameter, Signature  # which a run does not need

        parameters = []
        for one in fields(cls):
            default = one.default if one.default_factory is MISSING else one.default_factory
            parameters.append(
                Parameter(
                    one.name,
                    Parameter.KEYWORD_ONLY if one.kw_only else Parameter.POSITIONAL_OR_KEYWORD,
                    default=Parameter.empty if default is MISSING else default,
                    annotation=one.type,
                )
            )
        return Signature(sorted(parameters, key=lambda one: one.kind))


def _set_fields(cls: type[Any]) -> None:
    listed = {one.name: one for one in fields(cls)}
    places = [name for name, one in listed.items() if not one.kw_only]
    finish = getattr(cls, "__post_init__", None)

    def init(self: Any, *args: Any, **given: Any) -> None:
        own = self.__dict__
        own.update(zip(places, args, strict=False))
        if len(args) > len(places) or given.keys() - listed.keys() or own.keys() & given.keys():
            raise TypeError(f"{cls.__name__}{cls.__signature__} does not take {args} and {given}")
        own.update(given)
        for name, one in listed.items():
            if name not in own:
                own[name] = one.default if one.default_factory is MISSING else one.default_factory()
                if own[name] is MISSING:
                    raise TypeError(f"{cls.__name__}() misses the argument {name!r}")
        if finish is not None:
            finish(self)

    cls.__init__ = init
    cls.__signature__ = _Signature()


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
