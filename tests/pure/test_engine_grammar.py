import json
import re

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models

from checkpoint_tokenizer import special_id, write_tokenizer
from checkpoints import VOCABULARY
from galago.engine.grammar import ConstraintSpec, GrammarCompiler
from galago.errors import ConfigError, SchemaError, UsageError

END = (special_id("<|im_end|>"), special_id("<|endoftext|>"))
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
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, template_file=False)
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def compiler(tokenizer):
    return GrammarCompiler(tokenizer.to_str, VOCABULARY, END)


@pytest.fixture(scope="module")
def write(compiler, tokenizer):
    """`write(seed, **constraint)`: random choices under it -> the text, and how many tokens were chosen."""

    def follow(seed, **constraint):
        tokens, chosen = walk(compiler.compile(ConstraintSpec.of(**constraint)), seed)
        return tokenizer.decode(tokens, skip_special_tokens=False), chosen

    return follow


def walk(constraint, seed, limit=2000):
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
    return tokens, chosen


@pytest.mark.parametrize("seed", range(10))
def test_random_choices_under_a_schema_always_validate(write, seed):
    text, _ = write(seed, schema=INVOICE)
    value = json.loads(text)
    jsonschema.validate(value, INVOICE)
    assert "\n" not in text


@pytest.mark.parametrize("pattern", ["[0-9]{2}:[0-9]{2}", "(yes|no)(, (yes|no)){0,2}", "[a-c]+é", ""])
def test_random_choices_under_a_regex_always_match(write, pattern):
    for seed in range(5):
        text, _ = write(seed, regex=pattern)
        assert re.fullmatch(pattern, text)


def test_random_choices_from_a_list_give_one_of_it(write):
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
    texts = {write(seed, choices=choices)[0] for seed in range(80)}
    assert texts == set(choices)


def test_what_a_schema_leaves_no_choice_about_is_forced(write):
    schema = {"type": "object", "properties": {"display": {"type": "boolean"}}, "required": ["display"]}
    schema["additionalProperties"] = False
    text, chosen = write(0, schema=schema)
    assert json.loads(text).keys() == {"display"}
    assert chosen == 1


def test_tokens_beyond_the_tokenizer_are_never_allowed(compiler, tokenizer):
    mask = compiler.compile(ConstraintSpec.of(regex="(?s:.)*")).allowed()
    assert mask.shape == (VOCABULARY,)
    assert not mask[tokenizer.get_vocab_size() :].any()


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
def test_what_cannot_constrain_is_refused_in_one_line(write, bad):
    with pytest.raises(SchemaError) as caught:
        write(0, **bad)
    assert "\n" not in str(caught.value)


def test_a_refusal_names_the_keyword(write):
    with pytest.raises(SchemaError, match="uniqueItems"):
        write(0, schema={"type": "array", "uniqueItems": True})


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
    constraint = GrammarCompiler(digits.to_str, 11, [10]).compile(ConstraintSpec.of(choices=["yes", "no"]))
    with pytest.raises(SchemaError, match="vocabulary cannot write"):
        walk(constraint, 0)


def test_a_tokenizer_whose_bytes_are_not_known_is_refused(digits):
    with pytest.raises(ConfigError, match="tokenizer"):
        GrammarCompiler(digits.to_str, 11, [10]).compile(ConstraintSpec.of(choices=["1"]))
