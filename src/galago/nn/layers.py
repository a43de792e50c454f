"""The layers every family is assembled from: projections, norms, the gated MLP, the embedding."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

from galago import kernels
from galago.nn.module import Array, Layer, Module, Parameter


class Linear(Layer):
    """A projection: x [T, columns] -> [T, rows], weight [rows, columns] as checkpoints store it."""

    def __init__(self, columns: int, rows: int, *, bias: bool = False) -> None:
        self.weight: Array = Parameter((rows, columns))
        self.bias: Array = Parameter((rows,), start="zeros") if bias else None

    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        """x [T, columns] -> [T, rows], to which a residual [T, rows] may be added."""
        return kernels.linear(x, self.weight, self.bias, residual)


def project(x: Array, *layers: Linear) -> Sequence[Array]:
    """x [T, columns] through several projections that read the same rows: [T, rows] each."""
    return kernels.linears(x, [layer.weight for layer in layers], [layer.bias for layer in layers])


class RMSNorm(Layer):
    """Root-mean-square norm with a gain: x / sqrt(mean(x^2) + eps) * weight (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int, eps: float) -> None:
        self.eps = eps
        self.weight: Array = Parameter((dim,), start="ones")

    def __call__(self, x: Array) -> Array:
        """x [T, dim] -> [T, dim]."""
        return kernels.rms_norm(x, self.weight, self.eps)


class LayerNorm(Layer):
    """Layer norm with gain and bias (Ba et al. 2016)."""

    def __init__(self, dim: int, eps: float) -> None:
        self.eps = eps
        self.weight: Array = Parameter((dim,), start="ones")
        self.bias: Array = Parameter((dim,), start="zeros")

    def __call__(self, x: Array) -> Array:
        """x [T, dim] -> [T, dim]."""
        return kernels.layer_norm(x, self.weight, self.bias, self.eps)


class FeedForward(Module):
    """What a block does to each row by itself."""

    @abstractmethod
    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        """x [T, columns] -> [T, rows], to which a residual [T, rows] may be added."""


class GatedMLP(FeedForward):
    """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer 2020)."""

    def __init__(self, dim: int, hidden: int, *, bias: bool = False) -> None:
        self.gate = Linear(dim, hidden, bias=bias)
        self.up = Linear(dim, hidden, bias=bias)
        self.down = Linear(hidden, dim, bias=bias)

    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        """x [T, dim] -> [T, dim], to which a residual [T, dim] may be added."""
        weights, biases = (self.gate.weight, self.up.weight), (self.gate.bias, self.up.bias)
        return self.down(kernels.gated(x, weights, biases), residual)


class MLP(FeedForward):
    """Two projections with biases and an activation between them."""

    def __init__(self, columns: int, hidden: int, rows: int, activation: Callable[[Array], Array]) -> None:
        self.activation = activation
        self.up = Linear(columns, hidden, bias=True)
        self.down = Linear(hidden, rows, bias=True)

    def __call__(self, x: Array, residual: Array | None = None) -> Array:
        """x [T, columns] -> [T, rows], to which a residual [T, rows] may be added."""
        return self.down(self.activation(self.up(x)), residual)


class Embedding(Module):
    """Rows of a table by token id."""

    def __init__(self, count: int, dim: int) -> None:
        self.weight: Array = Parameter(
            (count, dim), std=0.02
        )  # a wide start costs the first minutes of training

    def __call__(self, ids: Array) -> Array:
        """Ids [T] -> [T, dim]."""
        return kernels.embed(self.weight, ids)
