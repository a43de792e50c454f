"""A pool of drawn pictures: one process keeps drawing shards, the trainer reads them.

Every picture is used several times, with other questions, before a newer shard replaces it. What is drawn
follows `mixture.json` in the pool's folder, which may be changed while both run.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import time
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galago.drawing import CellLabels, Drawing, Question, Split, draw
from galago.frozen import frozen

SHARD_PICTURES = 64
REST = 6.0
"""Once the pool is full, seconds of rest for each second of drawing.

A picture takes about 3 ms to draw and ten times that to learn from: a drawer that gets too little of the
machine lets pictures be learned by heart, one that rests less takes it from the learning (LOG 2026-11-28).
"""


@frozen
class Source:
    """What one kind of batch is drawn from: a recipe at one size (rows, cols in cells), with its share.

    `weight` is a share of the training pictures, `difficulty` the range it is drawn from, evenly.
    """

    recipe: str
    size: tuple[int, int]
    weight: float = 1.0
    difficulty: tuple[float, float] = (0.0, 1.0)
    fonts: str = "full"

    @property
    def key(self) -> str:
        """Names the shards of this recipe and size."""
        return f"{self.recipe}-{self.size[0]}x{self.size[1]}"


@frozen
class Shard:
    """Pictures of one source: pixels [n, H, W, 3], the labels of all, the questions of each."""

    pixels: NDArray[np.uint8]
    cells: CellLabels
    questions: list[tuple[Question, ...]]

    def __len__(self) -> int:
        return len(self.pixels)


def draw_shard(source: Source, first_seed: int, count: int, split: Split = Split.TRAIN) -> Shard:
    """`count` pictures with seeds from `first_seed` on; the same arguments give the same shard."""
    low, high = source.difficulty
    drawings = []
    for seed in range(first_seed, first_seed + count):
        difficulty = low + (high - low) * float(np.random.default_rng((seed, 77)).random())
        drawings.append(
            draw(
                source.recipe, seed, split=split, difficulty=difficulty, size=source.size, fonts=source.fonts
            )
        )
    return gather(drawings)


def gather(drawings: list[Drawing]) -> Shard:
    """Drawings of one size as a shard."""
    return Shard(
        np.stack([drawing.pixels for drawing in drawings]),
        CellLabels.stack([drawing.cells for drawing in drawings]),
        [drawing.questions for drawing in drawings],
    )


def pick(shards: list[Shard], rng: np.random.Generator, count: int) -> Shard:
    """`count` pictures chosen from several shards of one source."""
    which = rng.integers(len(shards), size=count)
    chosen = [(shards[w], int(rng.integers(len(shards[w])))) for w in which]
    return gather([Drawing(s.pixels[i], s.questions[i], s.cells[i]) for s, i in chosen])


def save_shard(path: Path, shard: Shard) -> None:
    """Write a shard so that a reader sees all of it or nothing."""
    text = json.dumps([[list(asdict(q).values()) for q in questions] for questions in shard.questions])
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            pixels=shard.pixels,
            **vars(shard.cells),
            questions=np.frombuffer(text.encode(), np.uint8),
        )
    temporary.replace(path)


def load_shard(path: Path) -> Shard:
    """Read what `save_shard` wrote."""
    with np.load(path) as file:
        text = json.loads(file["questions"].tobytes())
        questions = [tuple(Question(*values) for values in picture) for picture in text]
        cells = CellLabels(**{field.name: file[field.name] for field in fields(CellLabels)})
        return Shard(file["pixels"], cells, questions)


def write_mixture(folder: Path, sources: list[Source]) -> None:
    """Tell the drawer what is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "mixture.tmp"
    temporary.write_text(json.dumps([asdict(source) for source in sources], indent=1))
    temporary.replace(folder / "mixture.json")


def read_mixture(folder: Path) -> list[Source]:
    """What is wanted now."""
    values = json.loads((folder / "mixture.json").read_text())
    return [Source(**{**v, "size": tuple(v["size"]), "difficulty": tuple(v["difficulty"])}) for v in values]


def keep_drawing(folder: Path, seed: int, shards_kept: int) -> None:
    """Draw shards for ever, each time of the source that is furthest behind its share of the pool.

    The body of the drawing process; ends when its parent has gone.
    """
    parent = os.getppid()
    number = max((int(p.stem.split("~")[1]) for p in folder.glob("*~*.npz")), default=-1) + 1
    drawn: dict[str, float] = {}
    while os.getppid() == parent:
        sources = read_mixture(folder)
        have = {source.key: len(list(folder.glob(f"{source.key}~*.npz"))) for source in sources}
        source = min(
            sources, key=lambda s: (min(have[s.key], 2), (drawn.get(s.key, 0) + 1) / max(s.weight, 1e-9))
        )
        started = time.monotonic()
        shard = draw_shard(source, (seed << 32) + number * SHARD_PICTURES, SHARD_PICTURES)
        save_shard(folder / f"{source.key}~{number:07d}.npz", shard)
        drawn[source.key] = drawn.get(source.key, 0) + 1
        number += 1
        _retire(folder, source, _kept(source, sources, shards_kept))
        with (folder / "drawn.jsonl").open("a") as log:
            record = {
                "key": source.key,
                "seconds": round(time.monotonic() - started, 3),
                "pictures": len(shard),
            }
            log.write(json.dumps(record) + "\n")
        if all(have[s.key] >= _kept(s, sources, shards_kept) for s in sources):
            time.sleep(REST * (time.monotonic() - started))  # the pool is full: only keep it fresh


def _kept(source: Source, sources: list[Source], shards_kept: int) -> int:
    return max(4, round(shards_kept * source.weight / sum(s.weight for s in sources)))


def _retire(folder: Path, source: Source, keep: int) -> None:
    for path in sorted(folder.glob(f"{source.key}~*.npz"))[:-keep]:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


class Pool:
    """The trainer's view: the newest shards of every source in memory, refreshed now and then.

    `shards_kept` bounds the shards of all sources together. With `background` False nothing is drawn beside
    the caller: missing shards are drawn on demand, which makes a run repeatable. With `draws` False another
    process keeps the pool.
    """

    def __init__(
        self,
        folder: Path,
        sources: list[Source],
        *,
        seed: int,
        shards_kept: int = 400,
        background: bool = True,
        draws: bool = True,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.background = background
        self.sources = sources
        self.shards: dict[str, dict[str, Shard]] = {}
        self._looked = 0.0
        self._process: multiprocessing.process.BaseProcess | None = None
        if background and draws:
            write_mixture(folder, sources)
            (folder / "drawn.jsonl").touch()
            self._process = multiprocessing.get_context("spawn").Process(
                target=keep_drawing, args=(folder, seed, shards_kept), daemon=True
            )
            self._process.start()

    def ready(self) -> list[Source]:
        """The sources of which there is at least one shard."""
        if self.background:
            self._refresh()
            return [source for source in self.sources if self.shards.get(source.key)]
        for source in self.sources:
            if source.key not in self.shards:
                self.shards[source.key] = {"0": draw_shard(source, self.seed << 32, SHARD_PICTURES // 4)}
        return self.sources

    def pick(self, source: Source, rng: np.random.Generator, count: int) -> Shard:
        """`count` pictures of one source, with repetition across calls."""
        return pick(list(self.shards[source.key].values()), rng, count)

    def age_s(self) -> float:
        """Seconds since the newest shard was drawn: a pool that grows old is learned by heart."""
        newest = max((path.stat().st_mtime for path in self.folder.glob("drawn.jsonl")), default=time.time())
        return time.time() - newest

    def close(self) -> None:
        """Stop the drawing process."""
        if self._process is not None:
            self._process.terminate()
            self._process.join()

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < 10:
            return
        self._looked = time.monotonic()
        self.sources = read_mixture(self.folder)
        for source in self.sources:
            names = {path.name: path for path in self.folder.glob(f"{source.key}~*.npz")}
            held = self.shards.setdefault(source.key, {})
            for name in held.keys() - names.keys():
                del held[name]
            for name in names.keys() - held.keys():
                with contextlib.suppress(FileNotFoundError):
                    held[name] = load_shard(names[name])
