"""safetensors: files and folders mapped into memory without a copy, and written whole or not at all.

What the format says and how it is distrusted is in `safetensors_header`. Data types are named as the
format spells them; bfloat16 comes and goes as its bits in uint16, because numpy has no such type.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from galago.errors import OutOfMemoryError, WeightError
from galago.files import StrPath, read_json_object, reason, replacing, shown
from galago.formats.mapped import map_file
from galago.formats.safetensors_header import (
    DOWNLOAD_AGAIN,
    DTYPES,
    Header,
    TensorSpec,
    header_bytes,
    parse,
    plan,
)
from galago.frozen import frozen

__all__ = [
    "StoredTensor",
    "TensorSink",
    "TensorSpec",
    "open_file",
    "open_folder",
    "open_with_metadata",
    "write",
    "writing",
]

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


@frozen(eq=False)
class StoredTensor:
    """A tensor of a file: `array` is a read-only view of the mapped file and keeps the mapping alive.

    The bytes are read from disk when they are first touched. Only where a foreign writer left a tensor
    off its element's alignment is `array` a copy.
    """

    dtype: str
    shape: tuple[int, ...]
    array: NDArray[Any]


def open_file(path: StrPath) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file by name, in the order of its header.

    Raises WeightError when the file is missing, damaged or lies about itself.
    """
    return open_with_metadata(path)[0]


def open_with_metadata(path: StrPath) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """The tensors of one file, and its `__metadata__`, empty where it has none. Raises as `open_file`."""
    header, data = _map(path)
    return {name: _view(header, data, name) for name in header.specs}, header.metadata


def open_folder(folder: StrPath) -> dict[str, StoredTensor]:
    """The tensors of a model folder: of model.safetensors, or of all shards that its index names.

    Raises WeightError when there is neither, a shard is missing or lies outside the folder, a tensor of
    the index is absent from its shard, or two shards hold one name and the index does not say which counts.
    """
    folder = Path(folder)
    if (folder / SINGLE_FILE).exists():
        return open_file(folder / SINGLE_FILE)
    if not (folder / INDEX_FILE).exists():
        raise _no_weights(folder)
    shard_of = _weight_map(folder)
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(shard_of.values())):
        if not (folder / shard).exists():
            raise WeightError(
                f"{folder / shard} is missing; {INDEX_FILE} names it", hint="download the whole model again"
            )
        for name, tensor in open_file(folder / shard).items():
            if shard_of.get(name, shard) != shard:
                continue
            if name in tensors:
                raise WeightError(f"{folder}: two shards hold {shown(name)}", hint=DOWNLOAD_AGAIN)
            tensors[name] = tensor
    for name, shard in shard_of.items():
        if name not in tensors:
            raise WeightError(
                f"{folder / shard} lacks tensor {shown(name)}; {INDEX_FILE} says it is there",
                hint="download the whole model again",
            )
    return tensors


def write(
    path: StrPath,
    tensors: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, str] | None = None,
    *,
    dtypes: Mapping[str, str] | None = None,
    durable: bool = True,
) -> None:
    """Write `tensors` as one file, atomically; see `writing` for the order, the alignment and the errors.

    `dtypes` says what numpy cannot: {"w": "BF16"} for a uint16 array of bfloat16 bits.
    """
    dtypes = dtypes or {}
    if unknown := dtypes.keys() - tensors.keys():
        raise ValueError(f"dtypes names {sorted(unknown)}, which are not among the tensors")
    specs = {
        name: TensorSpec(dtypes.get(name) or _dtype_name(name, array), array.shape)
        for name, array in tensors.items()
    }
    with writing(path, specs, metadata, durable=durable) as sink:
        for name, array in tensors.items():
            sink.put(name, array)


@contextmanager
def writing(
    path: StrPath,
    specs: Mapping[str, TensorSpec],
    metadata: Mapping[str, str] | None = None,
    *,
    durable: bool = True,
) -> Iterator[TensorSink]:
    """Write one file tensor by tensor, in any order, so that only one of them need be in memory.

    The file appears, whole, when the block ends; when it raises, nothing is left behind. The data start
    at a multiple of 64 bytes, and so does every tensor whose size is one. `durable` waits for the disk.
    Raises WeightError when the disk is full or the place cannot be written, ValueError when the block did
    not put every tensor.
    """
    if "__metadata__" in specs or not all(isinstance(text, str) for text in (metadata or {}).values()):
        raise ValueError("metadata maps names to strings, and no tensor is called __metadata__")
    start, offsets = plan(specs, metadata or {})
    try:
        with replacing(path, durable=durable) as file:
            file.write(start)
            sink = TensorSink(file, specs, offsets)
            yield sink
            if missing := specs.keys() - sink.written:
                raise ValueError(f"{path}: {sorted(missing)} were planned and never put")
    except OSError as error:
        needed = sum(spec.byte_count for spec in specs.values())
        hints = {
            errno.ENOSPC: f"free some space: {needed} bytes are needed",
            errno.ENOENT: "make the folder first",
        }
        hint = hints.get(error.errno or 0, "choose a place that you may write to")
        raise WeightError(f"{path} cannot be written: {reason(error)}", hint=hint) from error


class TensorSink:
    """Takes the tensors of a file that is being written. Made by `writing`."""

    def __init__(self, file: BinaryIO, specs: Mapping[str, TensorSpec], offsets: Mapping[str, int]) -> None:
        self.written: set[str] = set()
        self._file, self._specs, self._offsets = file, specs, offsets

    def put(self, name: str, array: NDArray[Any]) -> None:
        """Write one planned tensor; an array that is not C-contiguous is copied, one at a time."""
        spec = self._specs[name]
        dtype = DTYPES[spec.dtype]
        if array.shape != spec.shape or array.dtype.newbyteorder("<") != dtype:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, planned as {spec.dtype} {spec.shape}")
        self._file.seek(self._offsets[name])
        self._file.write(np.ascontiguousarray(array, dtype=dtype).reshape(-1).view(np.uint8).data)
        self.written.add(name)


def _map(path: StrPath) -> tuple[Header, mmap.mmap]:
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise WeightError(f"{path} is not an ordinary file", hint="name a .safetensors file")
            start = file.read(8)
            if start == b"version ":
                raise WeightError(
                    f"{path} is a Git LFS pointer, not the weights", hint="git lfs pull, in that folder"
                )
            header = file.read(header_bytes(start, status.st_size, path))
            parsed = parse(start, header, status.st_size, path)
            return parsed, map_file(file.fileno(), status.st_size)
    except FileNotFoundError:
        raise WeightError(f"{path} does not exist", hint="check the path of the model") from None
    except IsADirectoryError:
        raise WeightError(f"{path} is a folder", hint="name the .safetensors file in it") from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            size = Path(path).stat().st_size
            raise OutOfMemoryError(
                f"{path} has {size / 1e6:,.1f} MB, and this process may not map that much",
                hint="raise its limit of address space (ulimit -v), or use a smaller model",
            ) from error
        raise WeightError(f"{path} cannot be read: {reason(error)}") from error


def _view(header: Header, data: mmap.mmap, name: str) -> StoredTensor:
    spec, dtype = header.specs[name], DTYPES[header.specs[name].dtype]
    count = prod(spec.shape)
    if count == 0:
        return StoredTensor(spec.dtype, spec.shape, np.empty(spec.shape, dtype))
    array = np.frombuffer(data, dtype, count, header.offsets[name])
    if not array.flags.aligned:
        array = array.copy()
        array.flags.writeable = False
    return StoredTensor(spec.dtype, spec.shape, array.reshape(spec.shape))


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor name -> file name from the index, checked to stay inside the folder."""
    weight_map = read_json_object(folder / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightError(f"{folder / INDEX_FILE} has no weight_map", hint=DOWNLOAD_AGAIN)
    for name, shard in weight_map.items():
        # By its spelling: download caches keep the files themselves elsewhere, behind links.
        if not isinstance(shard, str) or not _is_inside(shard):
            raise WeightError(
                f"{folder / INDEX_FILE} puts tensor {shown(name)} in {shown(shard)}, outside the folder",
                hint="do not use this model: an honest index names files beside itself",
            )
    return weight_map


def _is_inside(shard: str) -> bool:
    parts = PurePosixPath(shard).parts
    return bool(parts) and ".." not in parts and not shard.startswith("/") and not set(shard) & set("\\:\0")


def _no_weights(folder: Path) -> WeightError:
    if not folder.is_dir():
        return WeightError(
            f"{folder} is not a folder", hint="name a folder that holds config.json and weights"
        )
    others = sorted({path.suffix for path in folder.iterdir()} & {".bin", ".pt", ".pth", ".gguf", ".onnx"})
    found = f" (it has {', '.join(others)} files)" if others else ""
    return WeightError(
        f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}{found}",
        hint="use the model's safetensors version",
    )


def _dtype_name(name: str, array: NDArray[Any]) -> str:
    names = {dtype: key for key, dtype in DTYPES.items() if key != "BF16"}
    try:
        return names[array.dtype.newbyteorder("<")]
    except KeyError:
        raise ValueError(f"{name}: safetensors has no dtype for {array.dtype}") from None
