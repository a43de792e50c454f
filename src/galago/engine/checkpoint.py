"""A model folder on disk: its configuration, and its tensors as weights of the wanted kind, one at a time.

This is where a file meets a family's table of tensors. Hugging Face folders and Galago's packed folders are
read; dense and packed tensors stay memory-mapped, conversion happens only where another kind is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from galago import packing
from galago.engine.repack import repack
from galago.engine.source import Source, find_model
from galago.errors import ConfigError, WeightError
from galago.files import StrPath, read_json_object
from galago.formats import packed
from galago.formats.mapped import MappedPages
from galago.formats.safetensors import SINGLE_FILE, StoredTensor, open_folder, open_with_metadata
from galago.frozen import frozen
from galago.models import Family, ModelConfig, Processor, Tensor, family
from galago.packing import Bf16Weight, PackedWeight, Weight
from galago.types import Weights

if TYPE_CHECKING:
    from concurrent.futures import Executor


SAMPLES, SAMPLE = 4, 64
"""How many runs of how many values of each tensor go into the revision."""

_DENSE = {"F32": "f32", "F16": "f32", "BF16": "bf16"}  # float16 has no kernels: its values are exact in f32


@frozen(eq=False)
class Checkpoint:
    """An opened model folder; `tensors` is the family's table, `stored` what the files hold."""

    source: Source
    family: Family
    config: ModelConfig
    tensors: tuple[Tensor, ...]
    stored: Mapping[str, StoredTensor]
    packed_as: Weights | None
    """What Galago's own file was packed as; None for a Hugging Face folder."""

    @property
    def folder(self) -> Path:
        """Where the model is."""
        return self.source.folder

    @property
    def is_packed(self) -> bool:
        """Whether the folder is one of Galago's own, with our names and packed layouts."""
        return self.packed_as is not None

    @cached_property
    def spelling(self) -> Mapping[str, tuple[str, ...]]:
        """The stored tensors of every parameter, by our name.

        Raises WeightError naming what is missing, and what no table knows.
        """
        found = {tensor.ours: self._spelled(tensor) for tensor in self.tensors}
        missing = [tensor for tensor in self.tensors if not found[tensor.ours]]
        known = {name for names in found.values() for name in names} | set(self._screen)
        extra = [name for name in self.stored if name not in known and not self.family.unused(name)]
        if missing:
            import difflib  # only a mistake needs it

            wanted = missing[0].ours if self.is_packed else missing[0].spellings[0]
            close = difflib.get_close_matches(wanted, extra, n=1, cutoff=0.8)
            hint = f"did its name become {close[0]!r}?" if close else "download the whole model again"
            raise WeightError(f"{self.folder} lacks the tensor {wanted!r}{_others(missing)}", hint=hint)
        if extra:
            raise WeightError(
                f"{self.folder} holds the tensor {extra[0]!r}{_others(extra)}, which a model of type"
                f" {self.family.model_type} does not have",
                hint="is config.json the one that belongs to these weights?",
            )
        for part in sorted(known - self.stored.keys()):
            raise WeightError(f"{self.folder} lacks the tensor {part!r}", hint="convert the model again")
        return found

    def _spelled(self, tensor: Tensor) -> tuple[str, ...]:
        if self.is_packed:
            return packed.spelled(self.stored, tensor.ours)
        return next(((name,) for name in tensor.spellings if name in self.stored), ())

    def kind(self, tensor: Tensor) -> Weights:
        """How the file holds a parameter; raises WeightError for a dtype that cannot be weights."""
        names = self.spelling[tensor.ours]
        if len(names) > 1:
            return "q4" if names[0].endswith(".q4.codes") else "q8"
        dtype = self.stored[names[0]].dtype
        if dtype not in _DENSE:
            raise WeightError(
                f"{self.folder}: tensor {names[0]!r} is {dtype}; {', '.join(_DENSE)} can be read",
                hint="quantised checkpoints of other tools are not read by this version",
            )
        return "bf16" if _DENSE[dtype] == "bf16" else "f32"

    @property
    def head(self) -> Tensor:
        """The output projection."""
        return next(tensor for tensor in self.tensors if tensor.is_head)

    def screen(self, wanted: Weights | None) -> PackedWeight | None:
        """The coarse copy of the output projection, where the file has one of it as wanted.

        None keeps the file's kind. Raises WeightError when the copy does not fit.
        """
        head = self.head
        if not self._screen or (wanted is not None and head.kind(wanted) != self.kind(head)):
            return None
        assert head.matrix is not None
        try:
            return packed.packed_weight(self.stored, self._screen, head.matrix)
        except WeightError as error:
            raise WeightError(f"{self.folder}: {error}") from error

    def coarse_head(self, wanted: Weights, group: int | None, threads: Executor | None = None) -> Weight:
        """What `screen` of a file of the wanted kind is to be; its own copy if it has one in such groups."""
        held = self.screen(wanted)
        if held is not None and group in (None, held.group):
            return held
        return self.weight(replace(self.head, floor="q4"), "q4", group=group, threads=threads)

    @property
    def _screen(self) -> tuple[str, ...]:
        """The stored tensors of the coarse copy."""
        return packed.spelled(self.stored, packed.screen_name(self.head.ours)) if self.is_packed else ()

    def processor(self) -> Processor:
        """What makes patches of pictures; raises ConfigError when its settings are missing or unknown."""
        return self.family.processor(self.config, _processor_settings(self.folder))

    @property
    def tokenizer_bytes(self) -> int:
        """Bytes of the tokenizer's files."""
        whole = self.folder / "tokenizer.json"
        files = [whole] if whole.is_file() else [self.folder / "vocab.json", self.folder / "merges.txt"]
        return sum(file.stat().st_size for file in files if file.is_file())

    @cached_property
    def revision(self) -> str:
        """A hash that changes with the configuration, the preprocessing or any tensor's numbers.

        Of each tensor a few values are taken, which is enough to tell training apart and quick on a mapped
        file.
        """
        import hashlib

        digest = hashlib.sha256()
        for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
            path = self.folder / name
            digest.update(path.read_bytes() if path.is_file() else b"\0")
        for name in sorted(self.stored):
            tensor = self.stored[name]
            flat = tensor.array.reshape(-1)
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            last = max(0, flat.size - SAMPLE)
            for place in range(SAMPLES):
                start = last * place // (SAMPLES - 1)
                digest.update(flat[start : start + SAMPLE].tobytes())
        return digest.hexdigest()

    def stored_bytes(self, tensor: Tensor) -> int:
        """Bytes of a parameter in the file."""
        return sum(self.stored[name].array.nbytes for name in self.spelling[tensor.ours])

    @cached_property
    def weights(self) -> Weights:
        """What the file was packed as, else the kind that most of its bytes have."""
        if self.packed_as:
            return self.packed_as
        sizes: dict[Weights, int] = {}
        for tensor in self.tensors:
            kind = self.kind(tensor)
            sizes[kind] = sizes.get(kind, 0) + self.stored_bytes(tensor)
        return max(sizes, key=lambda kind: sizes[kind])

    def weight(
        self,
        tensor: Tensor,
        wanted: Weights | None = None,
        *,
        group: int | None = None,
        threads: Executor | None = None,
    ) -> Weight:
        """A parameter as the kernels take it: a matrix of the wanted kind, or a float32 vector.

        None keeps the file's kind and copies nothing, except what has to be widened. Other kinds are
        converted, by `threads` where they are given. Raises WeightError for a wrong shape or dtype, and
        for values that cannot be packed.
        """
        held = self._read(tensor)
        if tensor.matrix is None or wanted is None:
            return held
        try:
            made = repack(held, tensor.kind(wanted), group, threads)
        except WeightError as error:
            name = self.spelling[tensor.ours][0]
            raise WeightError(f"{self.folder}: tensor {name!r} cannot be converted: {error}") from error
        if made is not held:  # the file's pages are not needed again
            MappedPages(self.stored[name].array for name in self.spelling[tensor.ours]).release()
        return made

    def _read(self, tensor: Tensor) -> Weight:
        """A parameter as it is stored: float32, bf16 or packed for a matrix, float32 for a vector."""
        kind, names = self.kind(tensor), self.spelling[tensor.ours]
        if kind in ("q4", "q8"):
            if tensor.matrix is None:
                raise WeightError(f"{self.folder}: {tensor.ours!r} is a vector and is packed")
            try:
                return packed.packed_weight(self.stored, names, tensor.matrix)
            except WeightError as error:
                raise WeightError(f"{self.folder}: {error}") from error
        stored = self.stored[names[0]]
        allowed = (tensor.shape, tensor.matrix) if self.is_packed else (tensor.shape,)
        if stored.shape not in allowed:
            raise WeightError(
                f"{self.folder}: tensor {names[0]!r} is {list(stored.shape)}; its config.json makes it"
                f" {list(tensor.shape)}",
                hint="is config.json the one that belongs to these weights?",
            )
        array = stored.array.reshape(tensor.matrix or tensor.shape)
        if kind == "bf16":
            return Bf16Weight(array) if tensor.matrix else packing.from_bf16(array)
        return array.astype(np.float32, copy=False)


def open_checkpoint(source: StrPath) -> Checkpoint:
    """Open a model folder or an embedded model; only configuration and headers are read.

    Raises ModelNotFoundError, ConfigError or WeightError.
    """
    found = find_model(source)
    values = read_json_object(
        found.folder / "config.json", hint="a model folder holds config.json beside its safetensors files"
    )
    model_type = values.get("model_type")
    if not isinstance(model_type, str):
        raise ConfigError(
            f"{found.folder / 'config.json'}: model_type is {model_type!r}", hint="name a family"
        )
    of_family = family(model_type)
    config: Any = of_family.parse_config(values)
    single, packed_as = found.folder / SINGLE_FILE, None
    if single.exists():
        stored, metadata = open_with_metadata(single)  # at once: a header may name thousands of tensors
        packed_as = packed.packed_as(metadata, str(single))
    else:
        stored = open_folder(found.folder)
    return Checkpoint(found, of_family, config, tuple(of_family.tensors(config)), stored, packed_as)


def _processor_settings(folder: Path) -> dict[str, Any]:
    """The image processor's settings, in the layout of either generation of files."""
    file = folder / "preprocessor_config.json"
    if file.exists():
        return read_json_object(file)
    hint = "the folder needs preprocessor_config.json or processor_config.json"
    nested = read_json_object(folder / "processor_config.json", hint=hint).get("image_processor")
    if not isinstance(nested, dict):
        raise ConfigError(f"{folder / 'processor_config.json'} has no image_processor", hint=hint)
    return nested


def _others(names: list[Any]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
