"""Galago and transformers on one GPU: the same checkpoint, pictures and lengths, in turn, a process each.

    python benchmarks/cuda.py MODEL --record benchmarks/records/cuda.json

One JSON record and one Markdown table come of it. `--device torch-cpu` runs the same program without a GPU,
to see that it works: its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Values = dict[str, "float | None"]

QUESTION = "What is in the picture?"
SIDES = ("galago bf16", "galago q8", "galago q4", "transformers bf16")
"""An engine and what its weights are; the last one is what the others are divided by."""
COLUMNS = {
    "load_s": ("load, s", 2),
    "first_token_s": ("first token, s", 3),
    "answer_s": ("short answer, s", 3),
    "decode_tokens_per_s": ("decode, tokens/s", 1),
    "pictures_per_s": ("pictures together, 1/s", 2),
    "frames_per_s": ("video, frames/s", 1),
    "gpu_peak_bytes": ("peak on the GPU, GB", 2),
}
"""A key of the record -> what the table calls it, and its digits."""


class Side(Protocol):
    """One engine with its model loaded; every answer is greedy and has exactly so many tokens."""

    def ask(self, picture: Pixels, tokens: int) -> tuple[float, float]:
        """Answer about one picture -> (seconds to the first token, seconds of the tokens after it)."""
        ...

    def ask_together(self, pictures: Sequence[Pixels], tokens: int) -> None:
        """Answer about each of several pictures of one size."""
        ...

    def watch(self, frames: Sequence[Pixels], tokens: int) -> None:
        """Answer about a video of two frames a second."""
        ...

    def peak_bytes(self) -> int | None:
        """The most that arrays took on the GPU."""
        ...


def main() -> None:
    """Measure every side in turn, print the table, keep the record where asked; or be one side's process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a folder that both engines can load")
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=SIDES, metavar="SIDE", help=", ".join(SIDES)
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or torch-cpu to try the program")
    parser.add_argument("--runs", type=int, default=3, help="processes of each side")
    parser.add_argument("--pixels", type=int, default=504, help="width and height of a picture")
    parser.add_argument(
        "--tokens", type=int, default=64, help="tokens of an answer whose decoding is measured"
    )
    parser.add_argument("--short", type=int, default=8, help="tokens of a short answer")
    parser.add_argument("--together", type=int, default=32, help="pictures asked about together")
    parser.add_argument("--frames", type=int, default=32, help="frames of the video")
    parser.add_argument("--record", type=Path, help="write the numbers as JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(measure(options)))
        return
    record = measured(options)
    print(table(record))
    if options.record:
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The record: every run of every side, A B A B, and what it ran on. A side that fails says why."""
    samples: dict[str, list[Values]] = {side: [] for side in options.sides}
    failures: dict[str, str] = {}
    for seed in range(options.runs):
        for side in options.sides:
            command = [sys.executable, *sys.argv, "--side", side, "--seed", str(seed)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                failures[side] = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            else:
                samples[side].append(json.loads(done.stdout.splitlines()[-1]))
    given = {key: value for key, value in vars(options).items() if key not in {"record", "side", "seed"}}
    return {"options": given, "machine": machine(options.device), "samples": samples, "failures": failures}


def measure(options: argparse.Namespace) -> Values:
    """One process: load, warm up on shapes that come again, then each column once with new pictures."""
    began = time.perf_counter()
    engine, weights = options.side.split()
    side: Side = {"galago": Galago, "transformers": Transformers}[engine](
        options.model, weights, options.device
    )
    loaded = time.perf_counter()
    draw = pictures(options.pixels, options.seed)
    side.ask(draw(), options.tokens)
    side.ask_together([draw() for _ in range(options.together)], options.short)
    frames = [draw() for _ in range(options.frames)]
    side.watch(frames, options.short)
    first, rest = side.ask(draw(), options.tokens)
    short = sum(side.ask(draw(), options.short))
    many = [draw() for _ in range(options.together)]
    together = seconds(lambda: side.ask_together(many, options.short))
    watched = [draw() for _ in range(options.frames)]
    video = seconds(lambda: side.watch(watched, options.short))
    return {
        "load_s": loaded - began,
        "first_token_s": first,
        "answer_s": short,
        "decode_tokens_per_s": (options.tokens - 1) / rest,
        "pictures_per_s": len(many) / together,
        "frames_per_s": len(watched) / video,
        "gpu_peak_bytes": side.peak_bytes(),
    }


class Galago:
    """Ours. Nothing is kept on disk, so that every picture is looked at."""

    def __init__(self, model: str, weights: str, device: str) -> None:
        import galago

        self._model = galago.load(model, device=device, weights=weights, cache=False)
        self._peak: int | None = None

    def ask(self, picture: Pixels, tokens: int) -> tuple[float, float]:
        """As the record of the answer says it."""
        answer = self._model.ask(picture, QUESTION, max_tokens=tokens, min_tokens=tokens)
        self._peak = answer.memory.gpu_peak_bytes
        assert answer.usage.completion_tokens == tokens, answer
        assert answer.timings.first_token_s is not None
        assert answer.timings.decode_s is not None
        return answer.timings.first_token_s, answer.timings.decode_s

    def ask_together(self, pictures: Sequence[Pixels], tokens: int) -> None:
        """One call of `ask_many`."""
        pairs = [(picture, QUESTION) for picture in pictures]
        answers = self._model.ask_many(pairs, max_tokens=tokens, min_tokens=tokens)
        self._peak = answers[-1].memory.gpu_peak_bytes

    def watch(self, frames: Sequence[Pixels], tokens: int) -> None:
        """A chat about a video."""
        parts = [{"type": "video", "video": list(frames), "fps": 2.0}, {"type": "text", "text": QUESTION}]
        answer = self._model.chat([{"role": "user", "content": parts}], max_tokens=tokens, min_tokens=tokens)
        self._peak = answer.memory.gpu_peak_bytes

    def peak_bytes(self) -> int | None:
        """Of the whole process so far."""
        return self._peak


class Transformers:
    """The reference in bf16. Prompts are put together by hand, as its processor classes need torchvision."""

    def __init__(self, model: str, weights: str, device: str) -> None:
        import torch
        import transformers

        assert weights == "bf16"
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self._torch = torch
        self._device = torch.device("cpu" if device == "torch-cpu" else device)
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model)
        self._images: Any = transformers.Qwen2VLImageProcessorPil.from_pretrained(model)
        network: Any = transformers.AutoModelForImageTextToText.from_pretrained(model, dtype=torch.bfloat16)
        network.generation_config.eos_token_id = None  # as many tokens as asked for
        self._network = network.to(self._device).eval()

    def ask(self, picture: Pixels, tokens: int) -> tuple[float, float]:
        """Stamps are taken when each token's logits have been computed."""
        stamps: list[float] = []

        def stamp(_ids: Any, scores: Any) -> Any:
            self._wait()
            stamps.append(time.perf_counter())
            return scores

        began = time.perf_counter()
        self._generate(self._inputs([picture]), tokens, [stamp])
        return stamps[0] - began, time.perf_counter() - stamps[0]

    def ask_together(self, pictures: Sequence[Pixels], tokens: int) -> None:
        """Eight at a time, as one batch: they have one size, so nothing is padded."""
        for start in range(0, len(pictures), 8):
            self._generate(self._inputs(pictures[start : start + 8]), tokens)

    def watch(self, frames: Sequence[Pixels], tokens: int) -> None:
        """Two frames share a patch."""
        self._generate(self._inputs([list(frames)]), tokens)

    def peak_bytes(self) -> int | None:
        """Of the whole process so far."""
        return None if self._device.type == "cpu" else self._torch.cuda.max_memory_allocated(self._device)

    def _generate(self, inputs: dict[str, Any], tokens: int, processors: Sequence[Any] = ()) -> None:
        with self._torch.inference_mode():
            made = self._network.generate(
                **inputs,
                max_new_tokens=tokens,
                do_sample=False,
                logits_processor=list(processors),
                pad_token_id=0,
            )
        assert made.shape[1] == inputs["input_ids"].shape[1] + tokens
        self._wait()

    def _inputs(self, looks: Sequence[Pixels | list[Pixels]]) -> dict[str, Any]:
        """A prompt for each picture or list of frames; all of one shape."""
        kind = "video" if isinstance(looks[0], list) else "image"
        patches, grids = zip(*[self._patches(look) for look in looks], strict=True)
        message = {"role": "user", "content": [{"type": kind}, {"type": "text", "text": QUESTION}]}
        text = self._tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        pad = f"<|{kind}_pad|>"
        count = int(grids[0].prod()) // self._images.merge_size**2
        ids = self._tokenizer(text.replace(pad, pad * count))["input_ids"]
        rows = self._torch.tensor([ids] * len(looks))
        is_visual = rows == self._tokenizer.convert_tokens_to_ids(pad)
        suffix = "_videos" if kind == "video" else ""
        inputs = {
            "input_ids": rows,
            "attention_mask": self._torch.ones_like(rows),
            "mm_token_type_ids": is_visual.int() * (2 if kind == "video" else 1),
            f"pixel_values{suffix}": self._torch.from_numpy(np.concatenate(patches)),
            f"{kind}_grid_thw": self._torch.from_numpy(np.stack(grids)),
        }
        return {name: value.to(self._device) for name, value in inputs.items()}

    def _patches(self, look: Pixels | list[Pixels]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """A picture, or frames in the two temporal slots of a patch: patches [P, values] and grid [3]."""
        from PIL import Image

        frames = look if isinstance(look, list) else [look]
        done = self._images(images=[Image.fromarray(frame) for frame in frames], return_tensors="np")
        values = np.asarray(done["pixel_values"], np.float32)
        grids = np.asarray(done["image_grid_thw"], np.int64)
        if not isinstance(look, list):
            return values, grids[0]
        slots = values.reshape(len(frames) // 2, 2, int(grids[0].prod()), 3, 2, -1)[:, :, :, :, 0]
        both = slots.transpose(0, 2, 3, 1, 4)  # [time, P, channel, slot, pixels]
        return np.ascontiguousarray(both).reshape(-1, values.shape[1]), grids[0] * [len(frames) // 2, 1, 1]

    def _wait(self) -> None:
        if self._device.type != "cpu":
            self._torch.cuda.synchronize(self._device)


def pictures(pixels: int, seed: int) -> Callable[[], Pixels]:
    """Draws a new picture [pixels, pixels, 3] of coloured blocks at each call."""
    random = np.random.default_rng(seed)

    def draw() -> Pixels:
        blocks = random.integers(0, 256, (pixels // 20 + 1, pixels // 20 + 1, 3), dtype=np.uint8)
        return np.ascontiguousarray(np.kron(blocks, np.ones((20, 20, 1), np.uint8))[:pixels, :pixels])

    return draw


def seconds(work: Callable[[], None]) -> float:
    """Wall seconds of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def machine(device: str) -> dict[str, Any]:
    """What was measured on."""
    import torch

    from galago.bench.facts import commit
    from galago.device import gpu_driver

    return {
        "gpu": None if device == "torch-cpu" else torch.cuda.get_device_name(torch.device(device)),
        "driver": gpu_driver().value,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "commit": commit(),
    }


def table(record: dict[str, Any]) -> str:
    """Medians in Markdown, a side in each row; behind the last side's rows the ratio to it."""
    judge = next((side for side in record["samples"] if side.startswith("transformers")), None)
    lines = [
        "| side | " + " | ".join(label for label, _ in COLUMNS.values()) + " |",
        "| --- |" + " ---: |" * len(COLUMNS),
    ]
    for side, samples in record["samples"].items():
        if not samples:
            lines.append(f"| {side} | not measured: {record['failures'].get(side, '')} |")
            continue
        cells = []
        for key, (_, digits) in COLUMNS.items():
            ours, theirs = (middle(record["samples"].get(one) or [], key) for one in (side, judge))
            scale = 1e-9 if key.endswith("bytes") else 1
            shown = "" if ours is None else f"{ours * scale:.{digits}f}"
            is_ratio = ours is not None and theirs and side != judge
            cells.append(shown + (f" ({ours / theirs:.2f}x)" if is_ratio else ""))
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def middle(samples: Sequence[Values], key: str) -> float | None:
    """The median of a column; None where it was not measured."""
    found = [sample[key] for sample in samples]
    values = [value for value in found if value is not None]
    return statistics.median(values) if values else None


if __name__ == "__main__":
    main()
