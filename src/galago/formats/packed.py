"""Galago's own files: how weights of every kind are spelled in a safetensors file, in both directions.

A dense tensor keeps our parameter's name, as F32 or BF16. A packed one is a tensor for each of its parts:
`NAME.q4.codes`, `NAME.q4.scales` and `NAME.q4.steps`; in q8 without steps; with `offsets` if there are any.
They lie as `galago.packing` says, and the kernels read them from the mapped file. `NAME.screen` is a coarse
copy of the output projection NAME (see `kernels.linear_best`), which a file may lack. The metadata has
`galago` = the version of this spelling and `weights` = what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from galago.errors import WeightError
from galago.formats.safetensors import StoredTensor, TensorSpec
from galago.packing import PARTS, Bf16Weight, PackedWeight, Weight, default_group, part_shapes
from galago.types import Weights

VERSION: Final = "2"
KEY: Final = "galago"
WORTH_SCREENING: Final = 32 << 20
"""Elements from which an output projection gets a coarse copy; reading smaller ones takes no time."""
_DTYPES: Final = {"uint8": "U8", "float16": "F16"}
_BITS: Final[dict[str, Literal[4, 8]]] = {"q4": 4, "q8": 8}
_COLUMNS_PER_ROW: Final = {"q4": 8, "q8": 4}  # of the second axis of `codes`


def metadata(weights: Weights) -> dict[str, str]:
    """The metadata of a file."""
    return {KEY: VERSION, "weights": weights}


def packed_as(stored: Mapping[str, str], where: str) -> Weights | None:
    """What the weights of Galago's own file were packed as, by its metadata; None for another's file.

    Raises WeightError for a version or a kind that is not known here.
    """
    version, kind = stored.get(KEY), stored.get("weights")
    if version is None:
        return None
    if version != VERSION or kind not in get_args(Weights):
        raise WeightError(
            f"{where} is a packed file of version {version} with {kind} weights; this Galago reads version"
            f" {VERSION} with {', '.join(get_args(Weights))}",
            hint="convert the original model again",
        )
    found: Weights = kind  # type: ignore[assignment]
    return found


def screen_name(name: str) -> str:
    """What the coarse copy of the output projection `name` is called."""
    return f"{name}.screen"


def is_worth_screening(shape: tuple[int, int], kind: Weights) -> bool:
    """Whether an output projection of this kind gets a coarse copy, which is q4."""
    return kind == "q8" and shape[0] * shape[1] >= WORTH_SCREENING


def specs(name: str, shape: tuple[int, ...], kind: Weights, group: int | None) -> dict[str, TensorSpec]:
    """The tensors of one parameter, to plan a file before its arrays exist; q4 and q8 want a matrix.

    `group` None is what `packing.pack` makes of it.
    """
    if kind in ("f32", "bf16"):
        return {name: TensorSpec(kind.upper(), shape)}
    rows, columns = shape
    parts = part_shapes(rows, columns, _BITS[kind], default_group(columns) if group is None else group)
    del parts["offsets"]  # only weights of other tools have them
    return {
        f"{name}.{kind}.{part}": TensorSpec(_DTYPES[np.dtype(dtype).name], one)
        for part, (dtype, one) in parts.items()
    }


def arrays(name: str, weight: Weight) -> dict[str, NDArray[Any]]:
    """The arrays of one parameter, named as `specs` names them."""
    if isinstance(weight, Bf16Weight):
        return {name: weight.bits}
    if isinstance(weight, PackedWeight):
        return {f"{name}.q{weight.bits}.{part}": array for part, array in weight.parts.items()}
    return {name: weight}


def spelled(names: Mapping[str, StoredTensor], name: str) -> tuple[str, ...]:
    """The tensors of a file that one parameter is stored in; empty when it is not there."""
    if name in names:
        return (name,)
    for kind, bits in _BITS.items():
        prefix = f"{name}.{kind}."
        wanted = [part for part in PARTS if part != "offsets" and (part != "steps" or bits == 4)]
        held = [part for part in PARTS if prefix + part in names]
        if held:
            return tuple(prefix + part for part in PARTS if part in held or part in wanted)
    return ()


def packed_weight(
    names: Mapping[str, StoredTensor], parts: tuple[str, ...], shape: tuple[int, int]
) -> PackedWeight:
    """The packed matrix [rows, columns] stored in tensors that must all be there; nothing is copied.

    Raises WeightError when the parts do not fit the shape.
    """
    held = {part.rpartition(".")[2]: names[part].array for part in parts}
    codes, scales = held["codes"], held["scales"]
    kind = parts[0].split(".")[-2]
    if codes.ndim != 4 or scales.ndim != 3 or not scales.size:
        raise WeightError(f"the packed tensor {parts[0]!r} has the shapes {codes.shape} and {scales.shape}")
    group = codes.shape[1] * _COLUMNS_PER_ROW[kind] // scales.shape[1]
    try:
        return PackedWeight.of(_BITS[kind], group, shape, held)
    except WeightError as error:
        raise WeightError(f"the packed tensor {parts[0]!r} does not fit: {error}") from error
