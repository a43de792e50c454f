"""The header of a safetensors file: parsed and distrusted, or planned for a file to be written.

The format: 8 bytes little-endian header length; the header, a JSON object from names to dtype, shape and
data_offsets (and `__metadata__` to strings); the data of all tensors without holes. Offsets count from where
the data start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from galago.errors import WeightError
from galago.files import StrPath, shown, unique_keys
from galago.frozen import frozen

ALIGNMENT = 64
MAX_HEADER_BYTES = 100_000_000
_MAX_DIMENSIONS = 32  # what every numpy can hold
_METADATA = "__metadata__"
DOWNLOAD_AGAIN = "download the file again; it is damaged or was not written by a safetensors writer"

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # numpy has no bfloat16: its bits
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
_REFUSED_DTYPES = frozenset(
    ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "C64")
)


@frozen
class TensorSpec:
    """What one tensor is: its dtype as the format spells it ("BF16", "F32", "U8", ...) and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def byte_count(self) -> int:
        """Bytes of its data in the file."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize


@frozen
class Header:
    """Where each tensor lies: `offsets` are bytes from the start of the file."""

    specs: dict[str, TensorSpec]
    offsets: dict[str, int]
    metadata: dict[str, str]


def parse(start: bytes, header: bytes, file_bytes: int, path: StrPath) -> Header:
    """The header of the file at `path`: `start` its first 8 bytes, `header` the bytes after them.

    Everything it claims is checked against `file_bytes`. Raises WeightError naming the file and the tensor.
    """
    entries = _object(header, path)
    metadata = _metadata(entries.pop(_METADATA, {}), path)
    data_start = len(start) + len(header)
    specs: dict[str, TensorSpec] = {}
    spans: dict[str, tuple[int, int]] = {}
    for name, entry in entries.items():
        specs[name], spans[name] = _entry(name, entry, path)
    _check_spans(spans, file_bytes - data_start, path)
    return Header(specs, {name: data_start + begin for name, (begin, _) in spans.items()}, metadata)


def header_bytes(start: bytes, file_bytes: int, path: StrPath) -> int:
    """The header's length from the first 8 bytes of a file. Raises WeightError when it cannot be true."""
    if file_bytes == 0:
        raise WeightError(f"{path} is empty", hint="download the file again")
    count = int.from_bytes(start, "little")
    if len(start) < 8 or count > file_bytes - 8 or count < 2:
        raise WeightError(
            f"{path} is not a safetensors file, or it is truncated: it has {file_bytes} bytes"
            + (f" and claims a header of {count}" if len(start) == 8 else ""),
            hint=DOWNLOAD_AGAIN,
        )
    if count > MAX_HEADER_BYTES:
        raise WeightError(
            f"{path}: the header claims {count} bytes; the format allows {MAX_HEADER_BYTES}",
            hint=DOWNLOAD_AGAIN,
        )
    return count


def plan(specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """The first bytes of a file that holds these tensors, and each tensor's offset in it.

    The data start at a multiple of 64 bytes. Tensors whose size is a multiple of 64 come first, in the
    order given, so each of them is aligned to 64; the others follow, aligned to the largest power of two
    that divides their size (at least to their element).
    """
    order = sorted(specs, key=lambda name: -_alignment(specs[name].byte_count))  # stable
    entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    begins: dict[str, int] = {}
    end = 0
    for name in order:
        begins[name], end = end, end + specs[name].byte_count
        entries[name] = {
            "dtype": specs[name].dtype,
            "shape": list(specs[name].shape),
            "data_offsets": [begins[name], end],
        }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    start = len(text).to_bytes(8, "little") + text
    return start, {name: len(start) + begin for name, begin in begins.items()}


def _alignment(byte_count: int) -> int:
    return min(byte_count & -byte_count, ALIGNMENT) if byte_count else ALIGNMENT


def _object(header: bytes, path: StrPath) -> dict[str, Any]:
    try:
        if not header.startswith(b"{"):
            raise ValueError("it does not start with an object")
        value = json.loads(header.decode("utf-8"), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise WeightError(f"{path}: the header is not valid JSON: {error}", hint=DOWNLOAD_AGAIN) from None
    assert isinstance(value, dict)
    return value


def _metadata(value: Any, path: StrPath) -> dict[str, str]:
    if isinstance(value, dict) and all(isinstance(text, str) for text in value.values()):
        return value
    raise WeightError(f"{path}: {_METADATA} does not map names to strings", hint=DOWNLOAD_AGAIN)


def _entry(name: str, entry: Any, path: StrPath) -> tuple[TensorSpec, tuple[int, int]]:
    """One tensor's spec and its (begin, end) in the data."""

    def wrong(what: str, hint: str = DOWNLOAD_AGAIN) -> WeightError:
        return WeightError(f"{path}: tensor {shown(name)} {what}", hint=hint)

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise wrong("is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        if isinstance(dtype, str) and dtype in _REFUSED_DTYPES:
            raise wrong(f"is stored as {dtype}, which Galago does not read", "use the bf16 or f16 checkpoint")
        raise wrong(f"has the unknown dtype {shown(dtype)}; known are {', '.join(DTYPES)}")
    if not _is_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise wrong(f"has the impossible shape {shown(shape)}")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise wrong(f"has the impossible data_offsets {shown(offsets)}")
    spec = TensorSpec(dtype, tuple(shape))
    if prod(size or 1 for size in shape) * DTYPES[dtype].itemsize >= 1 << 63:
        raise wrong(f"has the impossible shape {shown(shape)}")
    if spec.byte_count != offsets[1] - offsets[0]:
        raise wrong(
            f"needs {spec.byte_count} bytes as {dtype} {list(shape)}, but its data_offsets give it "
            f"{offsets[1] - offsets[0]}"
        )
    return spec, (offsets[0], offsets[1])


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 1 << 63 for size in value)


def _check_spans(spans: Mapping[str, tuple[int, int]], data_bytes: int, path: StrPath) -> None:
    """The tensors lie one after the other, without holes, and fill the data."""
    position, before = 0, ""
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if end > data_bytes:
            what = f"ends at byte {end} of the data, which has {data_bytes}: truncated, or the header lies"
        elif begin < position:
            what = f"overlaps tensor {shown(before)}"
        elif begin > position:
            what = f"leaves a hole of {begin - position} bytes before it"
        else:
            position, before = end, name
            continue
        raise WeightError(f"{path}: tensor {shown(name)} {what}", hint=DOWNLOAD_AGAIN)
    if position != data_bytes:
        raise WeightError(
            f"{path}: {data_bytes - position} bytes after the last tensor belong to none", hint=DOWNLOAD_AGAIN
        )
