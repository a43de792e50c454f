"""A device that torch drives: a GPU, or the processor in its place where tests run what a GPU would.

Products are in bf16, or in float32 where asked. Steps of fixed shapes are recorded as CUDA graphs; where one
cannot be recorded it is run as it is, and that is said.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galago.errors import DeviceError, GalagoWarning, OutOfMemoryError
from galago.kernels.devices import Gpu, Step
from galago.kernels.torch_packed import PackedTensor, host_tensor, upload
from galago.packing import Bf16Weight, PackedWeight, Weight

WARM_UPS = 2
"""Runs before a recording: libraries choose their kernels and take their scratch memory in them."""


class TorchDevice:
    """`name` is "cuda", "cuda:N" or "torch-cpu". Raises DeviceError when there is no such GPU."""

    is_host = False

    def __init__(self, name: str, *, exact: bool = False) -> None:
        self.name = name
        self.trouble: str | None = None
        self.dtype = torch.float32 if exact else torch.bfloat16
        self.records = name != "torch-cpu"
        self._device = _find(name) if self.records else torch.device("cpu")
        self._graph_memory: Any = None
        self._lock = threading.RLock()

    def precision(self, weights: str) -> str:
        """Weights and arithmetic: features of one are not those of the other."""
        return weights if self.dtype == torch.float32 else f"{weights} in bf16"

    def hold(self, weight: Weight) -> Tensor | PackedTensor:
        """Dense weights in the arithmetic's type, packed ones as they are."""
        if isinstance(weight, PackedWeight):
            return upload(weight, self._device, self.dtype)
        if isinstance(weight, Bf16Weight):
            bits = host_tensor(weight.bits.view(np.int16)).view(torch.bfloat16)
            return bits.to(self._device, self.dtype)
        return host_tensor(weight).to(self._device, self.dtype)

    def array(self, host: NDArray[Any]) -> Tensor:
        """Host floats on the device."""
        return host_tensor(host).to(self._device, self.dtype)

    def index(self, host: NDArray[np.int64]) -> Tensor:
        """Host integers on the device."""
        return host_tensor(host).to(self._device, torch.int64)

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        """Zeros on the device."""
        return torch.zeros(shape, dtype=self.dtype, device=self._device)

    def recorder(self) -> Recorder:
        """A recorder of its own for each user of it."""
        return Recorder(self)

    @contextmanager
    def computing(self, hint: Callable[[], str]) -> Iterator[None]:
        """Without gradients, on this GPU, one thread at a time (nothing may run while a step is recorded).

        Full memory is our error.
        """
        with ExitStack() as stack:
            stack.enter_context(self._lock)
            stack.enter_context(torch.inference_mode())
            if self.records:
                stack.enter_context(torch.cuda.device(self._device))
            try:
                yield
            except torch.OutOfMemoryError as error:
                raise OutOfMemoryError(
                    f"the memory of {self.name} is full{self._used()}", hint=hint()
                ) from error

    def synchronise(self) -> None:
        """Wait for the GPU."""
        if self.records:
            torch.cuda.synchronize(self._device)

    def free_bytes(self) -> int | None:
        """What the driver and torch's own reserve have left."""
        if not self.records:
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        return free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)

    def peak_bytes(self) -> int | None:
        """As torch's allocator counts it."""
        return torch.cuda.max_memory_allocated(self._device) if self.records else None

    def capture(self, step: Step, buffers: Sequence[Tensor]) -> Callable[[], Tensor]:
        """A step as a CUDA graph over its buffers; raises RuntimeError for what cannot be one."""
        aside = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                step(*buffers)
        torch.cuda.current_stream(self._device).wait_stream(aside)
        if self._graph_memory is None:  # shared: a result is read before the next graph runs
            self._graph_memory = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._graph_memory):
            result: Tensor = step(*buffers)

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    def _used(self) -> str:
        if not self.records:
            return ""
        free, total = torch.cuda.mem_get_info(self._device)
        held = torch.cuda.memory_allocated(self._device)
        return f": of {total / 1e9:.1f} GB this model holds {held / 1e9:.1f}, and {free / 1e9:.1f} are free"


class Recorder:
    """Recordings by key, each with the buffers it reads."""

    def __init__(self, device: TorchDevice) -> None:
        self._device = device
        self._records = device.records
        self._held: dict[Hashable, tuple[list[Tensor], Callable[[], Tensor]]] = {}

    def run(self, key: Hashable, step: Step, inputs: Sequence[NDArray[Any]]) -> Tensor:
        """The step of these inputs, recorded when the key is new."""
        if key not in self._held:
            made = [self._buffer(array) for array in inputs]
            self._held[key] = made, self._recorded(step, made)
        buffers, replay = self._held[key]
        for buffer, array in zip(buffers, inputs, strict=True):
            buffer.copy_(host_tensor(array))
        return replay()

    def clear(self) -> None:
        """Forget every recording."""
        self._held.clear()

    def _buffer(self, array: NDArray[Any]) -> Tensor:
        is_float = array.dtype.kind == "f"
        return self._device.array(array) if is_float else self._device.index(array)

    def _recorded(self, step: Step, buffers: list[Tensor]) -> Callable[[], Tensor]:
        def plain() -> Tensor:
            result: Tensor = step(*buffers)
            return result

        if not self._records or self._device.trouble:
            return plain
        try:
            return self._device.capture(step, buffers)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = str(error).partition("\n")[0]
            self._device.trouble = f"decoding is slower than it could be, as no CUDA graph can be made: {why}"
            warnings.warn(self._device.trouble, GalagoWarning, stacklevel=2)
            return plain


def first_gpu() -> Gpu:
    """The first GPU; raises DeviceError without one."""
    found = torch.cuda.get_device_properties(_find("cuda"))
    return Gpu(found.name, found.total_memory, f"{found.major}.{found.minor}")


def _find(name: str) -> torch.device:
    if not torch.cuda.is_available():
        with_cuda = torch.version.cuda is not None
        raise DeviceError(
            "torch sees no NVIDIA GPU here" if with_cuda else "this build of torch has no CUDA",
            hint="device='cpu', or look what `nvidia-smi` says"
            if with_cuda
            else "device='cpu', or install torch for CUDA (pytorch.org tells the command)",
        )
    number, count = int(name.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise DeviceError(f"there is no {name}: {count} GPU(s) are here", hint="device='cuda:0'")
    return torch.device("cuda", number)
