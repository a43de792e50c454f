"""Rounding to the q4 grid so that the errors of a row cancel on what the row is multiplied with.

GPTQ (Frantar et al. 2022): columns are rounded one after the other, and what a column errs by is made good,
as far as can be, by the columns that are not rounded yet. A grid is chosen when its columns' turn comes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from galago import kernels, packing
from galago.packing import BIAS, PANEL, STEP, PackedWeight

F32 = NDArray[np.float32]

DAMPING: Final = 0.01
"""Share of each diagonal element that is added to it: what was seen is not trusted to the last."""
UNSEEN: Final = 1e-6
"""Share of the mean diagonal that is added as well, for columns that were never used."""


def round_to_grid(dense: F32, moments: F32, group: int | None) -> PackedWeight:
    """dense [N, K] and the sum of x x^T [K, K] over inputs x -> a q4 weight in groups of `group` columns.

    `group` None is `packing.default_group`. Raises what `packing.pack` raises.
    """
    weight = packing.empty_like(dense, 4, group)
    rows, columns = len(weight.codes) * PANEL, weight.scales.shape[1] * weight.group
    values = np.zeros((rows, columns), np.float32)
    values[: weight.rows, : weight.cols] = dense
    spread = _spread(moments, columns)
    codes = np.zeros(values.shape, np.uint8)
    steps = np.zeros((rows, columns // STEP), np.uint8)
    scales = np.zeros((rows, columns // weight.group), np.float16)
    for start in range(0, columns, STEP):
        place, first = divmod(start, weight.group)
        if first == 0:
            scales[:, place] = packing.scales_of(values[:, None, start : start + weight.group])[:, 0]
        block = slice(start, start + STEP)
        codes[:, block], steps[:, start // STEP], errors = _round(
            values[:, block], scales[:, place], spread[block, block]
        )
        values[:, start + STEP :] -= errors @ spread[block, start + STEP :]
    packing.put_rows(weight, slice(None), codes, scales, steps)
    return _better(weight, kernels.pack(dense, 4, weight.group), dense, moments)


def _better(rounded: PackedWeight, plain: PackedWeight, dense: F32, moments: F32) -> PackedWeight:
    """Of each row the one that errs less: a loud column may ask more of quiet ones than their grid holds."""
    costs = []
    for weight in (rounded, plain):
        error = packing.unpack(weight) - dense
        costs.append(np.einsum("nk,nk->n", error @ moments, error))
    keep = np.zeros(len(rounded.codes) * PANEL, bool)
    keep[: len(dense)] = costs[0] <= costs[1]
    kept = keep.reshape(-1, 1, PANEL)
    parts = {
        name: np.where(kept[..., None] if part.ndim == 4 else kept, part, plain.parts[name])
        for name, part in rounded.parts.items()
    }
    return PackedWeight.of(4, rounded.group, rounded.shape, parts)


def _spread(moments: F32, columns: int) -> F32:
    """The upper triangle U [columns, columns] with U^T U the inverse of the damped moments."""
    whole = np.zeros((columns, columns))
    whole[: len(moments), : len(moments)] = moments
    diagonal = np.diag_indices(columns)
    mean = float(np.mean(whole[diagonal])) or 1.0
    whole[diagonal] += DAMPING * whole[diagonal] + UNSEEN * mean
    upper: F32 = np.linalg.cholesky(np.linalg.inv(whole)).T.astype(np.float32)
    return upper


def _round(
    values: F32, scales: NDArray[np.float16], spread: F32
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], F32]:
    """32 columns [N, 32] -> nibbles alike, steps [N], and what each column left to the later ones [N, 32]."""
    values = values.copy()
    steps = packing.grid_of(values[:, None, None], scales[:, None])[1][:, 0, 0]
    multiplier, zero = (steps >> 4) + np.float32(1), (steps & 15).astype(np.float32)
    size = scales.astype(np.float32) * multiplier
    least = np.maximum(-zero, -np.floor(BIAS / multiplier))  # the product stays within int8
    most = np.minimum(15 - zero, np.floor((BIAS - 1) / multiplier))
    levels, errors = np.zeros_like(values), np.zeros_like(values)
    for column in range(values.shape[1]):
        wanted = values[:, column]
        exact = np.divide(wanted, size, out=np.zeros_like(wanted), where=size != 0)
        levels[:, column] = np.clip(np.rint(exact), least, most)
        errors[:, column] = (wanted - size * levels[:, column]) / spread[column, column]
        values[:, column + 1 :] -= np.outer(errors[:, column], spread[column, column + 1 :])
    return (levels + zero[:, None]).astype(np.uint8), steps, errors
