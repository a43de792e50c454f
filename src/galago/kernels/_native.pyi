import enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.kernels.whole import Room

_F32: TypeAlias = NDArray[np.float32]
Packed: TypeAlias = tuple[
    int,
    int,
    int,
    int,
    NDArray[np.uint8],
    NDArray[np.float16],
    NDArray[np.uint8] | None,
    NDArray[np.float16] | None,
]

class Pool:
    def __init__(self, threads: int) -> None: ...
    @property
    def threads(self) -> int: ...

Product: TypeAlias = tuple[Packed, _F32 | None]
Layer: TypeAlias = tuple[_F32, Product, Product, Product, Product, _F32, Product, Product, Product]

class Layers:
    def __init__(self, layers: list[Layer]) -> None: ...

class Activation(enum.Enum):
    silu = 0
    gelu = 1
    gelu_tanh = 2
    quick_gelu = 3

def isas() -> list[str]: ...
def linear_f32(pool: Pool, isa: int, x: _F32, weight: _F32, bias: _F32 | None, out: _F32) -> None: ...
def linear_bf16(
    pool: Pool, isa: int, x: _F32, weight: NDArray[np.uint16], bias: _F32 | None, out: _F32
) -> None: ...
def linear_packed(
    pool: Pool,
    isa: int,
    x: _F32,
    weights: list[Packed],
    biases: list[_F32 | None],
    outs: list[_F32],
    residual: _F32 | None,
) -> None: ...
def linear_best(
    pool: Pool,
    isa: int,
    x: _F32,
    weight: Packed,
    rough: Packed,
    best: int,
    candidates: int,
    margin: float,
    out: _F32,
) -> bool: ...
def gated_packed(
    pool: Pool, isa: int, x: _F32, weights: list[Packed], biases: list[_F32 | None], outs: list[_F32]
) -> None: ...
def pack(
    pool: Pool,
    isa: int,
    x: _F32,
    bits: int,
    group: int,
    codes: NDArray[np.uint8],
    scales: NDArray[np.float16],
    steps: NDArray[np.uint8] | None,
) -> bool: ...
def embed_f32(weight: _F32, ids: NDArray[np.int64], out: _F32) -> None: ...
def embed_bf16(weight: NDArray[np.uint16], ids: NDArray[np.int64], out: _F32) -> None: ...
def embed_packed(weight: Packed, ids: NDArray[np.int64], out: _F32) -> None: ...
def rms_norm(pool: Pool, isa: int, x: _F32, weight: _F32, eps: float, out: _F32) -> None: ...
def layer_norm(pool: Pool, isa: int, x: _F32, weight: _F32, bias: _F32, eps: float, out: _F32) -> None: ...
def rotate(pool: Pool, isa: int, x: _F32, cos: _F32, sin: _F32, out: _F32) -> None: ...
def attention(
    pool: Pool,
    isa: int,
    q: _F32,
    k: _F32,
    v: _F32,
    causal: bool,
    bounds: NDArray[np.int32] | None,
    rounded: bool,
    out: _F32,
) -> None: ...
def decode_rows(
    pool: Pool,
    isa: int,
    layers: Layers,
    x: _F32,
    cos: _F32,
    sin: _F32,
    rooms: list[Room],
    eps: float,
    out: _F32,
) -> None: ...
def activate(pool: Pool, isa: int, kind: Activation, x: _F32, out: _F32) -> None: ...
def silu_mul(pool: Pool, isa: int, gate: _F32, up: _F32, out: _F32) -> None: ...
def is_finite(pool: Pool, isa: int, x: _F32) -> bool: ...
def peak_int8(pool: Pool, isa: int) -> float: ...
def peak_bf16(pool: Pool, isa: int) -> float: ...
def peak_f32(pool: Pool, isa: int) -> float: ...
def read_rate(pool: Pool, isa: int, memory: NDArray[np.uint8]) -> float: ...
