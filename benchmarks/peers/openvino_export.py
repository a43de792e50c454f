"""`optimum-cli export openvino`: int4 language model, the rest int8. Runs in OpenVINO's environment.

A PyPI torchvision is linked against CUDA; beside a CPU torch its compiled operators do not load, and only two
of their schemas are missed when it is imported.
"""

import sys

import torch

_LIBRARY = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from optimum.commands.optimum_cli import main  # noqa: E402 - after the schemas

INT4 = ("--weight-format", "int4", "--group-size", "128", "--ratio", "1.0", "--sym")

if __name__ == "__main__":
    source, target = sys.argv[1:]
    task = ("--task", "image-text-to-text")
    sys.argv = ["optimum-cli", "export", "openvino", "--model", source, *task, *INT4, target]
    main()
