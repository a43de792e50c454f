"""Where a model computes: on the host, or on a device that a back end of its own drives.

A device holds weights, makes arrays of its own kind and runs steps of fixed shapes. Opening one is the only
place where torch may be missing, or a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from galago.errors import MissingDependencyError, UsageError
from galago.frozen import frozen
from galago.packing import Weight

DEVICES: Final = {
    "cpu": "the compiled kernels, on this machine's processors",
    "cuda": "an NVIDIA GPU, through torch; the second one is cuda:1",
    "torch-cpu": "what cuda runs, on torch tensors of the processor: for tests",
}
"""The names that `device` takes, for people."""

Array = Any
Step = Callable[..., Any]


class Recorder(Protocol):
    """Runs steps whose shapes never change, from buffers that stay in place."""

    def run(self, key: Hashable, step: Step, inputs: Sequence[NDArray[Any]]) -> Array:
        """`step` of the inputs, put on the device: floats as activations, the rest as int64.

        Inputs of one key always have the same shapes, and the step the same arrays around it. It may be
        called several times for one result, so running it twice must do what running it once does. The result
        is overwritten by the next call.
        """
        ...

    def clear(self) -> None:
        """Forget every recording: arrays around the steps have moved."""
        ...


class Device(Protocol):
    """Weights in, arrays of the device's kind out."""

    name: str
    is_host: bool
    trouble: str | None
    """What does not work as it should and is said with every answer."""

    def precision(self, weights: str) -> str:
        """What tells results of these weights apart from those of other arithmetic."""
        ...

    def hold(self, weight: Weight) -> Array:
        """A weight as this device multiplies with it; `nbytes` of it are taken."""
        ...

    def array(self, host: NDArray[Any]) -> Array:
        """Host floats as activations."""
        ...

    def index(self, host: NDArray[np.int64]) -> Array:
        """Host integers as an index of rows."""
        ...

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Activations of this shape, all 0."""
        ...

    def recorder(self) -> Recorder:
        """A recorder of its own for each user of it."""
        ...

    def computing(self, hint: Callable[[], str]) -> AbstractContextManager[None]:
        """Every computation stands in one of these, and other threads wait, where the device needs that.

        Raises OutOfMemoryError with the hint when memory is full.
        """
        ...

    def synchronise(self) -> None:
        """Wait until all that was asked for is done."""
        ...

    def free_bytes(self) -> int | None:
        """Bytes that this device still has for us; None for the host, which has its own budget."""
        ...

    def peak_bytes(self) -> int | None:
        """The most bytes of the device that this process's arrays took together; None for the host."""
        ...


class Host:
    """The processor: numpy arrays and packed weights as they are, computed by `kernels.using`'s back end."""

    name = "cpu"
    is_host = True
    trouble: str | None = None

    def precision(self, weights: str) -> str:
        """The weights say it all."""
        return weights

    def hold(self, weight: Weight) -> Array:
        """The weight itself."""
        return weight

    def array(self, host: NDArray[Any]) -> Array:
        """The array itself."""
        return host

    def index(self, host: NDArray[np.int64]) -> Array:
        """The array itself."""
        return host

    def zeros(self, shape: tuple[int, ...]) -> Array:
        """Float32 zeros."""
        return np.zeros(shape, np.float32)

    def recorder(self) -> Recorder:
        """One that just calls."""
        return _Caller()

    def computing(self, hint: Callable[[], str]) -> AbstractContextManager[None]:  # noqa: ARG002 - the contract
        """Nothing to prepare."""
        return nullcontext()

    def synchronise(self) -> None:
        """Nothing runs behind our back."""

    def free_bytes(self) -> int | None:
        """None."""
        return None

    def peak_bytes(self) -> int | None:
        """None."""
        return None


class _Caller:
    def run(self, key: Hashable, step: Step, inputs: Sequence[NDArray[Any]]) -> Array:  # noqa: ARG002 - the contract
        return step(*inputs)

    def clear(self) -> None:
        pass


@frozen
class Gpu:
    """A GPU that torch can compute on."""

    name: str
    total_bytes: int
    capability: str


def check_device(name: str) -> None:
    """Raise UsageError, naming the valid ones, for what is no device."""
    kind, colon, number = str(name).partition(":")
    if kind not in DEVICES or (colon and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"device is {name!r}; one of {', '.join(DEVICES)} is needed")


def open_device(name: str, *, exact: bool = False) -> Device:
    """The device of this name; `exact` computes in float32 where it would take bf16.

    Raises UsageError for a name that is none, MissingDependencyError without torch, and DeviceError without
    a GPU.
    """
    check_device(name)
    if name == "cpu":
        return Host()
    device: Device = _torch().TorchDevice(name, exact=exact)
    return device


def gpu() -> Gpu:
    """The first GPU. Imports torch; raises MissingDependencyError without it, DeviceError without a GPU."""
    found: Gpu = _torch().first_gpu()
    return found


def _torch() -> Any:
    if importlib.util.find_spec("torch") is None:
        raise MissingDependencyError(
            "torch is not installed, and other devices than the cpu need it",
            hint="pip install 'galago[cuda]'",
        )
    return importlib.import_module("galago.kernels.torch_device")
