"""Where only the best tokens are looked at, little of the output projection is read, and they stay so."""

import numpy as np
import pytest

import galago
from asking import answer_tokens, greedy_tokens
from cases import picture
from galago import kernels, packing
from galago.compress import convert
from galago.engine.checkpoint import open_checkpoint
from galago.engine.planner import Planner, Room
from galago.errors import WeightError
from galago.formats import packed
from galago.kernels import native

SMALL = picture(90, 130, 6)
ASKED = [{"role": "user", "content": [{"type": "image", "image": SMALL}, {"type": "text", "text": "What?"}]}]
ROWS, COLUMNS = 8205, 256
BEST = 4


def outliers(rng, *shape):
    """Numbers of which every 64th column is a hundred times as large, as in published models."""
    made = rng.standard_normal(shape).astype(np.float32)
    made[:, 7::64] *= 100
    return made


def largest(logits, count=BEST):
    ids = np.argsort(-logits[0], kind="stable")[:count]
    return ids.tolist(), logits[0, ids].tolist()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("make", [outliers, lambda rng, *shape: rng.standard_normal(shape, np.float32)])
def test_the_best_rows_are_those_of_the_whole_product(make, seed):
    rng = np.random.default_rng(seed)
    dense, x = make(rng, ROWS, COLUMNS), rng.standard_normal((1, COLUMNS), np.float32)
    weight, rough = kernels.pack(dense, 8), kernels.pack(dense, 4)
    found = kernels.linear_best(x, weight, rough, BEST)
    assert found.shape == (1, ROWS)
    assert largest(found) == largest(kernels.linear(x, weight))


def test_little_of_the_weight_is_read():
    rng = np.random.default_rng(3)
    dense, x = rng.standard_normal((ROWS, COLUMNS), np.float32), rng.standard_normal((1, COLUMNS), np.float32)
    rough, weight = kernels.pack(dense, 4), kernels.pack(dense, 8)
    found = kernels.linear_best(x, weight, rough, 1)
    changed = np.flatnonzero((found != kernels.linear(x, rough))[0]) // packing.PANEL
    assert 0 < len(set(changed)) <= native.CANDIDATES
    for panel in set(range(len(weight.codes))) - set(changed):
        weight.codes[panel] = 0
    np.testing.assert_array_equal(kernels.linear_best(x, weight, rough, 1), found)


@pytest.mark.parametrize("best", [1, 5, 96])
def test_the_margin_is_what_decides(monkeypatch, best):
    rng = np.random.default_rng(8)
    dense, x = rng.standard_normal((ROWS, COLUMNS), np.float32), rng.standard_normal((1, COLUMNS), np.float32)
    weight, rough = kernels.pack(dense, 8), kernels.pack(dense, 4)
    whole, coarse = kernels.linear(x, weight)[0], kernels.linear(x, rough)[0]
    highest = np.append(coarse, [-np.inf] * (-ROWS % packing.PANEL)).reshape(-1, packing.PANEL).max(axis=1)
    least = np.sort(highest)[-native.CANDIDATES]
    near = np.repeat(highest >= least, packing.PANEL)[:ROWS]
    error = np.sqrt(np.mean((whole - coarse)[near].astype(np.float64) ** 2))
    margin = (np.sort(whole[near])[-best] - least) / error
    for factor, wanted in ((0.99, np.where(near, whole, coarse)), (1.01, whole)):
        monkeypatch.setattr(native, "SURE", margin * factor if margin > 0 else margin / factor)
        np.testing.assert_array_equal(kernels.linear_best(x, weight, rough, best)[0], wanted)


def test_a_copy_that_misleads_is_noticed():
    rng = np.random.default_rng(4)
    dense, other = (rng.standard_normal((ROWS, COLUMNS), np.float32) for _ in range(2))
    weight, rough, x = kernels.pack(dense, 8), kernels.pack(other, 4), dense[:1]
    np.testing.assert_array_equal(kernels.linear_best(x, weight, rough, 1), kernels.linear(x, weight))


def test_more_than_there_are_candidates_are_not_screened():
    rng = np.random.default_rng(9)
    dense, x = rng.standard_normal((ROWS, COLUMNS), np.float32), rng.standard_normal((1, COLUMNS), np.float32)
    weight, rough = kernels.pack(dense, 8), kernels.pack(dense, 4)
    found = kernels.linear_best(x, weight, rough, native.CANDIDATES + 1)
    np.testing.assert_array_equal(found, kernels.linear(x, weight))


def test_rows_that_are_alike_are_all_computed():
    rng = np.random.default_rng(5)
    dense = np.tile(rng.standard_normal((1, COLUMNS), np.float32), (ROWS, 1))
    dense += 1e-3 * rng.standard_normal(dense.shape, np.float32)
    weight, rough, x = kernels.pack(dense, 8), kernels.pack(dense, 4), dense[:1]
    np.testing.assert_array_equal(kernels.linear_best(x, weight, rough, 1), kernels.linear(x, weight))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    rng = np.random.default_rng(6)
    dense, x = rng.standard_normal((ROWS, COLUMNS), np.float32), np.full((1, COLUMNS), bad, np.float32)
    found = kernels.linear_best(x, kernels.pack(dense, 8), kernels.pack(dense, 4), 1)
    assert not np.isfinite(found).any()


@pytest.fixture
def small_heads(monkeypatch):
    """The tests' vocabularies count as large."""
    monkeypatch.setattr(packed, "WORTH_SCREENING", 1)
    monkeypatch.setattr(native, "CANDIDATES", 3)


@pytest.fixture(params=["qwen2_vl", "qwen2_5_vl"])
def screened(checkpoint, tmp_path, small_heads, request):
    return convert(checkpoint(request.param), tmp_path / "screened", weights="q4").folder


@pytest.fixture
def bare(screened, checkpoint, tmp_path, monkeypatch, request):
    monkeypatch.setattr(packed, "WORTH_SCREENING", 1 << 40)
    return convert(screened, tmp_path / "bare", weights="q4").folder


@pytest.fixture
def times(monkeypatch):
    """How many of the largest were asked for, each time that a coarse copy was read."""
    asked, product = [], native.linear_best

    def told(x, weight, rough, best):
        asked.append(best)
        return product(x, weight, rough, best)

    monkeypatch.setattr(native, "linear_best", told)
    return asked


def loaded(folder, **options):
    return galago.load(folder, cache=False, **options)


def copy_of(model):
    return model.engine.model.network.module.language.screen


def test_an_answer_is_the_same_with_the_copy_and_without(screened, bare, times):
    model, plain = loaded(screened), loaded(bare)
    assert copy_of(model) is not None
    assert copy_of(plain) is None
    for tokens in (answer_tokens, greedy_tokens):
        assert tokens(model, ASKED, 12) == tokens(plain, ASKED, 12)
    assert times.count(1) >= 1
    assert times.count(1 + len(model.engine.model.end_ids)) >= 12


@pytest.mark.parametrize(
    "options", [{"temperature": 1.0, "seed": 4}, {"repetition_penalty": 1.3}, {"regex": "[ab]{3}"}]
)
def test_who_looks_at_more_than_the_best_gets_all_logits(screened, bare, times, options):
    told = [loaded(one).ask(SMALL, "What?", max_tokens=8, **options).text for one in (screened, bare)]
    assert told[0] == told[1]
    assert times == []


def test_a_weight_that_was_put_there_since_is_computed_with(screened):
    network = galago.load(screened, cache=False).engine.model.network
    language, hidden = network.module.language, np.ones((1, network.module.language.config.dim), np.float32)
    owner = language.embedding if language.output is None else language.output
    owner.weight = np.random.default_rng(7).standard_normal(owner.weight.shape).astype(np.float32)
    np.testing.assert_array_equal(network.best_logits(hidden, 1), network.logits(hidden))


def test_other_weights_than_the_files_have_no_copy(screened):
    assert copy_of(loaded(screened, weights="q8")) is not None
    assert copy_of(loaded(screened, weights="f32")) is None


def test_a_copy_is_copied_bit_by_bit(screened, tmp_path):
    again = convert(screened, tmp_path / "again", weights="q4").folder
    assert (again / "model.safetensors").read_bytes() == (screened / "model.safetensors").read_bytes()


def test_small_or_float_projections_get_no_copy(checkpoint, tmp_path, monkeypatch):
    convert(checkpoint("qwen2_vl"), tmp_path / "small", weights="q4")
    monkeypatch.setattr(packed, "WORTH_SCREENING", 1)
    convert(checkpoint("qwen2_vl"), tmp_path / "float", weights="bf16")
    for name in ("small", "float"):
        assert open_checkpoint(tmp_path / name).screen(None) is None


def test_a_copy_that_lacks_a_part_is_refused(screened):
    checkpoint = open_checkpoint(screened)
    lost = packed.screen_name(checkpoint.head.ours) + ".q4.scales"
    del checkpoint.stored[lost]
    with pytest.raises(WeightError, match="lacks the tensor"):
        checkpoint.spelling  # noqa: B018 - reading it is the check


def test_the_copy_is_given_up_before_anything_that_is_missed(screened):
    planner = Planner(open_checkpoint(screened), None)
    whole = planner.plan(Room())
    copy = open_checkpoint(screened).screen(None).nbytes
    assert whole.is_screened
    assert not whole.choices
    tight = planner.plan(Room(resident=planner.least_bytes()))
    assert not tight.is_screened
    assert any("output projection" in choice for choice in tight.choices)
    low, high = planner.least_bytes(), 1 << 30  # the least budget with the copy lies between
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if planner.plan(Room(resident=middle)).is_screened else (middle, high)
    dropped = planner.plan(Room(resident=low - copy // 2))
    last = planner.plan(Room(resident=high))
    assert (dropped.context, dropped.rows, dropped.chunk) == (last.context, last.rows, last.chunk)
    assert any("output projection" in choice for choice in dropped.choices)
    assert copy_of(loaded(screened, memory=low - copy // 2)) is None
