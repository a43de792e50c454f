"""Runs Galago and the installed peers in turn on one workload, and keeps what they took in a record.

    .venv/bin/python -m benchmarks.run w1 --record FILE --rounds 3

Every sample is a process of its own, and the engines take turns within a round, each round another first
(A B B A). The same call goes on where an earlier one stopped, so a long comparison may be taken in pieces
with --time-limit.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import ceilings
from benchmarks.drivers import common
from benchmarks.engines import ROOT, Engine, engines, models_folder
from benchmarks.process import Finished, ProcessFailedError, await_rest, finish, whole_process
from benchmarks.record import Record, Sample
from benchmarks.table import MACHINE, OURS, markdown
from benchmarks.workloads import QUESTIONS, WORKLOADS, Workload, pictures
from galago import device
from galago.bench.facts import commit
from galago.errors import GalagoError

if TYPE_CHECKING:
    from benchmarks.sieve import Sieve

PARTS: Final = (common.PROCESS, common.COLD, common.ANSWERS, common.EIGHT_QUESTIONS, common.EIGHT_PICTURES)
CEILINGS: Final = "ceilings"


@dataclass(frozen=True)
class Turn:
    """One sample to take."""

    part: str
    engine: str
    round: int


def turns(parts: list[str], names: list[str], rounds: int) -> Iterator[Turn]:
    """Every sample in order: rounds, parts, engines; the ceilings before each round and at the end.

    Each round begins with the next engine: what comes first finds the memory that the ceilings gave back.
    """
    for number in range(1, rounds + 1):
        yield Turn(CEILINGS, MACHINE, number)
        first = (number - 1) % max(1, len(names))
        for part in parts:
            yield from (Turn(part, name, number) for name in names[first:] + names[:first])
    yield Turn(CEILINGS, MACHINE, rounds + 1)


@dataclass
class Comparison:
    """The engines, their models, and the pictures they are shown."""

    workload: Workload
    models: Path
    engines: dict[str, Engine]
    pictures: list[Path]
    sieve: Sieve | None = None
    """Memory that is kept from the engines; the samples of the ceilings tell of it."""

    def take(self, turn: Turn) -> Sample:
        """Take one sample; raises ProcessFailedError."""
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if turn.part == CEILINGS:
            values, command = ceilings.measure(self.workload.threads), "python -m galago.bench"
            values |= {} if self.sieve is None else self.sieve.told()
        elif turn.part == common.PROCESS and self.engines[turn.engine].binary:
            values, command = self._binary(self.engines[turn.engine])
        else:
            values, command = self._driver(self.engines[turn.engine], turn.part)
        return Sample(
            self.workload.name, turn.part, turn.engine, turn.round, started, self._portable(command), values
        )

    def _binary(self, engine: Engine) -> tuple[dict[str, float], str]:
        load = self.workload
        model = engine.model(load.name, self.models)
        common.remember_files(model)
        await_rest()
        command = engine.whole(model, self.pictures[0], QUESTIONS[0], load.new_tokens, load.threads)
        done = whole_process(command)
        written = engine.tokens_written(done.said, done.complained)
        if written != load.new_tokens:
            raise ProcessFailedError(f"{written} new tokens where {load.new_tokens} were asked for")
        return _of_the_whole(done), " ".join(command)

    def _driver(self, engine: Engine, part: str) -> tuple[dict[str, float], str]:
        model = engine.model(self.workload.name, self.models)
        (common.forget_files if part == common.COLD else common.remember_files)(model)
        await_rest()
        job: dict[str, Any] = {
            "part": part,
            "model": str(model),
            "pictures": [str(path) for path in self.pictures],
            "questions": list(QUESTIONS),
            "new_tokens": self.workload.new_tokens,
            "threads": self.workload.threads,
            "options": engine.options,
        }
        command = [str(engine.python), "-m", f"benchmarks.drivers.{engine.driver}"]
        done = whole_process(command, lambda: json.dumps(job | {"spawned": time.time()}))
        if part == common.PROCESS:
            return _of_the_whole(done), " ".join(command)
        values = json.loads(done.said.strip().splitlines()[-1])
        return values | {"others_share": done.others_share}, " ".join(command)

    def _portable(self, command: str) -> str:
        """A command without this machine's folders."""
        for folder, name in ((self.models, "MODELS"), (ROOT, "."), (Path.home(), "~")):
            command = command.replace(str(folder), name)
        return command


def _of_the_whole(done: Finished) -> dict[str, float]:
    return {
        "process_s": done.seconds,
        "process_peak_bytes": done.peak_bytes,
        "others_share": done.others_share,
    }


def describe(comparison: Comparison, record: Record) -> None:
    """Note the device, and every engine's version, weights and size of files."""
    machine = device.machine()
    record.tell(
        {
            "processor": machine.processor,
            "cores": machine.cores,
            "threads": comparison.workload.threads,
        }
    )
    for name, engine in comparison.engines.items():
        workload = comparison.workload.name
        record.introduce(
            name,
            version=commit() or "unknown" if name == OURS else version(engine),
            weights=engine.weights,
            workload=workload,
            size=engine.bytes_on_disk(workload, comparison.models),
        )


def version(engine: Engine) -> str:
    """A peer's version: of its packages, or what its program says of itself."""
    packages = engine.versions()
    if packages:
        return ", ".join(f"{name} {number}" for name, number in packages.items())
    assert engine.binary is not None, engine.name
    told = subprocess.run(
        [engine.binary.parent / "llama-server", "--version"], capture_output=True, text=True, check=True
    )
    return (
        next(line for line in (told.stderr + told.stdout).splitlines() if "version" in line)
        .split(":")[-1]
        .strip()
    )


def main() -> int:
    """The program."""
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a process under way is ended too
    workload = WORKLOADS[options.workload]
    every = engines()
    wanted = options.engines.split(",") if options.engines else list(every)
    try:
        record = Record() if options.fresh else Record.read(options.record)
        for name in filter(None, options.forget.split(",")):
            record.forget(name)
        installed = {}
        for name in wanted:
            if why := every[name].missing(workload.name, options.models):
                print(f"{name} is left out: {why}", file=sys.stderr)
            else:
                installed[name] = every[name]
        paths = pictures(workload, options.models / "pictures")
        comparison = Comparison(workload, options.models, installed, paths)
        describe(comparison, record)
        if options.sieve:
            comparison.sieve = hold_back(workload.threads)
        done = take_all(comparison, record, options)
    except GalagoError as error:
        print(f"error: {error}" + (f"\n  try: {error.hint}" if error.hint else ""), file=sys.stderr)
        return 1
    text = markdown(record, workload.name)
    options.record.with_suffix(f".{workload.name}.md").write_text(text, encoding="utf-8")
    print(text)
    if not done:
        print("not complete: the same call goes on", file=sys.stderr)
    return 0


def hold_back(threads: int) -> Sieve:
    """Keep slow memory from the engines for as long as the result lives."""
    from benchmarks.sieve import sieve

    return sieve(threads)


def take_all(comparison: Comparison, record: Record, options: argparse.Namespace) -> bool:
    """Take what the record lacks, and write it after every sample; False where the time was too short."""
    began, slowest = time.monotonic(), dict[tuple[str, str], float]()
    for turn in turns(options.parts.split(","), list(comparison.engines), options.rounds):
        if record.has(comparison.workload.name, turn.part, turn.engine, turn.round):
            continue
        expected = slowest.get((turn.part, turn.engine), 0)
        if options.time_limit and time.monotonic() - began + expected > options.time_limit:
            return False
        start = time.monotonic()
        try:
            sample = comparison.take(turn)
        except ProcessFailedError as error:
            print(f"{turn.engine}, {turn.part}: {error}", file=sys.stderr)
            continue
        slowest[turn.part, turn.engine] = time.monotonic() - start
        record.add(sample)
        record.write(options.record)
        print(f"{turn.round} {turn.part} {turn.engine} {finish(sample.values)}", file=sys.stderr)
    return True


def parse() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", choices=list(WORKLOADS))
    parser.add_argument("--record", type=Path, required=True, help="JSON file, made or gone on with")
    parser.add_argument("--engines", help="names with commas; by default all that are installed")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=Path, default=models_folder())
    parser.add_argument("--fresh", action="store_true", help="begin the record anew")
    parser.add_argument("--forget", default="", metavar="ENGINES", help="drop their samples first")
    parser.add_argument("--sieve", action="store_true", help="hold back memory that is read slowly")
    parser.add_argument("--time-limit", type=float, metavar="S", help="start no sample after so many seconds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
