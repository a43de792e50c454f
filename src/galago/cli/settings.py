"""From a settings dataclass to a command: its fields give the flags, variables, help and reference page.

A command is a module with a `frozen` class `Settings` and a function `run(settings)`. A field is made by
`argument`, `option` or `flag`; its annotation says what it holds. Does not run anything by itself.
"""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Callable
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from galago.frozen import frozen


@frozen
class _Spec:
    """How a field is given on the command line."""

    help: str
    positional: bool = False
    metavar: str | None = None
    short: str | None = None
    environment: bool = False
    required: bool = False


def argument(metavar: str, help: str, *, default: Any = dataclasses.MISSING) -> Any:  # noqa: A002 - as click names it
    """A positional argument; required unless it has a default. A tuple field takes what is left."""
    spec = _Spec(help, positional=True, metavar=metavar, required=default is dataclasses.MISSING)
    return dataclasses.field(default=default, metadata={"spec": spec})


def option(
    help: str,  # noqa: A002 - as click names it
    *,
    default: Any = None,
    metavar: str | None = None,
    short: str | None = None,
    environment: bool = False,
    required: bool = False,
) -> Any:
    """`--field-name VALUE`, of a tuple field several times; `environment` adds GALAGO_FIELD_NAME."""
    spec = _Spec(help, metavar=metavar, short=short, environment=environment, required=required)
    return dataclasses.field(default=default, metadata={"spec": spec})


def flag(help: str) -> Any:  # noqa: A002 - as click names it
    """`--field-name`, off unless given."""
    return dataclasses.field(default=False, metadata={"spec": _Spec(help)})


def command(name: str, module: ModuleType) -> click.Command:
    """The command of a module: parameters from the fields of `Settings`, help from its docstring."""
    settings: type[Any] = module.Settings
    run: Callable[[Any], int | None] = module.run
    hints = get_type_hints(settings)

    def call(**values: Any) -> int:
        return run(settings(**values)) or 0

    parameters = [_parameter(field, hints[field.name]) for field in _in_order(settings)]
    return click.Command(name, callback=call, params=parameters, help=settings.__doc__)


def command_line(name: str, settings: Any) -> str:
    """The words that give these settings, without what is at its default."""
    words = ["galago", name]
    for field in _in_order(type(settings)):
        spec, value = field.metadata["spec"], getattr(settings, field.name)
        if value == field.default:
            continue
        spelling = [] if spec.positional else ["--" + field.name.replace("_", "-")]
        for one in value if isinstance(value, tuple) else (value,):
            words += spelling if one is True else [*spelling, str(one)]
    return shlex.join(words)


def _in_order(settings: type[Any]) -> list[dataclasses.Field[Any]]:
    """Arguments first, then the command's own options, then those it shares."""
    owners = [inspect.get_annotations(owner) for owner in settings.__mro__]

    def rank(field: dataclasses.Field[Any]) -> tuple[bool, int]:
        owner = next(place for place, names in enumerate(owners) if field.name in names)
        return not field.metadata["spec"].positional, owner

    return sorted(dataclasses.fields(settings), key=rank)


def _parameter(field: dataclasses.Field[Any], hint: Any) -> click.Parameter:
    spec: _Spec = field.metadata["spec"]
    kind, many = _kind(hint)
    shared: dict[str, Any] = {
        "type": kind,
        "required": spec.required,
        "metavar": spec.metavar,
        "help": spec.help,
    }
    if not spec.required:
        shared["default"] = field.default
    if spec.positional:
        return click.Argument([field.name], nargs=-1 if many else 1, **shared)
    spelling = "--" + field.name.replace("_", "-")
    if kind is bool:
        return click.Option([spelling], is_flag=True, default=False, help=spec.help)
    return click.Option(
        [field.name, spelling, *([spec.short] if spec.short else [])],
        multiple=many,
        show_default=field.default not in (None, ()),
        envvar=f"GALAGO_{field.name.upper()}" if spec.environment else None,
        show_envvar=spec.environment,
        **shared,
    )


def _kind(hint: Any) -> tuple[Any, bool]:
    """An annotation -> (what click converts to, whether there are many): `int | None`, `tuple[str, ...]`."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint)), many
    return hint, many
