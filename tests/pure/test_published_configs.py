"""The published configurations are read, and their tables of tensors have the published sizes."""

import copy
import math

import pytest

from checkpoints import FAMILIES, doubled_config, hub_config, resaved_config
from galago import models
from galago.errors import ConfigError

TEXT = {
    "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "vision_start_token_id": 151652,
    "vision_end_token_id": 151653, "vision_token_id": 151654, "image_token_id": 151655,
    "video_token_id": 151656,
    "hidden_act": "silu", "initializer_range": 0.02, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.41.2", "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
}  # fmt: skip
PATCHES = {
    "depth": 32, "num_heads": 16, "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2,
    "spatial_patch_size": 14, "temporal_patch_size": 2,
}  # fmt: skip
PUBLISHED = {
    "Qwen2-VL-2B": (2_208_985_600, TEXT | {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "hidden_size": 1536,
        "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
        "max_window_layers": 28,
        "max_position_embeddings": 32768,
        "vision_config": PATCHES | {"embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 1536},
    }),
    "Qwen2.5-VL-3B": (3_754_622_976, TEXT | {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
        "hidden_size": 2048,
        "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "max_window_layers": 70,
        "max_position_embeddings": 128000,
        "vision_config": PATCHES | {
            "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048,
            "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2,
        },
    }),
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def flat(request):
    return hub_config(request.param, tied=False)


def parse(values):
    return models.family(values["model_type"]).parse_config(values)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_has_its_published_number_of_parameters(name):
    parameters, values = PUBLISHED[name]
    table = models.family(values["model_type"]).tensors(parse(values))
    assert sum(math.prod(tensor.shape) for tensor in table) == parameters


def test_every_layout_of_a_configuration_means_the_same(flat):
    assert parse(resaved_config(flat)) == parse(doubled_config(flat)) == parse(flat)


def test_two_copies_that_contradict_are_refused_by_name(flat):
    values = doubled_config(flat)
    values["hidden_size"] = 240
    with pytest.raises(
        ConfigError, match=r"config\.json says hidden_size = 240 and config\.json's text_config says 120"
    ):
        parse(values)


@pytest.mark.parametrize("place", ["text_config", "vision_config", None])
def test_an_unknown_key_is_refused_with_its_place(flat, place):
    values = copy.deepcopy(doubled_config(flat))
    (values if place is None else values[place])["rope_thetta"] = 1
    with pytest.raises(ConfigError, match=f"{place or 'config.json'} has the unknown key 'rope_thetta'"):
        parse(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_sliding_window", True),
        ("hidden_act", "gelu"),
        ("layer_types", ["full_attention", "sliding_attention"]),
    ],
)
def test_what_is_not_computed_here_is_refused(flat, key, value):
    values = resaved_config(flat)
    values["text_config"][key] = value
    with pytest.raises(ConfigError, match=f"text_config: {key} is"):
        parse(values)


@pytest.mark.parametrize("key", ["hidden_size", "rms_norm_eps", "vision_config", "num_hidden_layers"])
def test_a_missing_size_is_named_not_guessed(flat, key):
    del flat[key]
    with pytest.raises(ConfigError, match=f"lacks '{key}'"):
        parse(flat)


@pytest.mark.parametrize("at_root", [True, False])
def test_either_place_may_tie_the_output_to_the_embedding(flat, at_root):
    values = resaved_config(flat)
    values["tie_word_embeddings"], values["text_config"]["tie_word_embeddings"] = at_root, not at_root
    assert parse(values).text.tied


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 10**400),
        ("num_hidden_layers", 10**9),
        ("rope_theta", -1),
        ("rope_theta", 10**400),
        ("rms_norm_eps", float("nan")),
        ("image_token_id", -1),
    ],
)
def test_a_number_that_no_model_has_is_refused_by_name(flat, key, value):
    with pytest.raises(ConfigError, match=rf"config\.json.*: {key} is") as caught:
        parse(flat | {key: value})
    assert caught.value.hint
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [["a", 8, 16], [-8, 24, 16], [8.0, 12, 12], [True, 8, 16], [20, 12], [], 3])
def test_rotary_sections_that_cannot_be_are_refused_by_name(flat, value):
    flat["rope_scaling"] = {"type": "mrope", "mrope_section": value}
    with pytest.raises(ConfigError, match=r"config\.json's rope_parameters: mrope_section is"):
        parse(flat)


@pytest.mark.parametrize("value", [[[1]], ["a"], [-1], [True], [1.0], {"a": 1}])
def test_what_is_no_number_of_a_block_cannot_see_the_whole_picture(value):
    values = hub_config("qwen2_5_vl", tied=False)
    values["vision_config"]["fullatt_block_indexes"] = value
    with pytest.raises(ConfigError, match=r"config\.json's vision_config: fullatt_block_indexes is"):
        parse(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_mean": ["a", "b", "c"]}, "image_mean is"),
        ({"image_mean": []}, "image_mean is"),
        ({"image_mean": [0.5]}, "image_mean is"),
        ({"image_mean": [0.5, 0.5, 10**400]}, "image_mean is"),
        ({"image_std": [0.5, 0.5, 0]}, "image_std is"),
        ({"image_std": [0.5, 0.5, float("nan")]}, "image_std is"),
        ({"size": {"height": 3}}, "size has the unknown key 'height'"),
        ({"size": {"shortest_edge": "a"}}, "'s size: shortest_edge is 'a'"),
        ({"min_pixels": 2.5}, "min_pixels is 2.5"),
        ({"min_pixels": 50_000, "max_pixels": 10_000}, "50000 to 10000 leave no picture"),
        ({"size": {"shortest_edge": 50_000, "longest_edge": 10_000}}, "50000 to 10000 leave no picture"),
        ({"min_pixels": 5, "max_pixels": 100}, "5 to 100 leave no picture"),
    ],
)
def test_image_settings_that_cannot_be_are_refused_by_name(flat, values, message):
    with pytest.raises(ConfigError, match=rf"preprocessor_config\.json.*{message}") as caught:
        models.family(flat["model_type"]).processor(parse(flat), values)
    assert caught.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"min_pixels": 3136, "max_pixels": 12845056},
        {"size": {"min_pixels": 3136, "max_pixels": 12845056}},
        {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
        {"size": {"shortest_edge": 1, "longest_edge": 99999}, "min_pixels": 3136, "max_pixels": 12845056},
    ],
)
def test_bounds_of_pixels_are_read_in_every_layout(flat, values):
    processor = models.family(flat["model_type"]).processor(parse(flat), values)
    assert (processor.min_pixels, processor.max_pixels) == (3136, 12845056)


FIRST = '{"bbox_2d": [1, 2, 3, 4], "label": "first"}'
TAG = "<|box_start|>({}),(30,40)<|box_end|>"
HUGE = [f"{'9' * 320}", f"{'9' * 4400}"]


@pytest.mark.parametrize("huge", [*HUGE, "1e999", "NaN", "[" * 3000, "[" * 900 + "]" * 900])
def test_a_listed_box_that_is_no_place_is_left_out(huge):
    boxes = models.family("qwen2_5_vl").boxes
    text = f'[{FIRST}, {{"bbox_2d": [{huge}, 2, 3, 4], "label": "second"}}]'
    assert [box.label for box in boxes.parse(text, (28, 28), (56, 56))] == ["first"]


def test_a_label_that_is_no_text_is_no_crash():
    text = '{"bbox_2d": [1, 2, 3, 4], "label": ' + "[" * 900 + "]" * 900 + "}"
    assert len(models.family("qwen2_5_vl").boxes.parse(text, (28, 28), (56, 56))) <= 1


@pytest.mark.parametrize("huge", HUGE)
def test_a_tagged_box_that_is_no_place_is_left_out(huge):
    boxes = models.family("qwen2_vl").boxes
    text = (
        f"<|object_ref_start|>a<|object_ref_end|>{TAG.format('10,20')}"
        f"<|object_ref_start|>b<|object_ref_end|>{TAG.format(huge + ',20')}{TAG.format('20,20')}"
    )
    found = boxes.parse(text, (28, 28), (1000, 1000))
    assert [(box.x0, box.label) for box in found] == [(10, "a"), (20, "b")]
