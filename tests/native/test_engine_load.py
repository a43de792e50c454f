"""Models that load, and model folders that are refused in one line with a way out."""

import json
import shutil

import numpy as np
import pytest

import galago
from asking import relative_error
from cases import picture
from checkpoints import FAMILIES, bf16_bits
from doctored import configured, edited
from galago import (
    ConfigError,
    ModelNotFoundError,
    OutOfMemoryError,
    UsageError,
    WeightError,
    packing,
)
from galago.compress import convert
from galago.engine import source
from galago.engine.checkpoint import open_checkpoint
from galago.engine.planner import Planner
from galago.formats import safetensors

SMALL = picture(90, 130, 6)
MESSAGES = [{"role": "user", "content": [{"type": "image", "image": SMALL}, "What is it?"]}]
NAME = "model.layers.2.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def hub(checkpoint):
    return checkpoint("qwen2_5_vl")


def refused(folder, error, match):
    with pytest.raises(error, match=match) as caught:
        galago.load(folder, cache=False)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "missing", ModelNotFoundError, "missing")


def test_an_installation_without_its_embedded_model_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(source, "__file__", str(tmp_path / "engine" / "source.py"))
    assert "galago train nano" in refused("nano", ModelNotFoundError, "not in this installation").hint


def test_a_name_that_nearly_is_one_is_told():
    assert "'nano'" in refused("nanno", ModelNotFoundError, "nanno").hint


def test_a_hub_id_says_that_nothing_is_downloaded():
    assert "not downloaded" in refused("someone/model", ModelNotFoundError, "someone/model").hint


def test_a_gguf_file_is_refused_by_name(tmp_path):
    refused(tmp_path / "model.gguf", ModelNotFoundError, "GGUF")


def test_a_file_is_no_model(hub):
    refused(hub / "config.json", ModelNotFoundError, "is a file")


def test_a_folder_without_config_is_refused(hub, tmp_path):
    shutil.copytree(hub, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").unlink()
    assert refused(tmp_path / "copy", ConfigError, r"config\.json is missing").hint


def test_a_folder_without_weights_is_refused(hub, tmp_path):
    shutil.copytree(hub, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").unlink()
    refused(tmp_path / "copy", WeightError, r"model\.safetensors")


@pytest.mark.parametrize("model_type", ["qwen3_vl", 7, None])
def test_an_unknown_family_is_refused(hub, tmp_path, model_type):
    refused(configured(hub, tmp_path / "copy", model_type=model_type), ConfigError, "model_type")


def test_an_unknown_config_key_is_refused(hub, tmp_path):
    refused(configured(hub, tmp_path / "copy", rope_thetta=3), ConfigError, "rope_thetta")


def test_end_tokens_must_be_tokens(hub, tmp_path):
    folder = configured(hub, tmp_path / "copy", file="generation_config.json", eos_token_id=100_000)
    refused(folder, ConfigError, r"eos_token_id.*100000")


@pytest.mark.parametrize("end", [True, [True], [], "a", [5, 2.0]])
def test_end_tokens_must_be_whole_numbers(hub, tmp_path, end):
    folder = configured(hub, tmp_path / "copy", file="generation_config.json", eos_token_id=end)
    refused(folder, ConfigError, "eos_token_id")


@pytest.mark.parametrize("templates", [["a"], [[1]], [7]])
def test_a_list_of_templates_that_are_none_is_refused(hub, tmp_path, templates):
    folder = configured(hub, tmp_path / "copy", file="tokenizer_config.json", chat_template=templates)
    (folder / "chat_template.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json.*chat_template"):
        galago.load(folder, cache=False).ask(SMALL, "What?")


def test_end_tokens_come_from_the_config_where_no_other_file_has_them(hub, tmp_path):
    folder = configured(hub, tmp_path / "copy", file="generation_config.json", eos_token_id=None)
    want = json.loads((hub / "config.json").read_text())["eos_token_id"]
    assert galago.load(folder, cache=False).engine.model.end_ids == (want,)


def test_a_folder_without_image_settings_is_refused(checkpoint, tmp_path):
    folder = configured(
        checkpoint("qwen2_5_vl", naming="resaved"),
        tmp_path / "copy",
        file="processor_config.json",
        image_processor=None,
    )
    refused(folder, ConfigError, "image_processor")


def test_a_template_without_a_place_for_the_picture_is_refused(hub, tmp_path):
    folder = configured(
        hub, tmp_path / "copy", file="tokenizer_config.json", chat_template="{{ messages[0].role }}"
    )
    (folder / "chat_template.json").unlink()
    model = galago.load(folder, cache=False)
    with pytest.raises(ConfigError, match="0 places for 1 picture"):
        model.ask(SMALL, "What?")


def test_a_missing_tensor_is_named(hub, tmp_path):
    folder = edited(hub, tmp_path / "copy", lambda tensors: tensors.pop(NAME))
    refused(folder, WeightError, NAME.replace(".", r"\."))


def test_a_renamed_tensor_is_named_with_its_new_name(hub, tmp_path):
    def rename(tensors):
        tensors[NAME + "s"] = tensors.pop(NAME)

    error = refused(edited(hub, tmp_path / "copy", rename), WeightError, "lacks")
    assert NAME + "s" in error.hint


def test_an_extra_tensor_is_named(hub, tmp_path):
    def add(tensors):
        tensors["model.layers.99.secret"] = np.zeros(3, np.float32)

    refused(edited(hub, tmp_path / "copy", add), WeightError, r"model\.layers\.99\.secret")


def test_a_known_and_unused_tensor_is_accepted(hub, tmp_path):
    def add(tensors):
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(10, np.float32)

    galago.load(edited(hub, tmp_path / "copy", add), cache=False)


def test_a_wrong_shape_is_told_with_both_shapes(hub, tmp_path):
    def cut(tensors):
        tensors[NAME] = tensors[NAME][:-1].copy()

    refused(edited(hub, tmp_path / "copy", cut), WeightError, r"\[119, 136\].*\[120, 136\]")


def test_a_wrong_dtype_is_told(hub, tmp_path):
    shutil.copytree(hub, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    tensors = {
        name: np.array(tensor.array) for name, tensor in safetensors.open_file(hub / file.name).items()
    }
    tensors[NAME] = tensors[NAME].astype(np.int8)
    safetensors.write(file, tensors)
    refused(tmp_path / "copy", WeightError, f"{NAME}.*I8")


@pytest.mark.parametrize("keep", [0, 5, 100, -1000])
def test_a_truncated_weight_file_is_refused(hub, tmp_path, keep):
    shutil.copytree(hub, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    refused(tmp_path / "copy", WeightError, r"model\.safetensors")


def test_a_half_precision_checkpoint_is_widened(hub, tmp_path):
    shutil.copytree(hub, tmp_path / "copy")
    file = tmp_path / "copy" / "model.safetensors"
    tensors = {name: tensor.array.astype(np.float16) for name, tensor in safetensors.open_file(file).items()}
    safetensors.write(file, tensors)
    model = galago.load(tmp_path / "copy", cache=False)
    rounded = edited(
        hub,
        tmp_path / "rounded",
        lambda held: held.update(
            {name: array.astype(np.float16).astype(np.float32) for name, array in held.items()}
        ),
    )
    np.testing.assert_array_equal(model.logits(MESSAGES), galago.load(rounded, cache=False).logits(MESSAGES))


def test_packing_weights_that_are_not_finite_names_the_tensor(hub, tmp_path):
    def spoil(tensors):
        tensors[NAME][3, 3] = np.inf

    folder = edited(hub, tmp_path / "copy", spoil)
    with pytest.raises(WeightError, match=NAME):
        galago.load(folder, weights="q4", cache=False)


def mean_error(got, want):
    """The mean difference over the spread of the logits: what random weights make of every rounding."""
    return float(np.abs(got - want).mean() / want.std())


@pytest.mark.parametrize(("weights", "most"), [("bf16", 0.07), ("q8", 0.25), ("q4", 0.8)])
@pytest.mark.parametrize("family", FAMILIES)
def test_other_weights_compute_nearly_the_same(checkpoint, family, weights, most):
    folder = checkpoint(family)
    want = galago.load(folder, cache=False).logits(MESSAGES)
    model = galago.load(folder, weights=weights, cache=False)
    assert 1e-3 < mean_error(model.logits(MESSAGES), want) < most  # half of it is met
    assert model.info()["weights"] == weights


def test_rounded_weights_are_those_of_a_rounded_checkpoint(hub, tmp_path):
    def rounded(tensors):
        for name, tensor in tensors.items():
            if tensor.ndim > 1:
                tensors[name] = packing.from_bf16(bf16_bits(tensor))

    want = galago.load(edited(hub, tmp_path / "copy", rounded), cache=False).logits(MESSAGES)
    got = galago.load(hub, weights="bf16", cache=False).logits(MESSAGES)
    assert relative_error(got, want) < 1e-5


@pytest.mark.parametrize("weights", ["bf16", "q8", "q4"])
def test_a_packed_folder_computes_what_conversion_on_load_computes(hub, tmp_path, weights):
    convert(hub, tmp_path / "packed", weights=weights)
    packed = galago.load(tmp_path / "packed", cache=False)
    converted = galago.load(hub, weights=weights, cache=False)
    np.testing.assert_array_equal(packed.logits(MESSAGES), converted.logits(MESSAGES))
    for fact in ("weights", "weights_bytes", "parameters"):
        assert packed.info()[fact] == converted.info()[fact]


def test_weights_packed_in_other_groups_stay_as_they_are(hub, tmp_path):
    convert(hub, tmp_path / "packed", weights="q4", group=64)
    held, asked = (galago.load(tmp_path / "packed", weights=kind, cache=False) for kind in (None, "q4"))
    np.testing.assert_array_equal(held.logits(MESSAGES), asked.logits(MESSAGES))
    assert asked.engine.model.network.module.language.blocks[0].q.weight.group == 64


def test_packed_weights_are_mapped_not_copied(hub, tmp_path):
    convert(hub, tmp_path / "packed", weights="q4")
    network = galago.load(tmp_path / "packed", cache=False).engine.model.network.module
    assert not network.language.blocks[0].mlp.gate.weight.codes.flags.owndata
    assert not network.language.blocks[0].mlp.gate.weight.codes.flags.writeable


@pytest.mark.parametrize("part", ["codes", "scales"])
def test_a_packed_folder_with_a_missing_part_is_refused(hub, tmp_path, part):
    convert(hub, tmp_path / "packed", weights="q4")
    file = tmp_path / "packed" / "model.safetensors"
    stored, metadata = safetensors.open_with_metadata(file)
    name = f"language.blocks.1.mlp.up.weight.q4.{part}"
    kept = {key: np.array(tensor.array) for key, tensor in stored.items() if key != name}
    safetensors.write(file, kept, metadata)
    refused(tmp_path / "packed", WeightError, name.replace(".", r"\."))


@pytest.mark.parametrize("metadata", [{"galago": "1", "weights": "q4"}, {"galago": "2", "weights": "q3"}])
def test_a_packed_folder_of_another_version_is_refused(hub, tmp_path, metadata):
    convert(hub, tmp_path / "packed", weights="q4")
    file = tmp_path / "packed" / "model.safetensors"
    kept = {name: np.array(tensor.array) for name, tensor in safetensors.open_file(file).items()}
    safetensors.write(file, kept, metadata)
    refused(tmp_path / "packed", WeightError, "version")


def test_conversion_on_load_tells_its_progress(hub):
    told = []
    galago.load(hub, weights="q8", cache=False, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == max(total for _, total in told)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    galago.load(hub, cache=False, progress=lambda *sizes: told.append(sizes))
    assert told == []


@pytest.mark.parametrize(
    "options",
    [
        {"device": "gpu"},
        {"device": "cuda:one"},
        {"device": "cuda", "threads": 2},
        {"weights": "q5"},
        {"threads": 0},
        {"threads": "2"},
        {"threads": 1.5},
        {"threads": True},
        {"cache": 5},
        {"limits": 5},
        {"memory": "much"},
        {"memory": "0GB"},
        {"memory": -3},
    ],
)
def test_options_that_cannot_be_are_refused(hub, options):
    with pytest.raises(UsageError):
        galago.load(hub, **{"cache": False, **options})


@pytest.mark.parametrize("source", [5, None, b"nano", []])
def test_a_source_that_names_no_model_is_refused(source):
    with pytest.raises(UsageError, match="source is"):
        galago.load(source, cache=False)


def test_a_model_beyond_the_budget_is_refused_with_weights_that_fit(hub):
    least = Planner(open_checkpoint(hub), None).least_bytes()
    with pytest.raises(OutOfMemoryError, match="needs at least") as caught:
        galago.load(hub, memory=least - 1, cache=False)
    assert f"{least / 1e6:.0f}"[:2] in caught.value.hint
    assert galago.load(hub, memory=least, cache=False).ask(SMALL, "What?", max_tokens=2).text


def test_a_budget_bounds_the_caches(hub):
    model = galago.load(
        hub, memory=Planner(open_checkpoint(hub), None).least_bytes() + 4_000_000, cache=False
    )
    plan, engine = model.engine.model.plan, model.engine
    for seed in range(30):
        model.ask(picture(300, 300, seed), "What?", max_tokens=1)
    assert 0 < engine.prefixes.nbytes <= plan.prefix_bytes
    assert engine.features.nbytes <= plan.features_bytes
    assert plan.resident_bytes <= plan.budget_bytes


@pytest.mark.parametrize("naming", ["hub", "resaved"])
def test_what_a_model_says_of_itself(checkpoint, naming):
    info = galago.load(checkpoint("qwen2_5_vl", naming=naming), cache=False).info()
    assert info["family"] == "qwen2_5_vl"
    assert info["context"] == 4096
    assert info["kv_bytes_per_token"] == 4 * 2 * 4 * 3 * 20
    json.dumps(info)


def test_shards_are_read_as_one(checkpoint, hub):
    folder = checkpoint("qwen2_5_vl", shards=3)
    np.testing.assert_array_equal(
        galago.load(folder, cache=False).logits(MESSAGES), galago.load(hub, cache=False).logits(MESSAGES)
    )
