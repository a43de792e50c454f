"""What the documents say is so: links, generated pages, and the commands with their options."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from galago import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
GENERATED = ("docs/cli.md", "docs/record.md", "docs/support.md")


def relative(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path, language):
    """The fenced blocks of a language, without their fences."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands():
    """Every command line of ours that a document shows, with the page it stands on."""
    for path in PAGES:
        for block in blocks(path, r"\w*"):
            for line in block.replace("\\\n", " ").splitlines():
                text = line.removeprefix("$ ")
                if text.startswith("galago "):
                    yield pytest.param(text, id=f"{relative(path)}: {text}"[:70])


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_every_link_inside_the_tree_leads_somewhere(path):
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http:", "https:", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_shown_is_one_that_exists(line):
    name, *words = shlex.split(line.partition("|")[0].partition(" > ")[0], comments=True)[1:]
    command = cli.application().get_command(None, name)
    assert command is not None, f"there is no command {name}"
    command.make_context(name, words)  # raises where an option or an argument is not one of the command's


@pytest.mark.parametrize("name", GENERATED)
def test_generated_pages_are_what_the_code_says(name):
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert (ROOT / name).read_text(encoding="utf-8") == reference.PAGES[name](), "run scripts/docs"


def test_the_table_of_nano_is_its_record():
    record = json.loads((ROOT / "benchmarks/records/nano-eval.json").read_text(encoding="utf-8"))["tasks"]
    page = (ROOT / "docs/nano.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*) \| (\d+) \| .* \| (.*) % \| (.*) % \|$", page, re.MULTILINE)
    assert len(rows) == len(record)
    for (label, count, reached, goal), told in zip(rows, record.values(), strict=True):
        name, floor = next(iter(told["floors"].items()))
        assert (count, reached) == (str(told["count"]), f"{100 * told[name]:.1f}"), label
        assert goal == f"{100 * floor:g}", label


def test_the_changelog_begins_with_what_is_unreleased():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "Unreleased"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=relative)
def test_an_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
