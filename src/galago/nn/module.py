"""Parameters and the walk over them: how a tree of layers is filled, listed and initialised.

A layer declares its arrays as `Parameter` placeholders; `assign` replaces each by an array of any kind.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.frozen import frozen

Array: TypeAlias = Any
"""A numpy array, a packed weight or a torch tensor: `galago.kernels` dispatches on the kind."""


@frozen
class Parameter:
    """The place of an array in a layer: its shape, and how training from nothing starts it.

    `start` is "normal" (standard deviation `std`, or 1/sqrt(columns) when that is None), "zeros" or "ones".
    """

    shape: tuple[int, ...]
    start: str = "normal"
    std: float | None = None


class Module:
    """Something that holds parameters or other modules in its attributes; lists of modules count."""

    declared: dict[str, Parameter]
    changes: ClassVar[int] = 0
    """Rises with every attribute that is set in any module: who keeps something made of them looks."""

    def __setattr__(self, name: str, value: object) -> None:
        """Remember what was declared as a parameter; an array may replace the placeholder later."""
        if isinstance(value, Parameter):
            self.__dict__.setdefault("declared", {})[name] = value
        super().__setattr__(name, value)
        Module.changes += 1


class Layer(Module):
    """A module that maps rows to rows."""

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """x [T, columns] -> [T, rows]."""


def parameters(module: Module, prefix: str = "") -> Iterator[tuple[str, Module, str, Array]]:
    """Every parameter as (dotted name, owner, attribute, value), in the order of declaration.

    The value is the `Parameter` placeholder until `assign` has put an array there.
    """
    declared = module.__dict__.get("declared", {})
    for attribute, value in vars(module).items():
        name = prefix + attribute
        if isinstance(value, Module):
            yield from parameters(value, name + ".")
        elif isinstance(value, list) and value and isinstance(value[0], Module):
            for index, child in enumerate(value):
                yield from parameters(child, f"{name}.{index}.")
        elif attribute in declared:
            yield name, module, attribute, value


def assign(module: Module, get: Callable[[str, Parameter], Array]) -> None:
    """Put `get(name, placeholder)` in the place of every parameter, or again where arrays already are.

    Modifies `module`. An array's shape is the caller's promise: it is checked where a file meets a model.
    """
    for name, owner, attribute, _value in list(parameters(module)):
        setattr(owner, attribute, get(name, owner.declared[attribute]))


def initialise(seed: int) -> Callable[[str, Parameter], NDArray[np.float32]]:
    """A `get` for `assign` that starts a model from nothing; the same seed gives the same arrays."""
    rng = np.random.default_rng(seed)

    def get(_name: str, parameter: Parameter) -> NDArray[np.float32]:
        if parameter.start == "ones":
            return np.ones(parameter.shape, np.float32)
        if parameter.start == "zeros":
            return np.zeros(parameter.shape, np.float32)
        std = parameter.std if parameter.std is not None else 1 / math.sqrt(parameter.shape[-1])
        return (rng.standard_normal(parameter.shape, np.float32) * std).astype(np.float32)

    return get
