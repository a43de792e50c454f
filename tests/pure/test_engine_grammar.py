import json
import re

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models

import tiny
from galago.engine.grammar import ConstraintSpec, GrammarCompiler
from galago.errors import ConfigError, SchemaError, UsageError

END = (tiny.IDS["<|im_end|>"], tiny.IDS["<|endoftext|>"])
TOKENIZER = tiny.tokenizer()
INVOICE = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
        "paid": {"type": "boolean"},
        "total": {"type": "number", "minimum": 0, "maximum": 1000},
        "kind": {"enum": ["été", 'a "b"', None, 7]},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["number", "paid", "total", "kind", "rows"],
    "additionalProperties": False,
    "$defs": {
        "row": {
            "type": "object",
            "properties": {
                "item": {"type": "string", "maxLength": 5},
                "count": {"type": "integer", "maximum": 99},
            },
            "required": ["item", "count"],
            "additionalProperties": False,
        }
    },
}


@pytest.fixture(scope="module")
def compiler():
    return GrammarCompiler(TOKENIZER.to_str(), tiny.VOCABULARY, END)


def write(constraint, seed, limit=2000):
    """Follow a constraint with random choices: the text, and how many of its tokens were chosen."""
    rng = np.random.default_rng(seed)
    tokens, chosen = constraint.forced(), 0
    while not constraint.finished:
        token = int(rng.choice(np.flatnonzero(constraint.allowed())))
        constraint.accept(token)
        chosen += 1
        if token in END:
            break
        tokens += [token, *constraint.forced()]
        assert len(tokens) < limit
    assert constraint.complete
    return TOKENIZER.decode(tokens, skip_special_tokens=False), chosen


@pytest.mark.parametrize("seed", range(10))
def test_random_choices_under_a_schema_always_validate(compiler, seed):
    text, _ = write(compiler.compile(ConstraintSpec.of(schema=INVOICE)), seed)
    value = json.loads(text)
    jsonschema.validate(value, INVOICE)
    assert "\n" not in text


@pytest.mark.parametrize("pattern", ["[0-9]{2}:[0-9]{2}", "(yes|no)(, (yes|no)){0,2}", "[a-c]+é", ""])
def test_random_choices_under_a_regex_always_match(compiler, pattern):
    for seed in range(5):
        text, _ = write(compiler.compile(ConstraintSpec.of(regex=pattern)), seed)
        assert re.fullmatch(pattern, text)


def test_random_choices_from_a_list_give_one_of_it(compiler):
    choices = [
        "yes",
        "no",
        "yes, twice",
        'a "quote"',
        "back\\slash",
        "line\nbreak",
        "été 漢",
        "/no/",
        "<tag>",
    ]
    spec = ConstraintSpec.of(choices=choices)
    texts = {write(compiler.compile(spec), seed)[0] for seed in range(80)}
    assert texts == set(choices)


def test_what_a_schema_leaves_no_choice_about_is_forced(compiler):
    schema = {"type": "object", "properties": {"display": {"type": "boolean"}}, "required": ["display"]}
    schema["additionalProperties"] = False
    text, chosen = write(compiler.compile(ConstraintSpec.of(schema=schema)), 0)
    assert json.loads(text).keys() == {"display"}
    assert chosen == 1


def test_tokens_beyond_the_tokenizer_are_never_allowed(compiler):
    mask = compiler.compile(ConstraintSpec.of(regex="(?s:.)*")).allowed()
    assert mask.shape == (tiny.VOCABULARY,)
    assert not mask[TOKENIZER.get_vocab_size() :].any()


def test_an_end_token_is_allowed_only_where_the_text_is_complete(compiler):
    constraint = compiler.compile(ConstraintSpec.of(regex="ab?"))
    assert not constraint.allowed()[list(END)].any()
    constraint.forced()
    assert constraint.allowed()[list(END)].all()


@pytest.mark.parametrize(
    "bad",
    [
        {"schema": {"type": "nonsense"}},
        {"schema": {"type": "array", "uniqueItems": True}},
        {"schema": {"$ref": "#/nowhere"}},
        {"schema": {"properties": 3}},
        {"schema": {"type": "string", "format": "nope"}},
        {"schema": {"const": {1, 2}}},
        {"schema": ["type", "object"]},
        {"regex": "["},
        {"regex": "(?=a)b"},
        {"choices": []},
        {"choices": ["a", ""]},
        {"choices": "ab"},
    ],
)
def test_what_cannot_constrain_is_refused_in_one_line(compiler, bad):
    with pytest.raises(SchemaError) as caught:
        compiler.compile(ConstraintSpec.of(**bad))
    assert "\n" not in str(caught.value)


def test_a_refusal_names_the_keyword(compiler):
    with pytest.raises(SchemaError, match="uniqueItems"):
        compiler.compile(ConstraintSpec.of(schema={"type": "array", "uniqueItems": True}))


def test_constraints_exclude_each_other():
    with pytest.raises(UsageError, match="regex and choices"):
        ConstraintSpec.of(regex="a", choices=["a"])


def test_no_constraint_is_none():
    assert ConstraintSpec.of() is None


@pytest.fixture
def digits():
    tokenizer = Tokenizer(
        models.BPE(vocab={digit: index for index, digit in enumerate("0123456789")}, merges=[])
    )
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


def test_what_the_vocabulary_cannot_write_is_refused(digits):
    digits.decoder = decoders.ByteLevel()
    compiler = GrammarCompiler(digits.to_str(), 11, [10])
    with pytest.raises(SchemaError, match="vocabulary cannot write"):
        write(compiler.compile(ConstraintSpec.of(choices=["yes", "no"])), 0)


def test_a_tokenizer_whose_bytes_are_not_known_is_refused(digits):
    with pytest.raises(ConfigError, match="tokenizer"):
        GrammarCompiler(digits.to_str(), 11, [10]).compile(ConstraintSpec.of(choices=["1"]))
