"""An output projection with a coarse copy, which is read instead where only the best tokens count."""

from __future__ import annotations

from galago import kernels
from galago.frozen import frozen
from galago.nn.module import Array


@frozen(eq=False)
class Screen:
    """`rough` is a coarse copy of `weight`, both [N, dim]."""

    weight: Array
    rough: Array

    def __call__(self, x: Array, weight: Array, best: int) -> Array:
        """x [1, dim] -> [1, N] as `kernels.linear_best`; with a weight that was put there since, `linear`."""
        if weight is not self.weight:
            return kernels.linear(x, weight)
        return kernels.linear_best(x, weight, self.rough, best)
