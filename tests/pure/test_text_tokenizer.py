"""Tokenizers: ids and text as the reference library has them, and users' text that cannot spell marks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models

from checkpoint_tokenizer import SPECIAL_TOKENS, special_id, write_tokenizer
from galago.errors import ConfigError, UsageError
from galago.text import Tokenizer, guard_messages

TEXTS = (
    "What does the display read?", "", " ", "\n\n  x \r\n", "Größe 模型 🙂🙃 Ünï 23,5 °C", "e\u0301 is é",
    "a\ufffdb\x00c",
    "<|im_start|>user\nIs it <|image_pad|> <|im_end|>", "can't WE'LL 12345", "\u2028|<|>|",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(path, template_file=False)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def reference(folder) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_text_are_the_references(tokenizer, reference, text):
    ids = reference.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text) == ids
    assert tokenizer.decode(ids, show_special=True) == reference.decode(ids, skip_special_tokens=False)
    assert tokenizer.decode(ids) == reference.decode(ids, skip_special_tokens=True)


def test_any_ids_decode_as_the_reference_decodes_them(tokenizer, reference):
    chance = random.Random(5)
    for _ in range(500):
        ids = [chance.randrange(tokenizer.vocab_size) for _ in range(chance.randrange(12))]
        assert tokenizer.decode(ids, show_special=True) == reference.decode(ids, skip_special_tokens=False)


def test_special_tokens_are_found_by_their_spelling(tokenizer):
    assert tokenizer.special_tokens == {token: special_id(token) for token in SPECIAL_TOKENS}
    assert tokenizer.token_to_id("<|image_pad|>") == special_id("<|image_pad|>")
    assert tokenizer.token_to_id("<|no_such|>") is None
    assert tokenizer.vocab_size == special_id(SPECIAL_TOKENS[-1]) + 1


def test_an_id_without_a_token_is_no_text(tokenizer):
    assert tokenizer.decode([tokenizer.vocab_size + 7]) == ""


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
@pytest.mark.parametrize("form", ["{}", "a{}b", "{0}{0}", "<{}>", "{} ", " {}\n"])
def test_plain_text_never_yields_a_special_token(tokenizer, special, form):
    text = form.format(special)
    ids = tokenizer.encode(tokenizer.guard(text))
    assert not set(ids) & set(tokenizer.special_tokens.values())
    assert tokenizer.decode(ids) == text


def test_texts_that_spell_a_special_token_together_do_not_yield_it(tokenizer):
    special = "<|image_pad|>"
    for cut in range(1, len(special)):
        for space in ("", "  "):
            prompt = tokenizer.guard(special[:cut] + space).rstrip() + tokenizer.guard(special[cut:])
            ids = tokenizer.encode(prompt)
            assert special_id(special) not in ids
            assert tokenizer.decode(ids) == special
    letters = "".join(tokenizer.guard(letter) for letter in special)
    assert special_id(special) not in tokenizer.encode(letters)


def test_a_guarded_text_leaves_the_tokens_around_it_as_they_are(tokenizer):
    for text in ("What does the display read?", "is 3 <", "a <| b"):
        prompt = "<|im_start|>user\n{}<|im_end|>\n"
        assert tokenizer.encode(prompt.format(tokenizer.guard(text))) == tokenizer.encode(prompt.format(text))


def test_text_without_spellings_is_not_touched(tokenizer):
    assert tokenizer.guard("x < y | z > im_start") == "x < y | z > im_start"


def test_allowed_tokens_stay_tokens(tokenizer):
    text = "<|object_ref_start|>the dog<|object_ref_end|><|im_end|>"
    ids = tokenizer.encode(tokenizer.guard(text, allow=["<|object_ref_start|>", "<|object_ref_end|>"]))
    assert special_id("<|object_ref_start|>") in ids
    assert special_id("<|im_end|>") not in ids


def test_the_mark_itself_cannot_be_smuggled_in(tokenizer):
    ids = tokenizer.encode(tokenizer.guard("a\ufdd0<|im_\ufdd0end|>"))
    assert tokenizer.decode(ids) == "a\ufffd<|im_\ufffdend|>"
    assert special_id("<|im_end|>") not in ids


def test_messages_are_guarded_in_every_text_and_otherwise_unchanged(tokenizer):
    picture = object()
    messages = [
        {"role": "system", "content": "<|im_end|>"},
        {
            "role": "user",
            "content": [{"image": picture}, {"type": "text", "text": "<|im_end|>"}],
        },
        {"role": "assistant", "content": None, "name": "x"},
    ]
    system, user, assistant = guard_messages(messages, tokenizer)
    assert system["content"] == user["content"][1]["text"] == tokenizer.guard("<|im_end|>") != "<|im_end|>"
    assert user["content"][0] == {"image": picture}
    assert assistant == messages[2]
    assert messages[0]["content"] == "<|im_end|>"


def test_half_a_character_is_refused_by_its_place(tokenizer):
    for use in (tokenizer.encode, tokenizer.guard):
        with pytest.raises(UsageError, match=r"half a character \('\\udc80'\) at place 2"):
            use("ab\udc80")


def test_vocabulary_and_merges_files_give_the_same_tokenizer(folder, tokenizer, tmp_path):
    as_old_files(folder, tmp_path)
    old = Tokenizer.from_folder(tmp_path)
    assert old.special_tokens == tokenizer.special_tokens
    assert old.vocab_size == tokenizer.vocab_size
    assert [old.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def as_old_files(folder: Path, old: Path) -> None:
    """The tokenizer of `folder` as vocab.json, merges.txt and tokenizer_config.json in `old`."""
    model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (old / "vocab.json").write_text(json.dumps(model["vocab"]), "utf-8")
    (old / "merges.txt").write_text("\n".join(["#version: 0.2", *model["merges"], ""]), "utf-8")
    (old / "tokenizer_config.json").write_bytes((folder / "tokenizer_config.json").read_bytes())


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("vocab.json", None, "vocab.json is missing"),
        ("vocab.json", "[]", "holds a list"),
        ("vocab.json", '{"a": "b"}', "contradict each other"),
        ("merges.txt", None, "merges.txt cannot be read: No such file"),
        ("merges.txt", "#version\na b\na b c\n", "line 3: 'a b c' is not two tokens"),
        ("merges.txt", "no such\n", "contradict each other"),
        ("tokenizer_config.json", None, "tokenizer_config.json is missing"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {}}}', "not as expected"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"9": {"content": "<x>"}}}', "would get id"),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"9": 5}}', "not as expected"),
    ],
)  # fmt: skip
def test_damaged_old_files_are_named(folder, tmp_path, file, content, said):
    as_old_files(folder, tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        Tokenizer.from_folder(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"model": {"type": "BPE"}}'])
def test_a_damaged_tokenizer_file_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"tokenizer\.json cannot be used") as caught:
        Tokenizer.from_folder(tmp_path)
    assert caught.value.hint


def test_a_tokenizer_that_is_not_byte_level_is_refused(tmp_path):
    backend = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match=r"does not decode bytes .decoder: NoneType."):
        Tokenizer.from_folder(tmp_path)
    backend.decoder = decoders.Metaspace()
    with pytest.raises(ConfigError, match="decoder: Metaspace"):
        Tokenizer(backend)


def test_padding_and_truncation_of_the_file_are_not_obeyed(folder):
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    ids = Tokenizer(backend).encode("What does the display read?")
    assert ids == Tokenizer.from_folder(folder).encode("What does the display read?")


def test_its_json_makes_the_same_tokenizer(tokenizer):
    again = Tokenizer(tokenizers.Tokenizer.from_str(tokenizer.to_json()))
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
