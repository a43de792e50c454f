import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from galago import EncodedImage, FeaturesError, GalagoWarning
from galago.engine.cache import KEPT, STALE_PART_S, FeatureCache, cache_folder
from galago.engine.features import Maker, content_key

MAKER = Maker("small", "ab" * 32, "q8")
PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def image(seed=0, tokens=6, maker=MAKER, **facts):
    features = np.random.default_rng(seed).standard_normal((tokens, 8), np.float32)
    facts = {"grid": (1, 4, 6), "resized": (56, 84), "original": (50, 90), "key": f"{seed:064x}"} | facts
    return EncodedImage(features, maker=maker, **facts)


def test_what_is_saved_is_loaded(tmp_path):
    saved = image(notes=("GIF: first of 3",), seconds_per_step=0.5)
    saved.save(tmp_path / "a.features")
    loaded = EncodedImage.load(tmp_path / "a.features")
    np.testing.assert_array_equal(loaded.features, saved.features)
    for name in ("grid", "resized", "original", "key", "maker", "seconds_per_step", "notes"):
        assert getattr(loaded, name) == getattr(saved, name)


def test_features_of_another_model_are_refused_by_name():
    with pytest.raises(FeaturesError, match=r"'small'.*'large'"):
        image().check_maker(Maker("large", "cd" * 32, "q8"))


def test_features_of_another_precision_are_refused():
    with pytest.raises(FeaturesError, match=r"q8.*f32"):
        image().check_maker(Maker("small", MAKER.revision, "f32"))


def test_features_of_the_same_model_under_another_name_are_taken():
    image().check_maker(Maker("copy", MAKER.revision, "q8"))


@pytest.mark.parametrize("damage", [b"", b"not features", None])
def test_a_file_that_holds_no_features_is_refused(tmp_path, damage):
    path = tmp_path / "a.features"
    if damage is not None:
        path.write_bytes(damage)
    with pytest.raises(FeaturesError):
        EncodedImage.load(path)


def test_one_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    path = tmp_path / "a.features"
    image(seconds_per_step=0.5, notes=("GIF: first of 3",), kept=np.arange(6)).save(path)
    whole = path.read_bytes()
    for place in range(8, len(whole)):  # after the length of the header
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 7]) + whole[place + 1 :])
        with pytest.raises(FeaturesError):
            EncodedImage.load(path)


@pytest.mark.parametrize(
    ("said", "lie"), [("[50, 90]", "[95, 90]"), ("[1, 4, 6]", "[1, 6, 4]"), ("[6,8]", "[8,6]")]
)
def test_a_fact_that_was_changed_is_noticed(tmp_path, said, lie):
    path = tmp_path / "a.features"
    image().save(path)
    whole = path.read_bytes()
    assert whole.count(said.encode()) == 1
    path.write_bytes(whole.replace(said.encode(), lie.encode()))
    with pytest.raises(FeaturesError, match="checksum"):
        EncodedImage.load(path)


def test_saving_where_nothing_can_be_written_is_refused(tmp_path):
    with pytest.raises(FeaturesError, match="cannot be written"):
        image().save(tmp_path / "missing" / "a.features")


def test_the_key_depends_on_all_that_features_depend_on():
    other = PIXELS.copy()
    other[2, 2, 2] ^= 1
    keys = {
        content_key([PIXELS], "a", MAKER),
        content_key([other], "a", MAKER),
        content_key([PIXELS.reshape(5, 4, 3)], "a", MAKER),
        content_key([PIXELS, PIXELS], "a", MAKER),
        content_key([PIXELS], "b", MAKER),
        content_key([PIXELS], "a", Maker("small", "cd" * 32, "q8")),
        content_key([PIXELS], "a", Maker("small", MAKER.revision, "q4")),
    }
    assert len(keys) == 7
    assert content_key([PIXELS.copy()], "a", Maker("renamed", MAKER.revision, "q8")) in keys


def test_features_are_found_in_memory():
    cache = FeatureCache(None)
    kept = image()
    assert cache.get(kept.key, MAKER) is None
    cache.put(kept)
    assert cache.get(kept.key, MAKER) is kept


def test_memory_keeps_what_was_used_last(tmp_path):
    first, second, third = (image(seed) for seed in range(3))
    cache = FeatureCache(None, ram_bytes=2 * first.features.nbytes)
    cache.put(first)
    cache.put(second)
    cache.get(first.key, MAKER)
    cache.put(third)
    assert [cache.get(one.key, MAKER) is not None for one in (first, second, third)] == [True, False, True]
    assert cache.nbytes == 2 * first.features.nbytes


def test_memory_keeps_no_more_than_so_many_however_small():
    cache = FeatureCache(None)
    for seed in range(KEPT + 1):
        cache.put(image(seed, tokens=1))
    assert cache.get(image(0).key, MAKER) is None
    assert cache.get(image(1).key, MAKER) is not None
    assert cache.nbytes == KEPT * 4 * 8


def test_features_are_found_on_disk_by_the_next_process(tmp_path):
    FeatureCache(tmp_path / "new").put(image())
    found = FeatureCache(tmp_path / "new").get(image().key, MAKER)
    np.testing.assert_array_equal(found.features, image().features)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"!", lambda _: b""]
)
def test_a_damaged_entry_is_discarded(tmp_path, damage):
    FeatureCache(tmp_path).put(image())
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    cache = FeatureCache(tmp_path)
    assert cache.get(image().key, MAKER) is None
    assert not path.exists()
    cache.put(image())
    assert FeatureCache(tmp_path).get(image().key, MAKER) is not None


def test_an_entry_under_another_key_is_discarded(tmp_path):
    FeatureCache(tmp_path).put(image(1))
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / f"{image(2).key}.safetensors")
    assert FeatureCache(tmp_path).get(image(2).key, MAKER) is None


def test_the_disk_cap_is_kept_and_the_oldest_go_first(tmp_path):
    one = image()
    FeatureCache(tmp_path).put(one)
    (path,) = tmp_path.iterdir()
    size = path.stat().st_size
    path.unlink()
    cache = FeatureCache(tmp_path, disk_bytes=5 * size)
    for seed in range(8):
        cache.put(image(seed))
        os.utime(tmp_path / f"{image(seed).key}.safetensors", (seed + 1, seed + 1))
    kept = {int(path.stem, 16) for path in tmp_path.iterdir()}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5 * size
    assert kept == set(range(8 - len(kept), 8))
    assert len(kept) >= 3


def test_what_a_dead_process_left_is_swept_away(tmp_path):
    stale, fresh = tmp_path / ".galago-1.part", tmp_path / ".galago-2.part"
    for part in (stale, fresh):
        part.write_bytes(b"half")
    long_ago = time.time() - STALE_PART_S - 60
    os.utime(stale, (long_ago, long_ago))
    FeatureCache(tmp_path).put(image())
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_a_disk_that_cannot_be_written_is_said_once_and_memory_serves(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = FeatureCache(tmp_path / "file" / "folder")
    with pytest.warns(GalagoWarning, match="not kept on disk"):
        cache.put(image(1))
    cache.put(image(2))
    assert cache.get(image(1).key, MAKER) is not None
    assert "not kept on disk" in cache.trouble


def test_a_folder_that_cannot_be_looked_into_is_said_once_and_memory_serves(tmp_path):
    cache = FeatureCache(tmp_path / ("long" * 100))  # to look there fails, as without permission
    with pytest.warns(GalagoWarning, match="not kept on disk"):
        assert cache.get(image(1).key, MAKER) is None
    with warnings.catch_warnings(action="error"):
        cache.put(image(1))
        assert cache.get(image(1).key, MAKER) is not None
        assert cache.get(image(2).key, MAKER) is None


def test_a_full_disk_is_said_once_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cache = FeatureCache(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(GalagoWarning, match="No space left"):
        cache.put(image(1))
    assert list(tmp_path.iterdir()) == []


def test_two_processes_share_one_folder(tmp_path):
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_engine_features import FeatureCache, MAKER, image
cache = FeatureCache(Path({str(tmp_path)!r}), disk_bytes=40_000)
for seed in range(60):
    cache.put(image(seed % 20, tokens=64))
    found = FeatureCache(Path({str(tmp_path)!r})).get(image(seed % 20).key, MAKER)
    assert found is None or (found.features == image(seed % 20, tokens=64).features).all()
"""
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", program]) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]


def test_the_folder_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "galago"
    monkeypatch.setenv("GALAGO_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("GALAGO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(cache_folder()) == "/home/someone/.cache/galago"
