"""Reading a config.json strictly: every key is taken, known to be unneeded, or an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from galago.errors import ConfigError
from galago.files import shown

DESCRIPTIVE = frozenset(
    {
        "_name_or_path", "architectures", "attn_implementation", "chunk_size_feed_forward", "dtype",
        "id2label", "initializer_range", "is_encoder_decoder", "label2id", "model_type", "output_attentions",
        "output_hidden_states", "problem_type", "return_dict", "torch_dtype", "transformers_version",
        "use_cache",
    }
)  # fmt: skip
"""Keys that say something about a checkpoint and change nothing in its arithmetic at inference."""
OWN_FILE = "is the file the checkpoint's own? download it again"
LARGEST = 2**31 - 1
"""More than any size of any model."""


class ConfigReader:
    """Takes keys out of one mapping of a config; `finish` refuses what nobody took."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = dict(values)
        self.where = where
        self.taken: set[str] = set()

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of a key, checked by kind; without a default the key must be there."""
        self.taken.add(key)
        value = self.values.get(key)
        if value is None:
            value = default
        if value is None:
            raise ConfigError(f"{self.where} lacks {key!r}", hint=OWN_FILE)
        if not _is_a(value, kind):
            raise self._wrong(key, value, f"{_name(kind)} is needed")
        return value

    def inside(self, key: str, default: Mapping[str, Any] | None = None) -> ConfigReader:
        """The reader of a mapping within this one."""
        return ConfigReader(self.take(key, dict, default), f"{self.where}'s {key}")

    def whole(self, key: str, default: int | None = None, *, least: int = 0, most: int = LARGEST) -> int:
        """A whole number within bounds."""
        value: int = self.take(key, int, default)
        if not least <= value <= most:
            raise self._wrong(key, value, f"it must be from {least} to {most}")
        return value

    def positive(self, key: str, default: int | None = None, *, most: int = LARGEST) -> int:
        """A whole number of 1 or more."""
        return self.whole(key, default, least=1, most=most)

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0 that float32 holds."""
        value: float = self.take(key, (int, float), default)
        if not 1e-30 <= value <= 1e30:
            raise self._wrong(key, value, "it must be above 0, and finite")
        return float(value)

    def numbers(
        self,
        key: str,
        kind: type | tuple[type, ...],
        default: Sequence[float],
        least: float,
        most: float,
        count: int | None = None,
    ) -> tuple[Any, ...]:
        """A list of numbers within bounds, of any length or a certain one."""
        values: Sequence[Any] = self.take(key, (list, tuple), default)
        is_good = all(_is_a(one, kind) and least <= one <= most for one in values)
        if not is_good or count not in (None, len(values)):
            many = "a list" if count is None else f"a list of {count}"
            raise self._wrong(key, values, f"{many} is needed, each {_name(kind)} from {least} to {most}")
        return tuple(values)

    def expect(self, key: str, *allowed: object) -> None:
        """A key that may be absent, and otherwise must have one of the values this code computes."""
        self.taken.add(key)
        value = self.values.get(key)
        if value is not None and value not in allowed:
            wanted = " or ".join(repr(one) for one in allowed)
            raise self._wrong(key, value, f"only {wanted} is supported")

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self.values.get(key) is not None

    def take_copies(self, of: ConfigReader, *, unchecked: Iterable[str] = ()) -> None:
        """Take what `of` has taken, where it stands here too; raises ConfigError when the two contradict.

        What differs among the `unchecked` is as `of` says.
        """
        for key in sorted(of.taken & self.values.keys()):
            mine, theirs = self.values[key], of.values.get(key)
            if None not in (mine, theirs) and mine != theirs and key not in unchecked:
                raise ConfigError(
                    f"{self.where} says {key} = {shown(mine)} and {of.where} says {shown(theirs)}",
                    hint="download config.json again: one of the two was changed by hand",
                )
            self.taken.add(key)

    def finish(self, unused: Iterable[str] = ()) -> None:
        """Refuse every key that was not taken and is not known to be unneeded."""
        for key in self.values.keys() - self.taken - DESCRIPTIVE - set(unused):
            import difflib  # only a mistake needs it

            close = difflib.get_close_matches(key, self.taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "a newer model may need a newer Galago"
            raise ConfigError(
                f"{self.where} has the unknown key {shown(key)} = {shown(self.values[key])}", hint=hint
            )

    def _wrong(self, key: str, value: object, wanted: str) -> ConfigError:
        return ConfigError(f"{self.where}: {key} is {shown(value)}; {wanted}", hint=OWN_FILE)


def _is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _name(kind: type | tuple[type, ...]) -> str:
    return " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
