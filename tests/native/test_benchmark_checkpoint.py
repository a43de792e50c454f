"""A checkpoint that the benchmark made is one that Galago loads, packs and answers with."""

import galago
from benchmarks.checkpoints import named_config, write_checkpoint
from benchmarks.workloads import WORKLOADS, pictures
from galago.compress import convert


def test_a_random_checkpoint_is_packed_and_answers_at_length(tmp_path):
    write_checkpoint(named_config("w2"), tmp_path / "w2")
    convert(tmp_path / "w2", tmp_path / "w2-q4")
    picture = pictures(WORKLOADS["w2"], tmp_path)[0]
    answers = [
        galago.load(tmp_path / name, cache=False).ask(picture, "What is it?", max_tokens=9, min_tokens=9)
        for name in ("w2", "w2-q4")
    ]
    assert [answer.usage.completion_tokens for answer in answers] == [9, 9]
    assert [answer.usage.image_tokens for answer in answers] == [64, 64]
