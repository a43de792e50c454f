"""The record of a comparison: one JSON file of samples, taken by one process each, and what they sum up to.

A record grows: parts may be measured by several calls. Samples are never changed; a value that is quoted is
the median over all samples of one engine, workload and part.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from galago.errors import UsageError
from galago.files import read_json_object, replacing


@dataclass(frozen=True)
class Sample:
    """What one process measured: `values` by name, `command` without the machine's own folders."""

    workload: str
    part: str
    engine: str
    round: int
    started: str
    command: str
    values: dict[str, float]

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What makes it this sample and no other."""
        return self.workload, self.part, self.engine, self.round


@dataclass(frozen=True)
class Spread:
    """Least, middle and most of `count` values."""

    least: float
    median: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """The spread of at least one value."""
        held = list(values)
        return cls(min(held), statistics.median(held), max(held), len(held))


@dataclass
class Record:
    """All that one comparison measured. `about` the device, `engines` with versions, weights, sizes."""

    about: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record in a file; an empty one where there is none. Raises ConfigError for other files."""
        if not path.exists():
            return cls()
        held = read_json_object(path)
        samples = [Sample(**sample) for sample in held["samples"]]
        return cls(held["about"], held["engines"], samples)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all; one sample a line, so that records can be compared by eye."""
        head = json.dumps({"about": self.about, "engines": self.engines, "summary": self.summary()}, indent=1)
        lines = ",\n".join("  " + json.dumps(asdict(sample)) for sample in self.samples)
        text = f'{head[:-2]},\n "samples": [\n{lines}\n ]\n}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())

    def tell(self, about: dict[str, Any]) -> None:
        """Note the device; raises UsageError when the record is of another."""
        for key, value in about.items():
            if self.about.setdefault(key, value) != value:
                raise UsageError(
                    f"the record was taken with {key} {self.about[key]!r}, this is {value!r}",
                    hint="name a new file with --record",
                )

    def introduce(self, engine: str, *, version: str, weights: str, workload: str, size: int) -> None:
        """Note an engine and the bytes of its files; raises UsageError when its samples are of other ones."""
        told = self.engines.setdefault(
            engine, {"version": version, "weights": weights, "bytes_on_disk": {workload: size}}
        )
        if told["version"] != version:
            raise UsageError(
                f"the record holds {engine} {told['version']}, this is {version}", hint=f"--forget {engine}"
            )
        told["bytes_on_disk"][workload] = size

    def forget(self, engine: str) -> None:
        """Drop the samples of an engine, to take them anew."""
        self.samples = [sample for sample in self.samples if sample.engine != engine]
        self.engines.pop(engine, None)

    def has(self, workload: str, part: str, engine: str, number: int) -> bool:
        """Whether that sample was taken."""
        return (workload, part, engine, number) in {sample.place for sample in self.samples}

    def add(self, sample: Sample) -> None:
        """Take in a sample; raises UsageError when there is one of that round."""
        if self.has(*sample.place):
            raise UsageError(f"the record has {sample.place} already", hint="--forget drops samples")
        self.samples.append(sample)

    def spreads(self, workload: str) -> dict[str, dict[str, Spread]]:
        """Engine -> value -> spread, over the samples of every part that tells the value.

        Of memory only the part that needs most counts: a process that asks once needs less than one that asks
        eight times.
        """
        held: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for sample in self.samples:
            if sample.workload == workload:
                for name, value in sample.values.items():
                    held[sample.engine, name][sample.part].append(value)
        found: dict[str, dict[str, Spread]] = defaultdict(dict)
        for (engine, name), by_part in held.items():
            if name.endswith("_bytes"):
                found[engine][name] = max(map(Spread.of, by_part.values()), key=lambda one: one.median)
            else:
                found[engine][name] = Spread.of(value for values in by_part.values() for value in values)
        return dict(found)

    def summary(self) -> dict[str, Any]:
        """Workload -> engine -> value -> spread, in JSON types."""
        workloads = dict.fromkeys(sample.workload for sample in self.samples)
        return {
            workload: {
                engine: {name: asdict(spread) for name, spread in values.items()}
                for engine, values in self.spreads(workload).items()
            }
            for workload in workloads
        }
