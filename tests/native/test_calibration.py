"""Calibrated q4 weights err less on what a layer is given; the other promises of `convert` still hold."""

import numpy as np
import pytest

import galago
from cases import picture
from galago import drawing, kernels, nn, packing
from galago.compress import Calibration, convert, measure_distortion
from galago.compress.gptq import round_to_grid
from galago.engine.checkpoint import open_checkpoint
from galago.errors import UsageError, WeightError
from galago.kernels.observing import observing

PICTURES = [picture(60, 90, 1), picture(90, 60, 2)]
SHAPES = [(48, 64, 32), (37, 100, 64), (16, 160, 128)]  # rows, columns, columns of a group


def inputs(rng, count, columns, *, loud):
    """Rows whose columns go together, and where `loud` a few columns are a hundred times the others."""
    hidden = rng.standard_normal((count, columns // 4), np.float32)
    made = hidden @ rng.standard_normal((columns // 4, columns), np.float32)
    made += 0.1 * rng.standard_normal(made.shape, np.float32)
    made[:, 5::50] *= 100 if loud else 1
    return made


def error(weight, dense, x):
    wanted = x @ dense.T
    return np.linalg.norm(x @ packing.unpack(weight).T - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("loud", "most"), [(False, 0.6), (True, 0.95)])
def test_products_with_such_inputs_err_less(shape, seed, loud, most):
    rows, columns, group = shape
    rng = np.random.default_rng(seed)
    dense, x = rng.standard_normal((rows, columns), np.float32), inputs(rng, 4000, columns, loud=loud)
    seen, later = x[:2000], x[2000:]
    rounded, plain = round_to_grid(dense, seen.T @ seen, group), packing.pack(dense, 4, group)
    assert error(rounded, dense, later) < most * error(plain, dense, later)


@pytest.mark.parametrize("shape", SHAPES)
def test_inputs_that_have_nothing_in_common_change_nothing(shape):
    rows, columns, group = shape
    dense = np.random.default_rng(1).standard_normal((rows, columns), np.float32)
    rounded, plain = (
        round_to_grid(dense, np.eye(columns, dtype=np.float32), group),
        packing.pack(dense, 4, group),
    )
    for name, part in plain.parts.items():
        np.testing.assert_array_equal(getattr(rounded, name), part, err_msg=name)


def test_a_column_that_was_never_used_and_a_row_of_zeros_are_no_trouble():
    rng = np.random.default_rng(2)
    dense, x = rng.standard_normal((20, 64), np.float32), inputs(rng, 500, 64, loud=True)
    x[:, 7], dense[3], dense[:, 9] = 0, 0, 0
    for moments in (x.T @ x, np.zeros((64, 64), np.float32)):
        weight = round_to_grid(dense, moments, 32)
        found = packing.unpack(weight)
        assert np.isfinite(found).all()
        assert not found[3].any()
        kernels.linear(x[:2], weight)  # the extension checks the layout


def test_the_kernels_tell_what_is_multiplied_with_what(random):
    x, weights = random(3, 8), [random(5, 8), random(5, 8)]
    seen = []
    with observing(lambda x, weights: seen.append((len(x), [len(weight) for weight in weights]))):
        kernels.linear(x, weights[0])
        kernels.linears(x, weights, [None, None])
        kernels.gated(x, weights, [None, None])
        kernels.rms_norm(x, random(8), 1e-6)
    assert seen == [(3, [5]), (3, [5, 5]), (3, [5, 5])]


def drawn(first, count, split):
    made = [drawing.draw("scene", first + n, split=split, fonts="minimal") for n in range(count)]
    return [one.pixels for one in made], [one.questions[0].text for one in made]


def test_nano_is_nearer_to_itself_with_a_calibration(tmp_path):
    seen = drawn(0, 80, drawing.Split.TRAIN)
    convert("nano", tmp_path / "plain", weights="q4")
    convert("nano", tmp_path / "rounded", weights="q4", calibration=Calibration(*seen, apart=True))
    pictures, questions = drawn(1_000_000, 120, drawing.Split.HELD_OUT)
    plain, rounded = (
        measure_distortion("nano", tmp_path / name, pictures, questions=questions, apart=True)
        for name in ("plain", "rounded")
    )
    assert rounded.kl < 0.75 * plain.kl


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_rounds_change_nothing_and_only_q4_weights_are_rounded(checkpoint, tmp_path, family):
    source = checkpoint(family)
    for name, most in (("one", None), ("many", 1)):
        convert(source, tmp_path / name, calibration=Calibration(PICTURES, ["What?"], moments_bytes=most))
    one, many = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "many"))
    assert one == many
    made, plain = (
        open_checkpoint(tmp_path / "one"),
        open_checkpoint(convert(source, tmp_path / "plain").folder),
    )
    differing = set()
    for tensor in made.tensors:
        assert made.kind(tensor) == plain.kind(tensor)
        ours, theirs = (packing.to_dense(opened.weight(tensor)) for opened in (made, plain))
        if not np.array_equal(ours, theirs):
            differing.add(tensor.ours)
    packed = {tensor.ours for tensor in made.tensors if made.kind(tensor) == "q4"}
    assert differing == packed


def test_what_no_answer_needs_is_packed_as_ever(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("galago.compress.calibration._gather", lambda *_: {})
    convert(checkpoint("qwen2_vl"), tmp_path / "one", calibration=Calibration(PICTURES))
    convert(checkpoint("qwen2_vl"), tmp_path / "two")
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_what_cannot_be_calibrated_is_refused_and_nothing_is_left(checkpoint, tmp_path):
    with pytest.raises(UsageError, match="for q4 weights, not for q8"):
        convert(checkpoint("qwen2_vl"), tmp_path / "out", weights="q8", calibration=Calibration(PICTURES))
    packed = convert(checkpoint("qwen2_vl"), tmp_path / "packed").folder
    with pytest.raises(UsageError, match="q4 already"):
        convert(packed, tmp_path / "out", calibration=Calibration(PICTURES))
    for options in ({"pictures": []}, {"questions": []}, {"questions": ["one"] * 3, "apart": True}):
        with pytest.raises(UsageError):
            Calibration(**{"pictures": PICTURES, **options})
    assert not (tmp_path / "out").exists()


def test_a_model_of_nan_is_not_calibrated(checkpoint, tmp_path, monkeypatch):
    from galago.compress import calibration

    load = calibration.load_checkpoint

    def spoilt(opened):
        loaded = load(opened)
        for name, owner, attribute, value in list(nn.parameters(loaded.network.module)):
            if name.endswith("blocks.1.attn_norm.weight") and "language" in name:
                setattr(owner, attribute, np.full_like(value, np.nan))
        return loaded

    monkeypatch.setattr(calibration, "load_checkpoint", spoilt)
    with pytest.raises(WeightError, match=r"not finite before language\.blocks\.1"):
        convert(checkpoint("qwen2_vl"), tmp_path / "out", calibration=Calibration(PICTURES))
    assert not (tmp_path / "out").exists()


def test_the_command_calibrates_on_a_folder_of_pictures(checkpoint, tmp_path, capsys):
    from PIL import Image

    from galago.cli import main

    (tmp_path / "pictures").mkdir()
    Image.fromarray(PICTURES[0]).save(tmp_path / "pictures/one.png")
    words = ["convert", str(checkpoint("qwen2_vl")), str(tmp_path / "out"), "--weights", "q4"]
    assert main([*words, "--calibrate", str(tmp_path / "pictures")]) == 0
    told = galago.load(tmp_path / "out", cache=False).ask(PICTURES[0], "What?", max_tokens=2)
    assert told.usage.completion_tokens
    assert main([*words[:2], str(tmp_path / "other"), "--weights", "q8", "--calibrate", str(tmp_path)]) == 2
    assert "holds no pictures" in capsys.readouterr().err
