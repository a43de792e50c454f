"""What is measured of every engine, in its own process: a job comes in as JSON, the last line is a sample.

Only the standard library is imported here. Times are wall seconds; a key says what it counts from.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Values = dict[str, float]
PR_SET_PDEATHSIG = 1
"""Of sys/prctl.h."""
PROCESS = "process"
COLD = "cold"
ANSWERS = "answers"
EIGHT_QUESTIONS = "eight-questions"
EIGHT_PICTURES = "eight-pictures"


@dataclass(frozen=True)
class Job:
    """One process's work. `spawned` is `time.time()` of its start; pictures and questions are at least 9."""

    part: str
    model: str
    pictures: list[str]
    questions: list[str]
    new_tokens: int
    threads: int
    spawned: float
    options: dict[str, Any]


class Driver(ABC):
    """One engine, loaded. Each answer is greedy and has exactly `job.new_tokens` tokens.

    What stands here is what an engine does that takes one prompt at a time, does not count its work, and
    starts nothing.
    """

    pid: int
    """The process whose memory counts."""

    def __init__(self, job: Job) -> None:
        self.pid = os.getpid()
        self.job = job

    @abstractmethod
    def ask(self, picture: str, question: str) -> Values:
        """Answer; of `vision_s`, `prefill_s`, `first_token_s`, `decode_tokens_per_s`, what can be told."""

    def ask_many(self, pairs: list[tuple[str, str]]) -> None:
        """Answer all pairs in the engine's best way."""
        for picture, question in pairs:
            self.ask(picture, question)

    def work(self, _picture: str) -> Values:
        """What an answer about the picture takes in operations and bytes, where that can be counted."""
        return {}

    def close(self) -> None:  # noqa: B027 - most start nothing that must be ended
        """End what was started."""


def end_with_parent() -> None:
    """Have the system kill this process when its parent ends, however that ends; nothing where it cannot."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError, TypeError):  # not Linux
        return


def run(load: Callable[[Job], Driver]) -> None:
    """The program of every driver: read the job from stdin, measure it, print the sample."""
    job = Job(**json.load(sys.stdin))
    driver = load(job)
    try:
        loaded_s = time.time() - job.spawned
        values = measure(driver, job) | memory(driver.pid)
        values["cold_load_s" if job.part == COLD else "load_s"] = loaded_s
        if job.part == ANSWERS:  # last: counting needs memory of its own
            values |= driver.work(job.pictures[1])
    finally:
        driver.close()
    print("\n" + json.dumps(values), flush=True)
    os._exit(0)  # some engines crash in their destructors, after everything has been said


def measure(driver: Driver, job: Job) -> Values:
    """The values of one part."""
    first, second, *others = job.pictures
    question, next_question = job.questions[:2]
    if job.part == COLD:
        driver.ask(first, question)
        return {"cold_start_to_answer_s": time.time() - job.spawned}
    if job.part == PROCESS:
        driver.ask(first, question)
        return {}
    values = {"first_in_process_s": timed(driver, first, question)["total_s"]}
    if job.part == ANSWERS:
        values |= timed(driver, second, question)
        return values | {"second_question_s": timed(driver, second, next_question)["total_s"]}
    pairs = {
        EIGHT_QUESTIONS: [(second, one) for one in job.questions[:8]],
        EIGHT_PICTURES: [(one, question) for one in others[:8]],
    }[job.part]
    began = time.perf_counter()
    driver.ask_many(pairs)
    return {f"{job.part.replace('-', '_')}_s": time.perf_counter() - began}


def timed(driver: Driver, picture: str, question: str) -> Values:
    """One answer, with its wall time as `total_s`."""
    began = time.perf_counter()
    values = driver.ask(picture, question)
    return values | {"total_s": time.perf_counter() - began}


def check_count(got: int, job: Job) -> None:
    """Raise RuntimeError unless an answer has the tokens that were asked for."""
    if got != job.new_tokens:
        raise RuntimeError(f"{got} new tokens where {job.new_tokens} were asked for")


def memory(pid: int) -> Values:
    """Peak resident bytes and anonymous bytes of a process."""
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        if name in {"VmHWM", "RssAnon", "VmSwap"}:
            fields[name] = 1024 * int(rest.split()[0])
    return {"peak_bytes": fields["VmHWM"], "anonymous_bytes": fields["RssAnon"] + fields.get("VmSwap", 0)}


def forget_files(folder: Path) -> None:
    """Drop a model's files from the file cache, as far as no other process maps them."""
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remember_files(folder: Path) -> int:
    """Touch a model's files through a mapping, so that they are in the file cache; the bytes touched.

    In large pages where the system has them, for all engines alike: what comes from the disk through small
    ones is read more slowly by whoever maps it later.
    """
    total = 0
    for path in _files(folder):
        size = path.stat().st_size
        if size == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapping:
            with suppress(AttributeError, OSError):  # a system without large pages
                mapping.madvise(mmap.MADV_HUGEPAGE)
            sum(mapping[at] for at in range(0, size, mmap.PAGESIZE))
            total += size
    return total


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
