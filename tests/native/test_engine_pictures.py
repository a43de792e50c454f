"""Pictures on their way to features: caches, bounds, video, and whose features they are."""

import numpy as np
import pytest

import galago
from cases import picture
from checkpoints import FAMILIES
from doctored import configured
from galago import ContextLengthError, EncodedImage, FeaturesError, PictureError, UsageError
from galago.models.qwen2_vl import processing

SMALL = picture(90, 130, 6)
FRAMES = [picture(70, 100, seed) for seed in range(5)]


@pytest.fixture
def load(checkpoint, tmp_path):
    def load(family="qwen2_5_vl", cache=tmp_path / "cache", **options):
        return galago.load(checkpoint(family), cache=cache, **options)

    return load


def vision_runs(model, monkeypatch):
    """A list that grows by one with every run of the vision tower."""
    runs, network = [], model.engine.model.network
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda *given: runs.append(1) or encode(*given), raising=False)
    return runs


def test_a_second_question_does_not_look_again(load, monkeypatch):
    model = load(cache=False)
    runs = vision_runs(model, monkeypatch)
    first, second = (model.ask(SMALL.copy(), question, max_tokens=2) for question in ("What?", "Why?"))
    assert len(runs) == 1
    assert first.timings.encode_s > 0
    assert second.timings.encode_s == 0


def test_the_next_process_finds_the_features_on_disk(load, monkeypatch):
    want = load().encode(SMALL)
    model = load()
    runs = vision_runs(model, monkeypatch)
    answer = model.ask(SMALL, "What?", max_tokens=2)
    assert (runs, answer.timings.encode_s) == ([], 0)
    np.testing.assert_array_equal(model.encode(SMALL).features, want.features)


def test_a_damaged_entry_is_computed_again(load, tmp_path):
    want = load().encode(SMALL)
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(entry.read_bytes()[:200])
    np.testing.assert_array_equal(load().encode(SMALL).features, want.features)
    np.testing.assert_array_equal(EncodedImage.load(entry).features, want.features)


def test_without_a_cache_nothing_is_written(load, tmp_path):
    load(cache=False).ask(SMALL, "What?", max_tokens=2)
    assert list(tmp_path.iterdir()) == []


def test_the_default_cache_is_in_the_users_cache_folder(load, monkeypatch, tmp_path):
    monkeypatch.setenv("GALAGO_CACHE", str(tmp_path / "own"))
    load(cache=None).encode(SMALL)
    assert len(list((tmp_path / "own" / "features").iterdir())) == 1


def test_another_precision_does_not_share_features(load, monkeypatch):
    load().encode(SMALL)
    model = load(weights="q8")
    runs = vision_runs(model, monkeypatch)
    model.encode(SMALL)
    assert len(runs) == 1


def test_an_encoded_picture_answers_as_the_picture(load, tmp_path):
    model = load()
    want = model.ask(SMALL, "What is it?", max_tokens=12).text
    model.encode(SMALL).save(tmp_path / "small.features")
    fresh = load(cache=False)
    answer = fresh.ask(EncodedImage.load(tmp_path / "small.features"), "What is it?", max_tokens=12)
    assert (answer.text, answer.timings.encode_s, answer.timings.image_s) == (want, 0, 0)


def test_features_of_another_model_are_refused_by_name(load):
    image = load("qwen2_vl").encode(SMALL)
    model = load()
    with pytest.raises(FeaturesError, match=f"{image.maker.name}.*{model.name}"):
        model.ask(image, "What?")


def test_an_encoded_picture_knows_its_sizes(load):
    image = load().encode(SMALL)
    assert (image.original, image.resized, image.grid) == ((90, 130), (84, 140), (1, 6, 10))
    assert image.features.shape == (image.tokens, 120) == (15, 120)
    assert not image.features.flags.writeable


@pytest.mark.parametrize(
    ("bounds", "resized"),
    [
        ({}, (84, 140)),
        ({"image_tokens": 7}, (56, 84)),
        ({"max_pixels": 28 * 28 * 12}, (56, 112)),
        ({"min_pixels": 28 * 28 * 40}, (168, 224)),
        ({"min_pixels": 28 * 28 * 40, "image_tokens": 60}, (168, 224)),
    ],
)
def test_bounds_decide_what_a_picture_costs(load, bounds, resized):
    model = load()
    assert model.encode(SMALL, **bounds).resized == resized
    usage = model.ask(SMALL, "What?", max_tokens=1, **bounds).usage
    assert usage.image_tokens == resized[0] * resized[1] // 28**2


@pytest.mark.parametrize(
    "bounds",
    [
        {"image_tokens": 0},
        {"max_pixels": -5},
        {"min_pixels": 2.5},
        {"max_pixels": 100},
        {"min_pixels": 50_000, "max_pixels": 10_000},
        {"image_tokens": 4, "max_pixels": 5000},
        {"image_token": 4},
    ],
)
def test_bounds_that_leave_no_picture_are_refused(load, bounds):
    with pytest.raises(UsageError):
        load().encode(SMALL, **bounds)


@pytest.fixture
def no_resize(monkeypatch):
    def resized(*_):
        pytest.fail("the picture was enlarged before its tokens were counted")

    monkeypatch.setattr(processing, "resize_bicubic", resized)


@pytest.mark.parametrize(("image", "options"), [(SMALL, {}), (FRAMES, {"fps": 2.0})])
def test_what_no_prompt_has_room_for_is_refused_before_it_is_enlarged(load, no_resize, image, options):
    with pytest.raises(ContextLengthError, match="takes 4096"):
        load(cache=False).encode(image, min_pixels=5000 * 28 * 28, **options)


def test_so_is_what_the_models_own_bound_enlarges_too_far(load, checkpoint, tmp_path, no_resize):
    bounds = {"min_pixels": 400_000_000, "max_pixels": 400_000_000}
    file = "preprocessor_config.json"
    model = galago.load(configured(checkpoint("qwen2_5_vl"), tmp_path / "copy", file, **bounds), cache=False)
    with pytest.raises(ContextLengthError, match="takes 4096"):
        model.ask(SMALL, "What?")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_tokens_of_a_visual_are_known_before_its_patches(load, family, count):
    processor = load(family).engine.model.processor
    frames = [FRAMES[0]] * count
    assert processor.video_grid(count, *FRAMES[0].shape[:2]) == processor.video(frames, 2.0).grid
    assert processor.image_grid(*SMALL.shape[:2]) == processor.image(SMALL).grid


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoded_video_answers_as_its_frames(load, family):
    model = load(family, cache=False)
    frames = [{"role": "user", "content": [{"type": "video", "video": FRAMES, "fps": 1.5}, "What happens?"]}]
    video = model.encode(FRAMES, fps=1.5)
    given = [{"role": "user", "content": [{"type": "video", "video": video}, "What happens?"]}]
    assert video.grid == (3, 4, 8)
    assert model.chat(given, max_tokens=10).text == model.chat(frames, max_tokens=10).text


def test_features_stand_in_the_right_part_of_a_message(load):
    model = load()
    video = model.encode(FRAMES, fps=2.0)
    with pytest.raises(UsageError, match="wrong part"):
        model.ask(video, "What?")
    with pytest.raises(UsageError, match="wrong part"):
        model.chat([{"role": "user", "content": [{"type": "video", "video": model.encode(SMALL)}]}])


@pytest.mark.parametrize(
    ("image", "options"),
    [(SMALL, {"fps": 2.0}), (FRAMES, {}), ([], {"fps": 2.0}), (FRAMES, {"fps": "2"}), (FRAMES, {"fps": -1})],
)
def test_a_rate_belongs_to_a_list_of_frames(load, image, options):
    with pytest.raises(UsageError, match=r"fps|frames"):
        load().encode(image, **options)


def test_a_picture_that_is_missing_is_refused(load, tmp_path):
    with pytest.raises(PictureError):
        load().ask(tmp_path / "missing.png", "What?")


def test_nothing_is_answered_when_one_of_many_cannot_be(load, monkeypatch):
    model = load()
    with pytest.raises(PictureError):
        model.ask_many([(SMALL, "What?"), ("missing.png", "What?")])
    assert len(model.engine.prefixes) == 0


def test_closing_a_model_frees_its_caches(load):
    with load(cache=False) as model:
        model.ask(SMALL, "What?", max_tokens=2)
    assert (model.engine.features.nbytes, model.engine.prefixes.nbytes) == (0, 0)
