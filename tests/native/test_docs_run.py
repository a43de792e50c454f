"""What the documents show is run: shell and Python blocks, examples, and the answers beside commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NANO = ROOT / "src/galago/nano/model.safetensors"
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]

pytestmark = pytest.mark.skipif(not NANO.exists(), reason="this tree has no weights of the embedded model")


def relative(path):
    return path.relative_to(ROOT).as_posix()


def shown(language):
    """The pages that have blocks of a language, each with its blocks."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for path in PAGES:
        found = fence.findall(path.read_text(encoding="utf-8")) if path.exists() else []
        if found:
            yield pytest.param(found, id=relative(path))


@pytest.fixture
def shell(tmp_path):
    """`shell(*command)` runs in a copy of the examples, with `galago` on the path -> its stdout."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "galago"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m galago "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])

    def run(*command):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.mark.parametrize("blocks", list(shown("sh")))
def test_shell_blocks_run(shell, blocks):
    for block in blocks:
        shell("bash", "-euc", block)


@pytest.mark.parametrize("blocks", list(shown("python")))
def test_python_blocks_of_a_page_run_in_order(shell, blocks):
    shell(sys.executable, "-c", "\n".join(blocks))


@pytest.mark.parametrize("blocks", list(shown("console")))
def test_a_command_answers_what_the_page_shows(shell, blocks):
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            assert shell("bash", "-euc", command).strip() == answer.strip()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=relative)
def test_an_example_runs(shell, path):
    assert shell(sys.executable, relative(path))
