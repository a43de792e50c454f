"""Reading a config.json strictly: every key is taken, known to be unneeded, or an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from galago.errors import ConfigError

DESCRIPTIVE = frozenset(
    {
        "_name_or_path", "architectures", "attn_implementation", "chunk_size_feed_forward", "dtype",
        "id2label", "initializer_range", "is_encoder_decoder", "label2id", "model_type", "output_attentions",
        "output_hidden_states", "problem_type", "return_dict", "torch_dtype", "transformers_version",
        "use_cache",
    }
)  # fmt: skip
"""Keys that say something about a checkpoint and change nothing in its arithmetic at inference."""


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
            raise ConfigError(f"{self.where} lacks {key!r}", hint="is this the checkpoint's own config.json?")
        if (isinstance(value, bool) and kind is not bool) or not isinstance(value, kind):
            raise ConfigError(f"{self.where}: {key} is {value!r}, which is not a {_name(kind)}")
        return value

    def positive(self, key: str, default: int | None = None) -> int:
        """A whole number of 1 or more."""
        value: int = self.take(key, int, default)
        if value < 1:
            raise ConfigError(f"{self.where}: {key} is {value}; it must be 1 or more")
        return value

    def expect(self, key: str, *allowed: object) -> None:
        """A key that may be absent, and otherwise must have one of the values this code computes."""
        self.taken.add(key)
        value = self.values.get(key)
        if value is not None and value not in allowed:
            wanted = " or ".join(repr(one) for one in allowed)
            raise ConfigError(f"{self.where}: {key} is {value!r}; only {wanted} is supported")

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
                    f"{self.where} says {key} = {mine!r} and {of.where} says {theirs!r}",
                    hint="download config.json again: one of the two was changed by hand",
                )
            self.taken.add(key)

    def finish(self, unused: Iterable[str] = ()) -> None:
        """Refuse every key that was not taken and is not known to be unneeded."""
        for key in self.values.keys() - self.taken - DESCRIPTIVE - set(unused):
            import difflib  # only a mistake needs it

            close = difflib.get_close_matches(key, self.taken, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "a newer model may need a newer Galago"
            raise ConfigError(f"{self.where} has the unknown key {key!r} = {self.values[key]!r}", hint=hint)


def _name(kind: type | tuple[type, ...]) -> str:
    return " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
