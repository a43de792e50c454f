"""OpenVINO's form of a model: int4 language model, the rest int8. Runs in OpenVINO's environment.

`optimum-cli export openvino` holds all parts of a model in memory at once, for 3 G parameters over 16 GB.
So it is called twice, on the model with one decoder layer and on the model with one block in its tower, and
the whole parts of both are put together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

INT4 = ("--weight-format", "int4", "--group-size", "128", "--ratio", "1.0", "--sym")
LANGUAGE = "openvino_language_model"


def variant(source: Path, folder: Path, change: dict[str, Any]) -> Path:
    """The model with another config.json, its other files linked."""
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    vision = config["vision_config"] | change.get("vision_config", {})
    folder.mkdir()
    for file in source.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file.resolve())
    text = json.dumps(config | change | {"vision_config": vision})
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


def export_apart(source: Path, target: Path) -> None:
    """Export both variants, each in a process of its own, and move the language model into the first."""
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        folder = Path(made)
        tower = variant(source, folder / "tower", {"num_hidden_layers": 1, "max_window_layers": 1})
        language = variant(source, folder / "language", {"vision_config": {"depth": 1}})
        for one in (tower, language):
            subprocess.run([sys.executable, __file__, "--whole", one, f"{one}-openvino"], check=True)
        whole, other = folder / "tower-openvino", folder / "language-openvino"
        for file in other.glob(f"{LANGUAGE}.*"):
            file.replace(whole / file.name)
        told = [json.loads((one / "config.json").read_text(encoding="utf-8")) for one in (whole, other)]
        config = told[1] | {"vision_config": told[0]["vision_config"]}
        (whole / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        whole.replace(target)


def export_whole(source: str, target: str) -> None:
    """The command line of optimum.

    A PyPI torchvision is linked against CUDA; beside a CPU torch its compiled operators do not load, and only
    two of their schemas are missed when it is imported.
    """
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from optimum.commands.optimum_cli import main

    task = ("--task", "image-text-to-text")
    sys.argv = ["optimum-cli", "export", "openvino", "--model", source, *task, *INT4, target]
    main()


if __name__ == "__main__":
    if sys.argv[1] == "--whole":
        export_whole(*sys.argv[2:])
    else:
        export_apart(*map(Path, sys.argv[1:]))
