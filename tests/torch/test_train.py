"""`nano` is trained by the classes that answer: losses fall, runs resume, turns see what they should."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from galago import nn
from galago.cli import main
from galago.drawing import Question
from galago.engine.checkpoint import open_checkpoint
from galago.errors import DeviceError, TrainingError, UsageError
from galago.formats import safetensors
from galago.models import family
from galago.train import checkpoint, nano
from galago.train.batches import LEVELS, Spelling, make_batch, pack, patches
from galago.train.export import write_mean, write_model
from galago.train.learner import Learner
from galago.train.pool import Source, draw_shard, load_shard, save_shard
from galago.train.settings import Settings

CONFIG = json.loads((nano.NANO / "config.json").read_text())
# torch 2.13 warns about itself when something is compiled for the first time
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
SCENE = Source("scene", (4, 4), fonts="minimal")
DIAL = Source("gauge", (5, 5), fonts="minimal")


@pytest.fixture(scope="module")
def spelling():
    return Spelling(Tokenizer.from_file(str(nano.NANO / "tokenizer.json")))


@pytest.fixture(scope="module")
def shard():
    return draw_shard(SCENE, 5, 4)


@pytest.fixture
def settings(tmp_path):
    return Settings(
        out=tmp_path, background=False, dtype="float32", patches=256, warmup=2, fonts="minimal", largest=24,
        validation=0, tokens_per_cell=4.0,
    )  # fmt: skip


def run_steps(run, stage, count):
    pool = nano.open_pool(run.settings)
    run.enter(stage)
    return [run.step(pool).loss for _ in range(count)]


def test_the_loss_falls_in_every_stage(settings):
    run = nano.Run(settings)
    for stage in ("look", "answer"):
        losses = run_steps(run, stage, 4)
        assert losses[-1] < losses[0]


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(settings):
    run = nano.Run(settings)
    run_steps(run, "answer", 1)
    run.save()
    straight = run_steps(run, "answer", 2)
    resumed = nano.Run(replace(settings, resume=True))
    assert resumed.progress.step == 1
    assert run_steps(resumed, "answer", 2) == pytest.approx(straight, rel=1e-6)


def test_resuming_without_a_checkpoint_says_so(settings):
    with pytest.raises(TrainingError, match=r"no checkpoint at .*checkpoint.pt"):
        nano.Run(replace(settings, resume=True))


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not one")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        checkpoint.load(tmp_path / "checkpoint.pt")


def test_a_turn_sees_its_picture_and_itself_only(shard, spelling):
    learner = Learner(CONFIG, seed=1, dtype="float32")
    batch = make_batch(shard, spelling, np.random.default_rng(0))
    with torch.no_grad():
        features = learner.encode(batch)
        together = learner.hidden(features, batch, batch.rows)
        rows = batch.rows[-1]
        alone = replace(rows, picture=rows.picture[:1], ids=rows.ids[:1], targets=rows.targets[:1])
        single = learner.hidden(features, batch, [alone])
    prefix = len(batch) * (batch.grid[0] * batch.grid[1] + 3)
    start = prefix + sum(group.ids.size for group in batch.rows[:-1])
    torch.testing.assert_close(together[start : start + rows.ids.shape[1]], single[prefix:])


def test_boxes_and_needles_are_learned_in_every_cell_that_has_one(shard, spelling):
    learner = Learner(CONFIG, seed=1, dtype="float32")
    dials = draw_shard(DIAL, 5, 3)
    seen = {}
    for drawn in (shard, dials):
        batch = make_batch(drawn, spelling, np.random.default_rng(0), tokens_per_cell=0)
        seen |= learner.scores(batch).tasks
    assert seen["cell.box"][2] == 4 * 3 * (shard.cells.kind > 0).sum()
    assert seen["cell.needle"][2] == len(dials)


def test_patches_are_those_of_the_processor(shard):

    found = family(CONFIG["model_type"])
    preprocessor = json.loads((nano.NANO / "preprocessor_config.json").read_text())
    processor = found.processor(found.parse_config(CONFIG), preprocessor)
    ours = patches(shard.pixels[:1], torch.device("cpu"), torch.float32)
    np.testing.assert_allclose(ours.numpy(), processor.image(shard.pixels[0]).patches, atol=1e-5)


def test_text_read_from_a_picture_is_one_token_per_character(spelling):
    read = spelling.turn(0, [Question("Read the text.", "What a red ring", "line", spelled=True)])
    assert (~read.known).sum() == len("What a red ring") + 1
    said = spelling.turn(0, [Question("What is it?", "A red ring.", "caption")])
    assert (~said.known).sum() < len("A red ring.")


def test_values_inside_json_are_spelled_and_its_keys_are_not(spelling):
    turn = spelling.turn(0, [Question("As JSON.", '{"name": "the circle", "n": null}', "json")])
    ids = np.array(turn.ids)[~turn.known]
    assert bytes(b for b in ids.tolist() if b < 256).count(b"the circle"[4]) >= 1
    assert all(letter in ids for letter in b"the circle")


def test_the_last_digit_of_a_coordinate_weighs_least_and_other_numbers_as_words(spelling):
    box = spelling.turn(0, [Question("Box it.", '[{"bbox_2d": [7, 15, 9, 116], "label": "star"}]', "box")])
    told = [(chr(i), w) for i, w in zip(box.ids, box.weight, strict=True) if i in list(b"0123456789")]
    assert "".join(digit for digit, _ in told) == "7159116"
    last, other = told[0][1], told[1][1]
    assert last < 1 < other
    assert [weight for _, weight in told] == [last, other, last, last, other, other, last]
    assert set(box.weight.tolist()) == {last, 1.0, other}
    (rows,) = pack([box])
    place = box.ids.index(ord("6"))
    assert rows.targets[0, place - 1] == ord("6")
    assert rows.weight[0, place - 1] == last
    read = Question("Read it.", "15", "seven_segment", spelled=True)
    assert set(spelling.turn(0, [read]).weight.tolist()) == {1.0}
    for pair in ([read, Question("Where?", "15", "edge")], [Question("Where?", "15", "edge"), read]):
        both = spelling.turn(0, pair)
        weights = [w for i, w in zip(both.ids, both.weight, strict=True) if i in list(b"15")]
        assert weights == ([1, 1, other, last] if pair[0] is read else [other, last, 1, 1])


@pytest.mark.parametrize("task", ["caption", "group"])
def test_the_word_that_says_how_many_weighs_more_than_what_it_counts(spelling, task):
    said = "Two red rings, a blue star and three grey stars."
    turn = spelling.turn(0, [Question("What is it?", said, task)])
    tokenizer = Tokenizer.from_file(str(nano.NANO / "tokenizer.json"))
    heavy = [tokenizer.id_to_token(i) for i, w in zip(turn.ids, turn.weight, strict=True) if w > 1]
    assert heavy == ["Two", "\u0120a", "\u0120t"]  # "three" is more than one token
    assert all(weight == 1 for weight, known in zip(turn.weight, turn.known, strict=True) if known)
    other = spelling.turn(0, [Question("What is it?", said, "kind")])
    assert set(other.weight.tolist()) == {1.0}


def test_turns_are_padded_to_their_group_only(spelling):
    words = ["no", "yes", "a " * 40, "b " * 60]
    turns = [spelling.turn(n, [Question("What?", w, "t", spelled=True)]) for n, w in enumerate(words)]
    packed = pack(turns)
    assert sum(len(rows.ids) for rows in packed) == len(turns)
    assert all(rows.ids.shape[1] <= 8 * -(-LEVELS[-1] // 8) for rows in packed)
    assert min(rows.ids.shape[1] for rows in packed) < 32


def test_a_shard_reads_back_as_it_was_written(tmp_path, shard):
    save_shard(tmp_path / "a.npz", shard)
    again = load_shard(tmp_path / "a.npz")
    assert again.questions == shard.questions
    np.testing.assert_array_equal(again.pixels, shard.pixels)


def test_weights_that_no_loss_reaches_are_known(shard, spelling):
    learner = Learner(CONFIG, seed=0, dtype="float32")
    for drawn in (shard, draw_shard(DIAL, 5, 3)):
        batch = make_batch(drawn, spelling, np.random.default_rng(0))
        torch.autograd.backward(learner.scores(batch).loss)
    assert learner.gradients().keys() == learner.masters.keys()


def test_shared_weights_are_the_ones_computed_with():
    learner = Learner(CONFIG, seed=0, dtype="float32")
    names = {name for name, *_ in nn.parameters(learner.model.module)}
    assert names <= learner.live.keys()


def test_a_checkpoint_becomes_a_model_folder_with_every_tensor(settings, tmp_path):
    run = nano.Run(settings)
    run.save()
    write_model(run.checkpoint_path, tmp_path / "nano")
    written = safetensors.open_folder(tmp_path / "nano")
    chosen = family(CONFIG["model_type"])
    for tensor in chosen.tensors(chosen.parse_config(CONFIG)):
        stored = written.pop(tensor.spellings[0])
        assert stored.shape == tensor.shape
        bits = torch.from_numpy(stored.array.copy()).view(torch.bfloat16)
        torch.testing.assert_close(bits.flatten(), run.learner.masters[tensor.ours].bfloat16().flatten())
    assert not written


def test_the_mean_of_two_models_has_the_mean_of_each_weight(tmp_path):
    folders = [str(tmp_path / name) for name in ("one", "other", "mean")]
    learners = [Learner(CONFIG, seed=seed, dtype="float32") for seed in (1, 2)]
    for folder, learner in zip(folders, learners, strict=False):
        state = checkpoint.Checkpoint(learner.masters, learner.masters, {}, {})
        checkpoint.save(tmp_path / "state.pt", state)
        write_model(tmp_path / "state.pt", Path(folder))
    write_mean(folders[:2], Path(folders[2]))
    found = [open_checkpoint(folder) for folder in folders]
    for tensor in found[0].tensors:
        one, other, mean = (np.asarray(each.weight(tensor, "f32")) for each in found)
        np.testing.assert_allclose(mean, (one + other) / 2, rtol=2**-8, atol=1e-6)


def test_the_whole_pipeline_leaves_a_model_a_log_and_checkpoints(settings):
    progress = nano.train(replace(settings, minutes=0.02, validation=2, log_s=0.0, stage="all"))
    assert progress.stage == "settle"
    assert progress.turns > 0
    names = {path.name for path in settings.out.iterdir()}
    assert {"checkpoint.pt", "settled.pt", "log.jsonl", "model"} <= names
    records = [json.loads(line) for line in (settings.out / "log.jsonl").read_text().splitlines()]
    assert any(record.get("validation") for record in records)
    assert {record["stage"] for record in records} == {"look", "answer", "settle"}


@pytest.mark.parametrize("name", ["checkpoint.pt", "settled.pt"])
def test_the_checkpoints_of_another_run_are_not_written_over(settings, name):
    (settings.out / name).write_bytes(b"weeks of work")
    with pytest.raises(TrainingError, match="holds a run") as caught:
        nano.train(replace(settings, minutes=0.01))
    assert "--resume" in caught.value.hint
    assert (settings.out / name).read_bytes() == b"weeks of work"


def test_a_folder_that_cannot_be_made_is_refused(settings):
    (settings.out / "file").write_bytes(b"")
    for name in ("file", "file/run", "a" * 300):
        with pytest.raises(TrainingError, match="cannot be written"):
            nano.train(replace(settings, out=settings.out / name, minutes=0.01))


@pytest.mark.parametrize(
    "options",
    [
        {"device": "gpu"}, {"device": "cuda:x"}, {"seed": -1}, {"minutes": -1.0}, {"minutes": 0.0},
        {"minutes": float("nan")}, {"minutes": float("inf")}, {"processes": 0}, {"processes": -1},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_a_misuse(settings, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        replace(settings, **options)


@pytest.mark.parametrize("option", ["--device gpu", "--seed -1", "--minutes nan", "--processes 0"])
def test_the_command_refuses_them_before_anything_is_made(tmp_path, capsys, option):
    assert main(["train", "nano", "--out", str(tmp_path / "run"), *option.split()]) == 2
    assert "\n  try: galago train --help\n" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_there_is_named(settings):
    with pytest.raises(DeviceError):
        nano.train(replace(settings, device="cuda", minutes=0.01))


def test_an_unknown_stage_is_refused_by_name(settings):
    with pytest.raises(TrainingError, match="looking"):
        nano.train(replace(settings, stage="looking"))


@pytest.mark.slow
def test_helpers_and_the_drawing_process_share_the_work(settings):
    shared = replace(settings, processes=2, background=True, minutes=0.2, shards=8, stage="answer")
    assert nano.train(shared).pictures > 0


def test_a_run_may_start_from_a_model_folder(settings, tmp_path):
    run = nano.Run(replace(settings, seed=3))
    run.save()
    write_model(run.path, tmp_path / "model")
    started = nano.Run(replace(settings, start=str(tmp_path / "model")))
    for name, master in started.learner.masters.items():
        if not name.startswith("heads."):
            assert torch.equal(master, run.learner.masters[name].bfloat16().float()), name


def test_a_run_resumes_or_starts_from_a_model_and_not_both(settings):
    with pytest.raises(TrainingError, match="cannot start from nano"):
        nano.train(replace(settings, resume=True, start="nano"))
