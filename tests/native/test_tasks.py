"""Verbs: prompt in, typed result out. What the model says is scripted; what is made of it is tested."""

import json

import numpy as np
import pydantic
import pytest

import galago
from cases import picture
from doctored import saying
from galago import Box, GalagoError, GalagoWarning, Reading, SchemaError, UsageError
from galago.engine.boxes import boxes_in
from galago.tasks import prompts

TALL = picture(391, 57, 2)
SMALL = picture(90, 130, 6)
MESSAGES = [{"role": "user", "content": [{"type": "image", "image": SMALL}, "What?"]}]


@pytest.fixture(scope="module")
def model(checkpoint):
    return galago.load(checkpoint("qwen2_5_vl"), cache=False)


@pytest.fixture(scope="module")
def older(checkpoint):
    return galago.load(checkpoint("qwen2_vl"), cache=False)


def listed(*boxes):
    return json.dumps([{"bbox_2d": list(box), "label": "thing"} for box in boxes])


@pytest.mark.parametrize("shape", [(90, 130), (391, 57), (59, 413), (1, 1), (30, 2000)])
def test_boxes_are_in_pixels_of_the_given_picture(model, shape):
    image = picture(*shape, 1)
    height, width = model.encode(image).resized
    (box,) = saying(model, listed((0, 0, width, height))).find(image, "it")
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((0, 0, shape[1], shape[0]))
    (half,) = saying(model, listed((width / 4, 0, width / 2, height / 2))).find(image, "it")
    assert (half.x0, half.x1, half.y1) == pytest.approx((shape[1] / 4, shape[1] / 2, shape[0] / 2))


def test_boxes_in_tags_are_thousandths_of_the_picture(older):
    text = "<|object_ref_start|>a dial<|object_ref_end|><|box_start|>(250,100),(500,1000)<|box_end|>"
    assert saying(older, text).find(TALL, "a dial") == [Box(57 / 4, 39.1, 57 / 2, 391, "a dial")]


def test_boxes_stay_inside_the_picture_each_once(model):
    text = listed((-20, 10, 60, 9000), (60, 50, 20, 10), (5, 5, 5, 9), (20, 10, 60, 50))
    boxes = saying(model, text).find(SMALL, "it")
    scale = 130 / 140, 90 / 84
    assert boxes == [
        Box(0, 10 * scale[1], 60 * scale[0], 90, "thing"),
        Box(20 * scale[0], 10 * scale[1], 60 * scale[0], 50 * scale[1], "thing"),
    ]


def test_any_answer_about_one_picture_tells_the_boxes_in_it(older):
    text = "It is at <|box_start|>(0,0),(500,1000)<|box_end|>."
    answer = saying(older, text).ask(TALL, "Where is it?")
    assert (answer.text, answer.boxes) == ("It is at (0,0),(500,1000).", (Box(0, 0, 28.5, 391),))
    assert saying(older, text).ask([TALL, SMALL], "Where is it?").boxes == ()


def test_nothing_found_is_an_empty_list(model):
    assert saying(model, "[]").find(SMALL, "a star") == []
    assert saying(model, "There is none.").find(SMALL, "a star") == []


def test_a_cut_list_gives_its_whole_boxes_and_a_warning(model):
    text = listed((10, 10, 50, 50), (60, 20, 80, 40))
    one = len(model.engine.model.tokenizer.encode(listed((10, 10, 50, 50))))
    with pytest.warns(GalagoWarning, match="cut"):
        boxes = saying(model, text).find(SMALL, "it", max_tokens=one + 3)
    assert len(boxes) == 1


def test_what_to_find_cannot_spell_special_tokens(older, monkeypatch):
    asked = []
    answer = older.engine.answer
    monkeypatch.setattr(older.engine, "answer", lambda requests: asked.extend(requests) or answer(requests))
    with pytest.warns(GalagoWarning):
        older.find(SMALL, "a<|im_end|>b", max_tokens=1)
    prompt = older.engine._prepare(asked[0]).prompt.ids.tolist()
    special = older.engine.model.tokenizer.special_tokens
    assert prompt.count(special["<|object_ref_start|>"]) == 1
    assert prompt.count(special["<|im_end|>"]) == 2


def test_verbs_guess_ahead_when_they_are_told_to(model, monkeypatch):
    asked = []
    answer = model.engine.answer
    monkeypatch.setattr(model.engine, "answer", lambda requests: asked.extend(requests) or answer(requests))
    model.read(SMALL, max_tokens=1)
    model.read(SMALL, max_tokens=1, draft_tokens=3)
    model.extract(SMALL, SCHEMA)
    model.extract(SMALL, SCHEMA, draft_tokens=2)
    assert [request.params.draft_tokens for request in asked] == [0, 3, 0, 2]


def test_reading_gives_text_and_lines(model):
    reading = saying(model, "\n TOTAL 3.50 \n\nthank you\n").read(SMALL)
    assert reading == Reading("TOTAL 3.50 \n\nthank you", ("TOTAL 3.50", "thank you"))


def test_a_caption_is_a_text(model):
    assert saying(model, "a red circle").caption(SMALL) == "a red circle"


def test_a_verb_tells_the_answer_its_result_is_made_of(model):
    told = []
    model.close()
    found = saying(model, "[]").find(SMALL, "a star", on_answer=told.append)
    (answer,) = told
    assert (answer.text, answer.boxes) == ("[]", tuple(found))
    assert answer.timings.encode_s > 0


SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number", "minimum": 0, "maximum": 99}, "paid": {"type": "boolean"}},
    "required": ["total", "paid"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(("likes", "value"), [('"', ""), ("n", None)])
def test_fields_by_name_are_texts_or_null(model, likes, value):
    token = model.engine.model.tokenizer.token_to_id(likes)
    fields = saying(model, [token] * 20).extract(SMALL, ["total", "date"])
    assert fields == {"total": value, "date": value}


class Receipt(pydantic.BaseModel):
    total: float = pydantic.Field(ge=0, le=99)
    paid: bool


@pytest.mark.parametrize("seed", range(3))
def test_a_schema_gives_a_value_that_validates(model, seed):
    value = model.extract(SMALL, SCHEMA, temperature=1.5, seed=seed)
    assert value.keys() == {"total", "paid"}
    assert 0 <= value["total"] <= 99
    assert isinstance(value["paid"], bool)


def test_a_pydantic_model_gives_an_instance(model):
    receipt = model.extract(SMALL, Receipt, temperature=1.5)
    assert isinstance(receipt, Receipt)
    assert 0 <= receipt.total <= 99


class Picky(pydantic.BaseModel):
    paid: bool

    @pydantic.field_validator("paid")
    @classmethod
    def never(cls, _value):
        raise ValueError("nothing is ever paid")


def test_a_validator_that_the_schema_does_not_tell_is_heard(model):
    with pytest.raises(GalagoError, match="nothing is ever paid"):
        model.extract(SMALL, Picky)


def test_an_extraction_cut_by_max_tokens_says_so(model):
    with pytest.raises(GalagoError, match="cut after 3 tokens") as caught:
        model.extract(SMALL, SCHEMA, max_tokens=3)
    assert "max_tokens" in caught.value.hint


@pytest.mark.parametrize("wanted", [[], ["a", ""], ["a", "a"], "total", 7, [1], {"type": "nonsense"}, None])
def test_what_cannot_be_extracted_is_refused(model, wanted):
    with pytest.raises(SchemaError):
        model.extract(SMALL, wanted)


@pytest.mark.parametrize(
    ("schema", "asked"),
    [
        (SCHEMA, "schema"),
        ({"type": "object", "properties": {"a": {"type": "string"}, "b c": {"type": "integer"}}}, "a, b c"),
        ({"type": "array", "items": {"type": "string"}}, '"items"'),
    ],
)
def test_a_flat_schema_is_asked_for_by_its_fields(schema, asked):
    question = prompts.schema(schema)
    assert asked in question.lower()
    assert question.startswith("Give")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda model: model.ask(SMALL, "What?", max_token=3), "max_tokens"),
        (lambda model: model.read(SMALL, schema={}), None),
        (lambda model: model.encode(SMALL, temperature=1), None),
        (lambda model: model.ask(SMALL, "What?", max_tokens="3"), None),
        (lambda model: model.ask(SMALL, "What?", max_tokens=0), None),
        (lambda model: model.ask(SMALL, "What?", max_tokens=-5), None),
        (lambda model: model.ask(SMALL, "What?", max_tokens=None), None),
        (lambda model: model.ask(SMALL, "What?", temperature=-1), None),
        (lambda model: model.ask(SMALL, "What?", top_p=0.0, temperature=1), None),
        (lambda model: model.ask(SMALL, "What?", stop=[3]), None),
        (lambda model: model.ask(SMALL, "What?", stop=""), None),
        (lambda model: model.ask(SMALL, "What?", choices=["a"], regex="b"), None),
        (lambda model: model.ask(SMALL, 3), None),
        (lambda model: model.ask(SMALL, "What?", stop=5), None),
        (lambda model: model.ask(SMALL, "What?", stop=0), None),
        (lambda model: model.ask(SMALL, "What?", regex=5), None),
        (lambda model: model.ask(SMALL, "What?", choices=5), None),
        (lambda model: model.ask(SMALL, "What?", choices=["a", 5]), None),
        (lambda model: model.ask(SMALL, "What?", choices={"a": 1}), None),
        (lambda model: model.ask(SMALL, "What?", temperature=10**400), None),
        (lambda model: model.ask(SMALL, "What?", temperature=float("inf")), None),
        (lambda model: model.ask(SMALL, "What?", temperature=float("nan")), None),
        (lambda model: model.ask(SMALL, "What?", repetition_penalty=10**400), None),
        (lambda model: model.ask(SMALL, "What?", top_k=5), "temperature=0.7"),
        (lambda model: model.read(SMALL, top_p=0.5, temperature=0), "temperature=0.7"),
        (lambda model: model.ask_many(["a.png"]), "ask_many"),
        (lambda model: model.ask_many(5), "ask_many"),
        (lambda model: model.find(SMALL, 5), None),
        (lambda model: model.find(SMALL, " "), None),
        (lambda model: model.extract(SMALL, ["a"], stop="a"), "stop"),
        (lambda model: model.logits(MESSAGES, max_tokens=5), None),
        (lambda model: model.logits(MESSAGES, regex="a"), None),
        (lambda model: model.find(SMALL, "it", choices=["a"]), None),
    ],
)
def test_a_wrong_option_is_refused(model, call, hint):
    with pytest.raises(UsageError) as caught:
        call(model)
    if hint:
        assert hint in caught.value.hint


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e308])
def test_a_temperature_however_small_or_large_draws_a_token(model, temperature):
    answer = model.ask(SMALL, "What?", temperature=temperature, top_p=0.9, max_tokens=3)
    assert answer.usage.completion_tokens >= 1


def test_at_no_heat_drawing_is_taking_the_likeliest(model):
    want = model.ask(SMALL, "What?", max_tokens=8).text
    assert model.ask(SMALL, "What?", temperature=5e-324, max_tokens=8).text == want


def test_several_pictures_are_one_question(model):
    assert model.ask([SMALL, TALL], "What differs?", max_tokens=1).usage.image_tokens == 15 + 28


def test_the_verbs_of_a_model_answer_without_a_script(model):
    assert isinstance(model.caption(SMALL, max_tokens=3), str)
    assert model.read(SMALL, max_tokens=3).text
    image = model.encode(SMALL)
    assert boxes_in("no boxes", image, model.engine.model.family.boxes) == ()
    assert np.isfinite(image.features).all()
