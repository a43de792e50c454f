"""Memory is a promise: the plan counts what is really taken, and what is given up changes no number."""

import ctypes
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import galago
from cases import picture
from checkpoints import FAMILIES, hub_config
from galago import OutOfMemoryError, nn
from galago.compress import convert
from galago.device.sensed import fields, kilobytes
from galago.engine import frugal
from galago.engine.checkpoint import open_checkpoint
from galago.engine.frugal import FrugalNetwork
from galago.engine.kv import KVCache
from galago.engine.load import load_checkpoint
from galago.engine.planner import Planner, Room, plan_memory
from galago.engine.weigh import weigh
from galago.formats import mapped, safetensors
from galago.kernels.context import using
from galago.models import Pieces, family

PICTURE = picture(300, 500, 3)
MESSAGES = [{"role": "user", "content": [{"type": "image", "image": PICTURE}, "What is it?"]}]


@pytest.fixture(params=FAMILIES)
def folder(request, checkpoint):
    return checkpoint(request.param)


@pytest.fixture(scope="module")
def packed(checkpoint, tmp_path_factory):
    target = tmp_path_factory.mktemp("memory") / "packed"
    convert(checkpoint("qwen2_5_vl"), target, weights="q8")
    return target


def released(monkeypatch):
    """How many bytes of pages are given back from now on, one number a time."""
    sizes = []
    release = mapped.MappedPages.release

    def counted(pages):
        sizes.append(pages.nbytes)
        release(pages)

    monkeypatch.setattr(mapped.MappedPages, "release", counted)
    return sizes


@pytest.mark.parametrize("rows", [64, 128, 4096])
def test_a_tower_in_pieces_computes_the_same(folder, rows):
    model = load_checkpoint(open_checkpoint(folder))
    visual = model.processor.image(PICTURE)
    whole = model.network.encode(visual.patches, [visual.grid])
    pieces = model.network.encode(visual.patches, [visual.grid], Pieces(rows, lambda _: None))
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=2e-6 * np.abs(whole).max())


@pytest.mark.parametrize("rounds", [False, True])
def test_a_packed_tower_in_pieces_computes_the_same_bits(packed, rounds):
    model = load_checkpoint(open_checkpoint(packed))
    visual = model.processor.image(PICTURE)
    with using(round_attention=rounds):
        whole = model.network.encode(visual.patches, [visual.grid])
        pieces = model.network.encode(visual.patches, [visual.grid], Pieces(64, lambda _: None))
    np.testing.assert_array_equal(pieces, whole)


def test_every_part_of_a_tower_is_told_once_after_its_use(folder):
    network = load_checkpoint(open_checkpoint(folder)).network
    told = []
    network.encode(np.zeros((16, 1176), np.float32), [(1, 4, 4)], Pieces(64, told.append))
    assert [id(part) for part in told] == [id(part) for part in network.vision_parts]


def wide(name):
    """A network of two layers in each half, as wide as published ones; its zeros take no memory."""
    values = hub_config(name, tied=True) | {
        "hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 1, "intermediate_size": 5504,
        "num_hidden_layers": 2, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    sizes = {"embed_dim": 1280, "hidden_size": 1024, "mlp_ratio": 4}
    if name == "qwen2_5_vl":
        sizes = {"hidden_size": 1280, "out_hidden_size": 1024, "intermediate_size": 3420}
        sizes["fullatt_block_indexes"] = [1]
    values["vision_config"] |= {"depth": 2, "num_heads": 16, **sizes}
    of = family(name)
    config = of.parse_config(values)
    network = of.build(config)
    nn.assign(network.module, lambda _, place: np.zeros(place.shape, np.float32))
    return of, config, network


def traced(work):
    """The most bytes of arrays that `work` has at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [128, 512])
@pytest.mark.parametrize("grid", [(1, 8, 12), (1, 36, 36)])
@pytest.mark.parametrize("name", FAMILIES)
def test_encoding_takes_what_the_plan_says(name, grid, rows):
    of, config, network = wide(name)
    patches = grid[1] * grid[2]

    def encode():
        pixels = np.zeros((patches, config.vision.patch_values), np.float32)
        network.encode(pixels, [grid], Pieces(rows, lambda _: None))

    told = of.encode_bytes(config, patches // config.vision.merge**2, rows)
    assert told == pytest.approx(traced(encode), rel=0.1)


@pytest.mark.parametrize("rows", [64, 128])
def test_decoding_takes_what_the_plan_says(rows):
    of, config, network = wide("qwen2_5_vl")
    cache = KVCache(2)
    cache.reserve(rows)
    network.decode(np.zeros((rows, 1024), np.float32), np.zeros((3, rows), np.int64), cache)
    cache.truncate(0)

    def decode():
        network.decode(np.zeros((rows, 1024), np.float32), np.zeros((3, rows), np.int64), cache)

    assert of.decode_bytes(config, rows) == pytest.approx(traced(decode), rel=0.1)


@pytest.mark.parametrize("weights", [None, "f32", "bf16", "q8", "q4"])
def test_weights_weigh_what_loading_takes(checkpoint, weights):
    opened = open_checkpoint(checkpoint("qwen2_5_vl", dtype="bf16"))
    assert weigh(opened, weights).total == load_checkpoint(opened, weights=weights).weights_bytes


def test_mapped_weights_are_told_from_copies(packed, checkpoint):
    as_stored = weigh(open_checkpoint(packed), None)
    converted = weigh(open_checkpoint(checkpoint("qwen2_5_vl")), "q4")
    assert as_stored.own == 0
    assert converted.own > 0
    assert sum(as_stored.vision) > 0 < sum(as_stored.blocks)


def test_pages_are_given_back_and_answers_stay_the_same(packed, monkeypatch):
    want = galago.load(packed, cache=False).logits(MESSAGES)
    loaded = load_checkpoint(open_checkpoint(packed))
    sizes = released(monkeypatch)
    network = FrugalNetwork(loaded.network, rows=64, release_vision=True, kept_blocks=1)
    model = galago.load(packed, cache=False)
    object.__setattr__(model.engine.model, "network", network)
    np.testing.assert_array_equal(model.logits(MESSAGES), want)
    held = weigh(open_checkpoint(packed), None)
    assert set(sizes) == {*held.vision, *held.blocks[1:]}


def test_given_back_pages_leave_the_process(packed):
    stored = safetensors.open_file(packed / "model.safetensors")
    arrays = [tensor.array for tensor in stored.values()]
    pages = mapped.MappedPages(arrays)
    first = [array.copy() for array in arrays]
    before = mapped_resident()
    pages.release()
    assert before - mapped_resident() > pages.nbytes // 2
    assert all(np.array_equal(array, copy) for array, copy in zip(arrays, first, strict=True))


def mapped_resident():
    """Bytes of mapped files that are in memory for this process."""
    return kilobytes(fields(Path("/proc/self/status")), "RssFile")


def test_arrays_that_are_no_mapped_pages_are_never_given_back():
    own = np.ones(10_000)
    pages = mapped.MappedPages([own, own[5:], np.empty(0)])
    pages.release()
    assert pages.nbytes == 0
    assert own.sum() == 10_000


def test_a_smaller_budget_gives_up_one_thing_after_the_other(packed):
    planner = Planner(open_checkpoint(packed), None)
    budgets = range(planner.least_bytes(), 400_000_000, 500_000)
    plans = [planner.plan(Room(resident=budget)) for budget in budgets]
    assert all(plan.resident_bytes <= plan.budget_bytes for plan in plans)
    for name in ("image_tokens", "context", "rows", "chunk"):
        values = [getattr(plan, name) for plan in plans]
        assert values[0] < values[-1], name
    assert not plans[-1].choices
    assert len(plans[0].choices) >= 2


def test_below_the_least_budget_nothing_is_planned(packed):
    planner = Planner(open_checkpoint(packed), None)
    assert planner.plan(Room(resident=planner.least_bytes() - 1)) is None
    assert planner.plan(Room(own=1_000_000)) is None


def test_what_memory_has_no_room_for_is_reduced_and_said(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    least = Planner(open_checkpoint(folder), None).least_bytes()
    model = galago.load(folder, memory=least, cache=False)
    large = picture(700, 900, 1)
    answer = model.ask(large, "What?", max_tokens=2, image_tokens=800)
    assert answer.usage.image_tokens <= model.engine.model.plan.image_tokens < 800
    assert any("memory has room for" in note for note in answer.notes)
    assert not model.ask(picture(90, 90, 1), "What?", max_tokens=2).notes


def test_a_video_that_memory_has_no_room_for_is_refused_with_what_would_fit(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    least = Planner(open_checkpoint(folder), None).least_bytes()
    model = galago.load(folder, memory=least, cache=False)
    frames = [picture(280, 280, seed) for seed in range(12)]
    with pytest.raises(OutOfMemoryError, match="12 frames") as caught:
        model.encode(frames, fps=2.0)
    most = int(caught.value.hint.rsplit("=", 1)[1])
    assert model.encode(frames, fps=2.0, max_pixels=most).tokens


def test_an_enlargement_beyond_memory_is_refused_with_what_would_fit(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    least = Planner(open_checkpoint(folder), None).least_bytes()
    model = galago.load(folder, memory=least, cache=False)
    with pytest.raises(OutOfMemoryError, match="min_pixels is 4000000"):
        model.ask(PICTURE, "What?", min_pixels=4_000_000)


def test_a_longer_context_than_planned_is_refused(checkpoint):
    folder = checkpoint("qwen2_5_vl")
    least = Planner(open_checkpoint(folder), None).least_bytes()
    model = galago.load(folder, memory=least, cache=False)
    with pytest.raises(galago.ContextLengthError, match="512"):
        model.ask(PICTURE, "What is it? " * 500)


def test_running_out_of_memory_in_the_middle_is_one_line(packed, monkeypatch):
    model = galago.load(packed, cache=False)

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(model.engine.model.network, "decode", fail)
    with pytest.raises(OutOfMemoryError) as caught:
        model.ask(PICTURE, "What?")
    assert "memory" in caught.value.hint


def test_the_plan_says_what_memory_was_given(packed):
    plan = plan_memory(open_checkpoint(packed), None, 300_000_000)
    assert plan.budget_bytes == 300_000_000
    assert plan.resident_bytes <= 300_000_000


HEAPS = """
import ctypes, sys
import numpy as np
import galago

galago.load("nano", cache=False).ask(np.zeros((40, 60, 3), np.uint8), "What?", max_tokens=4)
libc = ctypes.CDLL(None)
libc.fopen.restype, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc_info.argtypes = ctypes.c_int, ctypes.c_void_p
told = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, told)
libc.fclose(told)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another allocator than glibc's")
def test_all_threads_of_a_process_share_one_heap(tmp_path, monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    told = tmp_path / "heaps.xml"
    subprocess.run([sys.executable, "-c", HEAPS, str(told)], check=True)
    assert told.read_text("utf-8").count("<heap nr=") == 1


@pytest.mark.parametrize(("set_by_user", "want"), [(None, list(frugal.HEAP_OPTIONS)), ("4", [])])
def test_glibc_is_told_once_how_to_keep_its_heap_unless_the_user_says(folder, monkeypatch, set_by_user, want):
    told = []
    monkeypatch.setattr(frugal, "_of_glibc", lambda _name: lambda *given: told.append(given))
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if set_by_user:
        monkeypatch.setenv("MALLOC_ARENA_MAX", set_by_user)
    galago.load(folder, cache=False)
    assert told == want


@pytest.mark.parametrize("memory", [None, 300_000_000])
def test_free_memory_is_given_back_at_rest_and_under_a_budget_in_between(packed, monkeypatch, memory):
    at_rest, between = threading.Event(), []
    monkeypatch.setattr("galago.engine.engine.give_back_heap", at_rest.set)
    monkeypatch.setattr(frugal, "give_back_heap", lambda: between.append(at_rest.is_set()))
    galago.load(packed, cache=False, memory=memory).ask(PICTURE, "What?", max_tokens=4)
    assert at_rest.wait(60)
    assert bool(between) == (memory is not None)
    assert not any(between)


def test_free_memory_is_given_back_after_encoding_alone(packed, monkeypatch):
    at_rest = threading.Event()
    monkeypatch.setattr("galago.engine.engine.give_back_heap", at_rest.set)
    galago.load(packed, cache=False).encode(PICTURE)
    assert at_rest.wait(60)
