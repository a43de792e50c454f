"""Streams: joined pieces are the whole text, characters come whole, stop strings never show."""

from __future__ import annotations

import random

import pytest

from checkpoint_tokenizer import special_id, write_tokenizer
from galago.text import StopMatcher, StreamDecoder, Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, template_file=False)
    return Tokenizer.from_folder(folder)


def test_a_character_of_several_tokens_comes_whole(tokenizer):
    ids = tokenizer.encode("°🙂")
    stream = StreamDecoder(tokenizer)
    assert [stream.push(number) for number in ids] == ["", "°", "", "", "", "🙂"]
    assert stream.flush() == ""


def test_a_character_that_never_ends_is_shown_as_one_at_the_end(tokenizer):
    stream = StreamDecoder(tokenizer)
    assert [stream.push(number) for number in tokenizer.encode("🙂")[:3]] == ["", "", ""]
    assert stream.flush() == "\ufffd"
    assert stream.flush() == ""
    assert "".join(stream.push(number) for number in tokenizer.encode("new")) == "new"


@pytest.mark.parametrize("show_special", [False, True])
def test_the_pieces_of_any_ids_are_their_text(tokenizer, show_special):
    chance = random.Random(11)
    for _ in range(300):
        ids = [chance.randrange(tokenizer.vocab_size) for _ in range(chance.randrange(20))]
        stream = StreamDecoder(tokenizer, show_special=show_special)
        text = "".join(stream.push(number) for number in ids) + stream.flush()
        assert text == tokenizer.decode(ids, show_special=show_special)


def test_special_tokens_show_only_when_asked(tokenizer):
    number = special_id("<|box_start|>")
    assert StreamDecoder(tokenizer).push(number) == ""
    assert StreamDecoder(tokenizer, show_special=True).push(number) == "<|box_start|>"


def test_a_stop_string_across_pieces_stops_and_never_shows():
    stop = StopMatcher(["\n\nUser:"])
    assert stop.push("yes\n") == ("yes", False)
    assert stop.push("\nUs") == ("", False)
    assert stop.push("er: more") == ("", True)
    assert stop.push("more") == ("", True)
    assert stop.flush() == ""


def test_what_only_began_like_a_stop_string_is_passed_on():
    stop = StopMatcher(["\n\nUser:"])
    assert stop.push("a\n\nUse") == ("a", False)
    assert stop.push("d") == ("\n\nUsed", False)
    assert stop.push("\n") == ("", False)
    assert stop.flush() == "\n"
    assert stop.flush() == ""


def test_nothing_is_held_back_without_stop_strings():
    assert StopMatcher([]).push("abc") == ("abc", False)


@pytest.mark.parametrize(
    ("stops", "text", "shown"),
    [
        (["aab"], "aaab", "a"),
        (["abcd", "bc"], "xabcd", "xa"),  # "bc" is complete first
        (["bc", "abc"], "xabc", "x"),  # complete together: the longest
        (["abab"], "aabaabab", "aaba"),
        (["é🙂"], "xé🙂y", "x"),
        (["."], "a.b.c", "a"),
        (["zz"], "abc", "abc"),
    ],
)
def test_the_result_does_not_depend_on_the_pieces(stops, text, shown):
    for cuts in range(1 << (len(text) - 1)):
        stop, result, start = StopMatcher(stops), "", 0
        for end in range(1, len(text) + 1):
            if end == len(text) or cuts >> (end - 1) & 1:
                result, start = result + stop.push(text[start:end])[0], end
        assert result + stop.flush() == shown
