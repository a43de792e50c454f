"""What `import galago` gives, and what it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import galago

SURFACE = [
    "Answer",
    "Box",
    "ConfigError",
    "ContextLengthError",
    "DeviceError",
    "DeviceState",
    "EncodedImage",
    "FeaturesError",
    "FetchError",
    "GalagoError",
    "GalagoWarning",
    "GarbageError",
    "Memory",
    "MissingDependencyError",
    "Model",
    "ModelError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "PictureError",
    "PictureLimits",
    "Reading",
    "SamplingParams",
    "SchemaError",
    "Timings",
    "TrainingError",
    "Usage",
    "UsageError",
    "WeightError",
    "__version__",
    "convert",
    "load",
]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_surface_is_exactly_this():
    assert sorted(galago.__all__) == sorted(SURFACE)
    assert dir(galago) == galago.__all__


@pytest.mark.parametrize("name", [name for name in SURFACE if name != "__version__"])
def test_every_public_name_says_what_it_is(name):
    assert getattr(galago, name).__doc__


@pytest.mark.parametrize("first", ["convert", "compress", "load"])
def test_a_name_is_the_same_whatever_was_imported_before(first):
    code = f"import galago; galago.{first}" if first != "compress" else "import galago.compress"
    told = run(f"{code}\nimport galago; print(galago.convert.__module__, galago.PictureLimits.__name__)")
    assert told.split() == ["galago.compress.conversion", "PictureLimits"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = galago.lod


def test_importing_galago_imports_nothing_heavy():
    heavy = {"numpy", "PIL", "click", "rich", "tokenizers", "torch", "dataclasses"}
    loaded = run("import sys, galago; print(*sys.modules)").split()
    assert not heavy & set(loaded)


def test_every_error_a_user_meets_is_public():
    from galago import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert tree <= set(galago.__all__)


def test_the_version_is_the_packages():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.*)"$', text, re.MULTILINE)[1] == galago.__version__
