"""The largest elements of a product with a large matrix, of which little is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galago.packing import PANEL, PackedWeight, Weight

F32: TypeAlias = NDArray[np.float32]

CANDIDATES: Final = 96
"""Rows that are computed again, with those that lie in panels with them."""

SURE: Final = 6.0
"""Times what a coarse row errs by, root-mean-square, that must lie between the best rows and the others."""


def screened(
    linear: Callable[[F32, Weight], F32], x: F32, weight: PackedWeight, rough: Weight, best: int
) -> F32 | None:
    """x [1, K], weight [N, K] and a coarse copy of it -> [1, N], with the `best` largest of x * weight.

    All rows are computed with the copy, and the candidates with the weight again. By how much these change
    tells by how much others would: None where one of those might be among the best, where there are few rows,
    and where none is finite. A row that is not finite stays so.
    """
    count = len(weight.codes) * PANEL
    if count < 2 * CANDIDATES * PANEL:
        return None
    found = np.full(count, -np.inf, np.float32)  # padding is never the best
    found[: weight.rows] = linear(x, rough)[0]
    least = np.partition(found, count - CANDIDATES)[count - CANDIDATES]  # what is left out is not above it
    if not np.isfinite(least):
        return None
    panels = np.unique(np.flatnonzero(found >= least) // PANEL)
    exact = linear(x, weight.panels(panels)).reshape(-1)
    places = (panels[:, None] * PANEL + np.arange(PANEL)).reshape(-1)
    exact, places = exact[places < weight.rows], places[places < weight.rows]
    error = np.sqrt(np.mean((exact - found[places]) ** 2))
    if np.partition(exact, len(exact) - best)[len(exact) - best] - least < SURE * error:
        return None
    found[places] = exact
    return found[None, : weight.rows]
