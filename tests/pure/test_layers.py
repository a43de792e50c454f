"""The map of rooms, read from the source: who may import whom, and how large a file may grow."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "galago"
MODULES = sorted(PACKAGE.rglob("*.py"))
FAMILIES = sorted(path.parent.name for path in PACKAGE.glob("models/*/__init__.py"))

LEVELS = {
    "errors": 0, "frozen": 0,
    "files": 1, "types": 1, "packing": 1,
    "kernels": 2,
    "formats": 3, "media": 3, "text": 3, "device": 3,
    "drawing": 4, "nn": 4,
    "models": 5,
    "engine": 6,
    "compress": 7, "export": 7, "tasks": 7,
    "evals": 8, "server": 8, "bench": 8,
    "fleet": 9, "train": 9, "scale": 9,
    "cli": 10,
}  # fmt: skip

ONLY_IN = {  # a package and the places that may import it
    "torch": ("kernels/torch_", "train/"),
    "triton": ("kernels/torch_triton.py",),
    "llguidance": ("engine/",),
    "tokenizers": ("text/", "train/"),
    "minijinja": ("text/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "transformers": (),
    "safetensors": (),
    "huggingface_hub": (),
}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[str]:
    """Full dotted names, imports inside functions included; `from a import b` gives `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its room"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def rooms_imported(path: Path) -> set[str]:
    return {full.split(".")[1] for full in imports(path) if full.startswith("galago.")}


in_rooms = pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent != PACKAGE or room(path) in LEVELS], ids=name
)
everywhere = pytest.mark.parametrize("path", MODULES, ids=name)


@in_rooms
def test_a_room_imports_rooms_of_a_lower_level_only(path):
    own = room(path)
    assert own in LEVELS, f"{own} is no room of the design"
    others = rooms_imported(path) - {own}
    if own == "cli":
        others &= LEVELS.keys()  # the one room that may use the public surface
    wrong = {other for other in others if LEVELS.get(other, 99) >= LEVELS[own]}
    assert not wrong, f"{name(path)} (level {LEVELS[own]}) imports {wrong}"


@everywhere
def test_a_package_is_imported_where_it_belongs_and_nowhere_else(path):
    packages = {full.split(".")[0] for full in imports(path)}
    for package in packages & ONLY_IN.keys():
        assert name(path).startswith(ONLY_IN[package] or "nowhere"), f"{name(path)} imports {package}"


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) == "models"], ids=name)
def test_models_never_meet_files(path):
    assert not rooms_imported(path) & {"formats", "device", "drawing"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_variant_of_at_most_one_other(family):
    files = (PACKAGE / "models" / family).rglob("*.py")
    used = {
        full.split(".")[2] for path in files for full in imports(path) if full.startswith("galago.models.")
    }
    assert len(used & set(FAMILIES) - {family}) <= 1


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) != "models"], ids=name)
def test_no_family_is_named_outside_models(path):
    words = set(re.findall(r"\w+", path.read_text(encoding="utf-8").lower()))
    assert not words & {*FAMILIES, "qwen2_vl", "qwen2_5_vl"}


@everywhere
def test_a_module_opens_with_what_it_is_for(path):
    docstring = ast.get_docstring(tree(path))
    assert docstring, f"{name(path)} has no opening lines"


@pytest.mark.parametrize(
    "path",
    [p for folder in ("src", "tests", "examples") for p in sorted((ROOT / folder).rglob("*.py"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_a_module_has_400_lines_and_a_function_60_at_most(path):
    assert path.read_text(encoding="utf-8").count("\n") <= 400
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


def test_the_architecture_page_tells_the_same_levels():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", page, re.MULTILINE)
    told = {word: int(level) for level, words in rows for word in re.findall(r"\w+(?=\.py|/)", words)}
    assert told == {name: level for name, level in LEVELS.items() if name in {room(path) for path in MODULES}}
