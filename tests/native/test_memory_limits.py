"""Under a hard limit of address space a process answers, or says in one line what would fit."""

from __future__ import annotations

import errno
import json
import mmap
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cases import picture
from galago import OutOfMemoryError
from galago.device.sensed import cgroup_folders
from galago.engine.checkpoint import open_checkpoint

MB = 1 << 20


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "photo.png"
    Image.fromarray(picture(600, 800, 4)).save(path)
    return str(path)


def limited(megabytes, *arguments):
    """`galago` with these arguments in a process that may map so much: (exit code, stdout, stderr)."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * MB, megabytes * MB))

    done = subprocess.run(
        [sys.executable, "-m", "galago", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("megabytes", [250, 300, 350, 420, 500, 700, 1500])
def test_a_limit_gives_an_answer_or_one_line(checkpoint, photo, megabytes):
    code, out, err = limited(
        megabytes,
        "ask",
        photo,
        "What?",
        "-m",
        checkpoint("qwen2_5_vl"),
        "--no-cache",
        "--max-tokens",
        4,
        "--json",
    )
    assert code in (0, 1), err
    assert "Traceback" not in err
    if code:
        assert err.startswith("error: ")
        assert "try: " in err
    else:
        assert json.loads(out)["usage"]["image_tokens"] > 0


def test_a_comfortable_limit_gives_an_answer(checkpoint, photo):
    code, out, _ = limited(
        1500, "ask", photo, "What?", "-m", checkpoint("qwen2_vl"), "--no-cache", "--max-tokens", 4
    )
    assert code == 0
    assert out


@pytest.fixture
def group():
    """A control group below this process's own, and the file of its limit; skips where none can be made."""
    own = next(iter(cgroup_folders(Path("/"), "memory")), None)
    if own is None:
        pytest.skip("no control group of memory")
    folder = own / f"galago-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group may be made: {error}")
    limits = [folder / name for name in ("memory.limit_in_bytes", "memory.max")]
    limit = next((path for path in limits if path.exists()), None)
    yield folder, limit
    folder.rmdir()


@pytest.mark.parametrize("megabytes", [100, 130, 200, 400])
def test_a_limit_of_a_control_group_gives_an_answer_or_one_line(group, checkpoint, photo, megabytes):
    folder, limit = group
    if limit is None:
        pytest.skip("control groups here have no limit of memory")
    limit.write_text(str(megabytes * MB))
    words = ["ask", photo, "What?", "-m", str(checkpoint("qwen2_5_vl")), "--no-cache", "--max-tokens", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "galago", *words],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(str(os.getpid())),
    )
    assert done.returncode in (0, 1), done.stderr  # -9 would be the system's kill
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.stderr.startswith("error: ")
        assert "try: " in done.stderr
    else:
        assert done.stdout.strip()


EIGHT_THREADS = """
import sys, threading
import numpy as np
import galago, galago.device
model = galago.load(sys.argv[1], cache=False, memory=int(sys.argv[2]))
def ask(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    model.ask(pixels, "What is shown?", max_tokens=8)
threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(int(sys.argv[3]))]
for one in threads: one.start()
for one in threads: one.join()
print(galago.device.process_memory().peak_bytes)
"""


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("budget", [100_000_000, 130_000_000])
def test_a_process_stays_within_its_budget(budget, threads):
    picture_bytes = 1200 * 1600 * 3  # each thread's own, which no plan can know of
    words = [sys.executable, "-c", EIGHT_THREADS, "nano", str(budget), str(threads)]
    peak = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert peak - threads * picture_bytes <= budget


def test_a_model_that_cannot_be_mapped_is_refused_with_what_would_help(checkpoint, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(OutOfMemoryError, match="may not map that much") as caught:
        open_checkpoint(checkpoint("qwen2_5_vl"))
    assert "ulimit -v" in caught.value.hint


def test_a_picture_beyond_the_limit_is_refused_in_one_line(tmp_path, checkpoint):
    path = tmp_path / "huge.png"
    Image.fromarray(np.zeros((9000, 10000), np.uint8)).save(path)
    code, _, err = limited(420, "ask", path, "What?", "-m", checkpoint("qwen2_5_vl"), "--no-cache")
    assert code == 1
    assert err.startswith("error: ")
    assert "Traceback" not in err
