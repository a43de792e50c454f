"""Fewer visual tokens by merging: off is off, places stay, caches are not mixed, nonsense is refused."""

import numpy as np
import pytest

import galago
from cases import picture
from checkpoints import FAMILIES
from galago import EncodedImage, UsageError
from galago.cli import main
from galago.engine.merging import kept_tokens, merge_similar

SMALL = picture(140, 196, 6)
CELLS = 5 * 7


@pytest.fixture
def load(checkpoint, tmp_path):
    def load(family="qwen2_5_vl", cache=tmp_path / "cache", **options):
        return galago.load(checkpoint(family), cache=cache, **options)

    return load


def messages(*parts, text="What is it?"):
    return [{"role": "user", "content": [*({"type": "image", "image": part} for part in parts), text]}]


def prompt_of(model, given, **options):
    job = model.engine._prepare(model._request(given, options))
    for sight in job.sights:
        model.engine._seen(sight)
    return job.prompt


def features(count, width=12, seed=0):
    return np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32)


def test_merging_none_changes_nothing():
    given = features(9)
    merged, kept = merge_similar(given, 9)
    np.testing.assert_array_equal(merged, given)
    assert kept.tolist() == list(range(9))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("cells", [8, 9, 31])
def test_so_many_are_left_each_at_a_place_of_its_own(cells, count):
    merged, kept = merge_similar(features(cells), count)
    assert merged.shape == (count, 12)
    assert merged.dtype == np.float32
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert len(kept) == count


def test_the_sum_of_all_is_kept_when_one_is_left():
    given = features(13)
    merged, _ = merge_similar(given, 1)
    np.testing.assert_allclose(merged[0], given.mean(axis=0), atol=1e-6)


def test_equal_features_go_first_and_different_ones_stay_bit_by_bit():
    given = features(8)
    given[4] = given[5]  # neighbours in different halves
    merged, kept = merge_similar(given, 7)
    assert kept.tolist() == [0, 1, 2, 3, 5, 6, 7]
    np.testing.assert_array_equal(merged, given[kept])


def test_a_feature_of_zeros_or_nan_harms_no_other():
    given = features(8)
    given[0], given[3] = 0, np.nan
    merged, kept = merge_similar(given, 6)
    assert np.isnan(merged).any(axis=1).sum() == 1
    assert len(kept) == 6


def test_at_least_one_token_is_kept():
    assert [kept_tokens(35, share) for share in (1.0, 0.5, 0.001)] == [35, 18, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_share_of_one_is_what_no_option_is(load, family):
    model = load(family, cache=False)
    plain, whole = (model.encode(SMALL, **given) for given in ({}, {"keep_tokens": 1.0}))
    assert whole.key == plain.key
    assert whole is model.encode(SMALL, keep_tokens=None)
    np.testing.assert_array_equal(model.logits(messages(SMALL), keep_tokens=1), model.logits(messages(SMALL)))


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_tokens_have_the_positions_they_had(load, family):
    model = load(family, cache=False)
    given = messages(SMALL, picture(84, 84, 2))
    whole, fewer = prompt_of(model, given), prompt_of(model, given, keep_tokens=0.4)
    assert fewer.image_tokens == 14 + 4
    assert fewer.next_position == whole.next_position
    stays, first = whole.feature_rows < 0, 0
    for image, cells in zip(fewer.images, (CELLS, 9), strict=True):
        stays[np.flatnonzero(whole.feature_rows >= 0)[first + image.kept]] = True
        first += cells
    np.testing.assert_array_equal(fewer.positions, whole.positions[:, stays])
    np.testing.assert_array_equal(fewer.ids, whole.ids[stays])


def test_keeping_every_token_by_hand_gives_the_same_logits(load):
    model = load(cache=False)
    whole = model.encode(SMALL)
    listed = galago.EncodedImage(
        whole.features, whole.grid, whole.resized, whole.original, whole.key, whole.maker,
        kept=np.arange(CELLS),
    )  # fmt: skip
    want = model.logits(messages(whole))
    np.testing.assert_array_equal(model.logits(messages(listed)), want)


def test_features_and_prefixes_of_different_shares_are_not_mixed(load):
    model, fresh = load(), load(cache=False)
    keys = {model.encode(SMALL, keep_tokens=share).key for share in (None, 0.5, 0.6, 0.25)}
    assert len(keys) == 4
    for share in (None, 0.5, 0.25, None, 0.5):
        got = model.ask(SMALL, "What is it?", max_tokens=6, keep_tokens=share)
        fresh.close()
        want = fresh.ask(SMALL, "What is it?", max_tokens=6, keep_tokens=share)
        assert got.text == want.text
        assert got.usage.image_tokens == (CELLS if share is None else kept_tokens(CELLS, share))


def test_a_second_question_finds_the_prefix_of_the_same_share(load):
    model = load(cache=False)
    first = model.ask(SMALL, "What is it?", max_tokens=2, keep_tokens=0.5)
    second = model.ask(SMALL, "Where is it?", max_tokens=2, keep_tokens=0.5)
    assert second.usage.cached_tokens > first.usage.image_tokens
    assert model.ask(SMALL, "Where is it?", max_tokens=2).usage.cached_tokens < first.usage.image_tokens


def test_pictures_encoded_together_are_merged_each_by_itself(load):
    model = load(cache=False)
    shown = [(SMALL, "What is it?"), (picture(84, 84, 2), "What is it?"), (picture(56, 84, 3), "Where?")]
    alone = [model.ask(*pair, max_tokens=4, keep_tokens=0.5).text for pair in shown]
    model.close()
    assert [one.text for one in model.ask_many(shown, max_tokens=4, keep_tokens=0.5)] == alone


def test_a_video_can_be_merged(load):
    model = load(cache=False)
    frames = [picture(84, 84, seed) for seed in range(4)]
    assert model.encode(frames, fps=2.0, keep_tokens=0.5).tokens == 9


def test_merged_features_are_saved_and_loaded(load, tmp_path):
    model = load()
    image = model.encode(SMALL, keep_tokens=0.5)
    image.save(tmp_path / "merged")
    loaded = EncodedImage.load(tmp_path / "merged")
    np.testing.assert_array_equal(loaded.kept, image.kept)
    want = model.logits(messages(image))
    np.testing.assert_array_equal(model.logits(messages(loaded)), want)
    np.testing.assert_array_equal(load().encode(SMALL, keep_tokens=0.5).kept, image.kept)


def test_given_features_are_not_merged_again(load):
    model = load(cache=False)
    whole, half = model.encode(SMALL), model.encode(SMALL, keep_tokens=0.5)
    with pytest.raises(UsageError, match="have 35 of 35 tokens"):
        model.ask(whole, "What is it?", keep_tokens=0.5)
    assert model.ask(half, "What is it?", keep_tokens=0.5, max_tokens=1).usage.image_tokens == 18
    assert model.ask(half, "What is it?", max_tokens=1).usage.image_tokens == 18


@pytest.mark.parametrize("share", [0, -0.5, 1.5, True, "half", float("nan")])
def test_a_share_that_is_none_is_refused(load, share):
    with pytest.raises(UsageError, match="keep_tokens is"):
        load(cache=False).ask(SMALL, "What is it?", keep_tokens=share)


def test_a_picture_that_no_prompt_has_room_for_is_refused_before_it_is_merged(load):
    with pytest.raises(galago.ContextLengthError):
        load(cache=False).ask(picture(1820, 1820, 1), "What?", keep_tokens=0.01)


def test_greedy_answers_of_the_command_line_are_those_of_the_library(load, checkpoint, tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.fromarray(SMALL).save(path)
    folder = str(checkpoint("qwen2_5_vl"))
    words = ["ask", str(path), "What is it?", "-m", folder, "--no-cache", "--max-tokens", "5"]
    assert main([*words, "--keep-tokens", "0.5"]) == 0
    want = load(cache=False).ask(SMALL, "What is it?", max_tokens=5, keep_tokens=0.5).text
    assert capsys.readouterr().out.strip() == want.strip()
    assert main([*words, "--keep-tokens", "2"]) == 2
