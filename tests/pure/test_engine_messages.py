import numpy as np
import pytest

from galago.engine.messages import DEFAULT_FPS, split
from galago.engine.prefix import KEPT, PrefixStore, common
from galago.errors import UsageError


def user(*parts):
    return [{"role": "user", "content": list(parts)}]


def test_pictures_are_taken_out_in_order():
    messages, looks = split(
        [
            {"role": "system", "content": "Be brief."},
            *user(
                {"type": "image", "image": "a.png"},
                "and",
                {"type": "image_url", "image_url": {"url": "b.png"}},
            ),
            {"role": "assistant", "content": "Fine."},
            *user({"type": "video", "video": ["c.png", "d.png"], "fps": 3}, {"type": "text", "text": "?"}),
        ]
    )
    assert [look.sources for look in looks] == [("a.png",), ("b.png",), ("c.png", "d.png")]
    assert [look.fps for look in looks] == [None, None, 3.0]
    assert messages[1]["content"] == [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}]
    assert messages[3]["content"] == [{"type": "video"}, {"type": "text", "text": "?"}]


def test_a_url_may_stand_alone():
    assert split(user({"type": "image_url", "image_url": "b.png"}))[1][0].sources == ("b.png",)


def test_a_video_without_a_rate_has_the_usual_one():
    assert split(user({"type": "video", "video": ["a.png"]}))[1][0].fps == DEFAULT_FPS


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([], "non-empty list"),
        ("hello", "list"),
        ({"role": "user", "content": "x"}, "list"),
        (["hello"], "str"),
        ([{"role": "user"}], "content"),
        ([{"content": "x"}], "role"),
        ([{"role": 3, "content": "x"}], "role"),
        ([{"role": "user", "content": 3}], "int"),
        ([{"role": "user", "content": "x", "nmae": "y"}], "nmae"),
        (user({"text": "x"}), "type"),
        (user({"type": "audio", "audio": "x"}), "audio"),
        (user({"type": ["text"], "text": "x"}), "text"),
        (user({"type": "text"}), "text"),
        (user({"type": "text", "text": 4}), "int"),
        (user({"type": "text", "text": "x", "cache_control": 1}), "cache_control"),
        (user({"type": "image", "image": "a", "max_pixels": 5}), "max_pixels"),
        (user({"type": "image_url", "image_url": 5}), "int"),
        (user({"type": "image_url", "image_url": {"url": "a", "detail": "low"}}), "detail"),
        (user({"type": "image_url", "image_url": {"uri": "a"}}), "url"),
        (user({"type": "video", "video": []}), "frames"),
        (user({"type": "video", "video": "clip.mp4"}), "frames"),
        (user({"type": "video", "video": ["a"], "fps": "2"}), "fps"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(messages, told):
    with pytest.raises(UsageError, match=told):
        split(messages)


def test_a_misspelt_key_is_told_the_right_one():
    with pytest.raises(UsageError) as caught:
        split([{"role": "user", "content": "x", "contents": "y"}])
    assert "'content'" in caught.value.hint


class Held:
    """As much of a cache as a store looks at."""

    trunk = None

    def __init__(self, tokens):
        self.tokens = tokens

    def __len__(self):
        return self.tokens

    @property
    def nbytes(self):
        return 10 * self.tokens

    def shrink(self):
        """Holds no reserve."""


def store(*sequences, head=0, max_bytes=10_000):
    made = PrefixStore(max_bytes)
    for sequence in sequences:
        made.put(np.array(sequence), Held(len(sequence)), head)
    return made


def test_the_longest_common_beginning_is_found():
    held = store([1, 2, 3, 4], [1, 2, 9, 9, 9])
    count, cache = held.find(np.array([1, 2, 3, 7]))
    assert (count, len(cache)) == (3, 4)
    assert held.find(np.array([5, 1, 2])) == (0, None)


@pytest.mark.parametrize(
    ("first", "second", "count"), [([], [], 0), ([1], [], 0), ([1, 2], [1, 2], 2), ([1, 2, 3], [1, 5, 3], 1)]
)
def test_common_counts_equal_leading_numbers(first, second, count):
    assert common(np.array(first), np.array(second)) == count


def test_another_question_about_a_picture_takes_the_place_of_the_first():
    assert len(store([1, 2, 3, 8, 8], [1, 2, 3, 9], head=3)) == 1
    assert len(store([1, 2, 3, 8, 8], [1, 2, 4, 9], head=3)) == 2


def test_a_longer_conversation_takes_the_place_of_its_beginning():
    assert len(store([1, 2, 3], [1, 2, 3, 4])) == 1
    assert len(store([1, 2, 3], [1, 2, 4, 4])) == 2


def test_the_least_recently_used_go_first():
    held = store([1, 1, 1], [2, 2, 2], max_bytes=60)
    held.find(np.array([1, 1, 1]))
    held.put(np.array([3, 3, 3]), Held(3), 0)
    assert held.nbytes == 60
    assert [held.find(np.array([n, n, n]))[0] for n in (1, 2, 3)] == [3, 0, 3]


def test_no_more_than_so_many_are_kept_however_short():
    held = store(*([number] * 3 for number in range(KEPT + 5)))
    assert len(held) == KEPT
    assert held.find(np.array([4, 4, 4])) == (0, None)
    assert held.find(np.array([5, 5, 5]))[0] == 3


def test_what_is_larger_than_the_cap_is_not_kept():
    assert len(store([1] * 9, max_bytes=80)) == 0
