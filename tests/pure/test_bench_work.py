"""The work of an answer is counted from the model itself, and agrees with what is computed by hand."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from checkpoints import DIM, LAYERS, hub_config
from galago import kernels, models, nn
from galago.bench import work
from galago.kernels import counting, reference
from galago.models import family
from galago.packing import PackedWeight, part_shapes

PUBLISHED = {
    "model_type": "qwen2_5_vl", "hidden_size": 2048, "intermediate_size": 11008, "num_attention_heads": 16,
    "num_hidden_layers": 36, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "tie_word_embeddings": True, "vocab_size": 151_936, "max_position_embeddings": 128_000,
    "hidden_act": "silu", "image_token_id": 151_655, "video_token_id": 151_656,
    "vision_start_token_id": 151_652, "vision_end_token_id": 151_653,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": {
        "depth": 32, "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "in_chans": 3, "out_hidden_size": 2048, "patch_size": 14, "spatial_merge_size": 2,
        "temporal_patch_size": 2, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip
"""The 3B model of the family."""


def packed(shape, bits, group=64):
    """A packed weight of this shape whose numbers take no memory."""
    shapes = part_shapes(*shape, bits, group)
    del shapes["offsets"]
    parts = {name: np.broadcast_to(kind(0), size) for name, (kind, size) in shapes.items()}
    return PackedWeight.of(bits, group, shape, parts)


def counted(values, *, bits=None, size=512, **request):
    of_family = family(values["model_type"])
    config = of_family.parse_config(values)
    network, processor = of_family.build(config), of_family.processor(config, {})
    if bits is not None:
        nn.assign(
            network.module,
            lambda _, place: packed(place.shape, bits) if len(place.shape) == 2 else np.zeros(place.shape),
        )
    visual = processor.image(np.zeros((size, size, 3), np.uint8))
    return work.count(network, processor, visual, **request)


def test_the_work_of_the_3b_model_is_what_hand_and_paper_say():
    found = counted(PUBLISHED, prompt_tokens=357)
    patches, cells = 36 * 36, 18 * 18
    block = 4 * 1280 * 1280 + 3 * 1280 * 3420
    merger = 5120 * 5120 + 5120 * 2048
    assert found.vision.f32 == patches * (1176 * 1280 + 32 * block) + cells * merger
    windows = 16 * 64**2 + 8 * 32**2 + 16**2  # 112 pixels are 8 patches; 36 are four times 8, and 4
    assert found.vision.attention == 2 * 1280 * (4 * patches**2 + 28 * windows)
    assert (round(found.vision.f32 / 1e9), round(found.vision.attention / 1e9, 1)) == (830, 22.5)

    layer = 2048 * (2048 + 2 * 256 + 2048) + 3 * 2048 * 11_008
    behind_keys = 2048 * 2048 + 3 * 2048 * 11_008  # of the last layer one row of 357 has use for it
    assert found.prefill.f32 == 36 * 357 * layer - 356 * behind_keys + 2048 * 151_936
    assert found.prefill.attention == 36 * 2 * 2048 * (357 * 358 // 2)
    assert (round(found.prefill.f32 / 1e9), round(found.prefill.attention / 1e9, 1)) == (965, 9.4)
    assert found.token.f32 == 36 * layer + 2048 * 151_936
    assert found.token_bytes == 0  # placeholders hold none


def test_packed_weights_count_as_int8_and_are_read_once_a_token():
    found = counted(PUBLISHED, bits=4, size=56, prompt_tokens=20, new_tokens=8, kv_bytes_per_token=1000)
    assert (found.vision.f32, found.prefill.f32, found.token.f32) == (0, 0, 0)
    keys = 1000 * (20 + 4)  # half of the answer is before the average token
    assert found.token_bytes == found.token.int8 * 9 // 16 + keys  # 4.5 bits a weight


def test_a_stub_costs_what_the_weight_would():
    x = np.ones((2, 64), np.float32)
    weight = packed((4, 64), 4)
    with counting.counting() as whole:
        kernels.linear(x, weight)
    with counting.counting() as stub:
        kernels.linear(x, counting.Stub(weight.shape, weight.nbytes, is_packed=True))
    assert whole == stub


def test_every_call_of_a_kernel_is_counted():
    x, weight = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    with counting.counting() as tally:
        kernels.linear(x, weight)
        kernels.linears(x, [weight, weight], [None, None])
        kernels.gated(x, [weight, weight], [None, None])
        kernels.rms_norm(x, np.ones(3, np.float32), 1e-6)
    assert tally.calls == 4


def test_a_cached_prefix_costs_nothing_but_is_looked_at():
    whole = counted(PUBLISHED, size=56, prompt_tokens=50)
    rest = counted(PUBLISHED, size=56, prompt_tokens=50, cached_tokens=30)
    head = counted(PUBLISHED, size=56, prompt_tokens=30)
    saved, more = whole.prefill.f32 - rest.prefill.f32, whole.prefill.f32 - head.prefill.f32
    assert saved > 0
    assert saved / 30 == more / 20  # tokens
    assert rest.prefill.attention == whole.prefill.attention - head.prefill.attention


@pytest.mark.parametrize("name", models.families())
def test_the_products_of_a_token_are_the_matrices_of_the_decoder(name):
    config = hub_config(name, tied=True, dtype="f32")
    found = counted(config, prompt_tokens=5, size=56)
    of_family = family(name)
    network = of_family.build(of_family.parse_config(config))
    decoder = [p.shape for path, _, _, p in nn.parameters(network.module) if path.startswith("language.")]
    assert found.token.f32 == sum(shape[0] * shape[1] for shape in decoder if len(shape) == 2)
    assert found.token.attention == LAYERS * 2 * DIM * 6


def test_every_kernel_of_the_definition_can_be_counted():
    source = ast.parse(Path(kernels.__file__).read_text(encoding="utf-8"))
    called = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name) and node.value.func.id == "_backend"
    }  # fmt: skip
    assert called
    assert [name for name in sorted(called) if not hasattr(counting, name)] == []
    assert [name for name in sorted(called) if not hasattr(reference, name)] == []


def test_counting_ends_with_its_block_and_nests():
    x, weight = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    with counting.counting() as outer:
        kernels.linear(x, weight)
        with counting.counting() as inner:
            kernels.linear(x[:1], weight)
        kernels.linear(x, weight)
    assert (outer.f32, inner.f32) == (48, 12)
    with kernels.using(backend="numpy"):
        assert kernels.linear(x, weight)[0, 0] == 3
