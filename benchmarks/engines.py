"""Which engines there are, where each keeps its environment and its models, and how it is started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = Path(sys.executable)

VERSIONS: Final = (
    "import importlib.metadata as m, json, sys;"
    "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
)


def models_folder() -> Path:
    """Where models are made: $GALAGO_BENCH, by default in the user's cache folder."""
    return Path(os.environ.get("GALAGO_BENCH") or Path.home() / ".cache/galago/bench")


def peers_folder() -> Path:
    """Where the peers are installed: $GALAGO_PEERS, by default in the user's cache folder."""
    return Path(os.environ.get("GALAGO_PEERS") or Path.home() / ".cache/galago/peers")


@dataclass(frozen=True)
class Engine:
    """One engine. `driver` is a module of `drivers`; `suffix` makes its form of a model: "w1" + "-q4".

    `binary`, where the engine has one, answers one question as a whole process.
    """

    name: str
    driver: str
    suffix: str
    weights: str
    python: Path
    packages: tuple[str, ...] = ()
    binary: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def model(self, workload: str, models: Path) -> Path:
        """Where its form of a workload's model is."""
        return models / f"{workload}{self.suffix}"

    def missing(self, workload: str, models: Path) -> str | None:
        """Why it cannot run; None when it can."""
        if not self.python.exists() or (self.binary is not None and not self.binary.exists()):
            return f"not installed: benchmarks/peers/setup {self.name}"
        if not self.model(workload, models).exists():
            return f"{self.model(workload, models)} is missing: benchmarks/prepare {workload}"
        return None

    def whole(self, model: Path, picture: Path, question: str, new_tokens: int, threads: int) -> list[str]:
        """The command of a whole process, for an engine with a `binary`."""
        assert self.binary is not None, self.name
        asked = (str(picture), question)
        if self.driver == "galago":
            length = ("--max-tokens", str(new_tokens), "--min-tokens", str(new_tokens))
            length += ("--threads", str(threads))
            return [str(self.binary), "ask", *asked, "-m", str(model), *length, "--no-cache", "--json"]
        return [
            str(self.binary),
            *("-m", str(model / "model.gguf"), "--mmproj", str(model / "mmproj.gguf"), "--image", asked[0]),
            *("-p", question, "-n", str(new_tokens), "--temp", "0", "--ignore-eos", "-c", "1024"),
            *("-t", str(threads), "-tb", str(threads), "-lv", "4"),  # which tells how many were written
        ]

    def tokens_written(self, said: str, complained: str) -> int:
        """New tokens of the answer that `whole` gave, from its stdout and stderr; 0 where untold."""
        if self.driver == "galago":
            return int(json.loads(said)["usage"]["completion_tokens"])
        runs = re.search(r" eval time =.*/ *(\d+) runs", complained)  # the first token is the prompt's
        return 1 + int(runs[1]) if runs else 0

    def versions(self) -> dict[str, str]:
        """Package -> version in its environment."""
        if not self.packages:
            return {}
        command = [str(self.python), "-c", VERSIONS, *self.packages]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(told.stdout))

    def bytes_on_disk(self, workload: str, models: Path) -> int:
        """Size of its form of a model, tokenizer and all; links are followed."""
        return sum(path.stat().st_size for path in self.model(workload, models).rglob("*") if path.is_file())


def engines() -> dict[str, Engine]:
    """All of them by name, Galago first, installed or not."""
    peers = peers_folder()
    llama = peers / "llama.cpp/build/bin"
    found = (
        Engine("galago", "galago", "-q4", "q4, tower q8", PYTHON, binary=PYTHON.parent / "galago"),
        Engine(
            "llama.cpp", "llamacpp", "-llama.cpp", "Q4_0, tower q8_0", PYTHON,
            binary=llama / "llama-mtmd-cli", options={"binaries": str(llama)},
        ),
        Engine(
            "openvino", "openvino", "-openvino", "int4 (128), rest int8", peers / "openvino/bin/python",
            ("openvino", "openvino-genai"),
        ),
        Engine("mnn", "mnn", "-mnn", "int4 (64), tower int8", peers / "mnn/bin/python", ("MNN",)),
        Engine("transformers", "transformers", "", "bf16", PYTHON, ("torch", "transformers")),
    )  # fmt: skip
    return {engine.name: engine for engine in found}
