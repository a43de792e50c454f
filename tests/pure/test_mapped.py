"""Files are mapped in large pages where the system has them, and all the same where it has not."""

import mmap
from pathlib import Path

import pytest

from galago.formats.mapped import map_file


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"galago" * 1000)
    return path


def mapped(path):
    with path.open("rb") as file:
        return map_file(file.fileno(), path.stat().st_size)


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="needs a kernel with large pages"
)
def test_large_pages_are_asked_for(path):
    kept = mapped(path)
    told = Path("/proc/self/smaps").read_text(encoding="utf-8").partition(str(path))[2]
    flags = next(line for line in told.splitlines() if line.startswith("VmFlags"))
    assert "hg" in flags.split()
    assert kept[:6] == b"galago"


def test_a_kernel_without_large_pages_maps_the_file_all_the_same(path, monkeypatch):
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345, raising=False)
    assert mapped(path)[:6] == b"galago"


def test_a_system_without_the_advice_maps_the_file_all_the_same(path, monkeypatch):
    monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    assert mapped(path)[:6] == b"galago"
