from __future__ import annotations

import json

import numpy as np
import pytest

from galago.drawing import document_texts, documents
from galago.drawing.document_phrases import PHRASES
from galago.drawing.paper import Row, transcript
from galago.drawing.sample import CELL, Setting, Split

SEEDS = range(40)
BY_NAME = {recipe.name: recipe for recipe in documents.RECIPES}
EVERY_KIND = [(name, split) for name in BY_NAME for split in Split]


def drawing(name, seed, split=Split.TRAIN, difficulty=1.0):
    recipe = BY_NAME[name]
    rows, cols = recipe.sizes[seed % len(recipe.sizes)]
    setting = Setting(rows, cols, split, difficulty, "minimal")
    return recipe.paint(np.random.default_rng(seed), setting)


def characters(cells):
    return sorted(map(chr, cells.characters[cells.characters > 0]))


def answers(name, task, split=Split.TRAIN):
    drawn = [(seed, drawing(name, seed, split)) for seed in SEEDS]
    return [(seed, one, q.text, q.answer) for seed, one in drawn for q in one.questions if q.task == task]


def values(tree):
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in values(branch)]
    return [leaf for branch in tree for leaf in values(branch)] if isinstance(tree, list) else [tree]


@pytest.mark.parametrize("name", BY_NAME)
def test_the_same_seed_draws_the_same_document(name):
    first, second = drawing(name, 3), drawing(name, 3)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.cells.characters, second.cells.characters)
    assert first.questions == second.questions


@pytest.mark.parametrize(("name", "split"), EVERY_KIND)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_a_document_fills_whole_cells_and_is_asked_about(name, split, difficulty):
    for seed in SEEDS:
        one = drawing(name, seed, split, difficulty)
        rows, cols = one.cells.kind.shape
        assert one.pixels.shape == (rows * CELL, cols * CELL, 3)
        assert {q.task for q in one.questions} <= {"field", "json", "document", "next"}
        assert len(one.questions) >= 2
        assert all(q.text.isascii() and q.answer.isascii() and q.answer for q in one.questions)


@pytest.mark.parametrize(("name", "split"), EVERY_KIND)
def test_the_transcript_has_exactly_the_characters_of_the_cells(name, split):
    found = answers(name, "document", split)
    assert len(found) > 6
    whole = [
        (seed, sorted(answer.replace(" ", "").replace("\n", "")) == characters(one.cells))
        for seed, one, _, answer in found
        if (one.cells.characters > 0).sum(axis=2).max() < 6  # a full cell may have lost a character
    ]
    assert len(whole) > 3
    assert [seed for seed, same in whole if not same] == []


@pytest.mark.parametrize(("name", "split"), EVERY_KIND)
def test_json_answers_are_canonical_and_their_values_are_printed(name, split):
    found = answers(name, "json", split)
    assert len(found) > 20
    for _, one, _, answer in found:
        tree = json.loads(answer)
        assert json.dumps(tree) == answer
        printed = characters(one.cells)
        for value in filter(None, values(tree)):
            assert set(value.replace(" ", "")) <= set(printed)


def test_a_receipt_as_json_has_shop_date_items_and_total():
    whole = [json.loads(answer) for *_, answer in answers("receipt", "json") if '"items"' in answer]
    assert len(whole) > 3
    for one in whole:
        assert list(one) == ["shop", "date", "items", "total"]
        assert all(list(item) == ["name", "price"] for item in one["items"])
        prices = [round(float(item["price"].replace(",", ".")) * 100) for item in one["items"]]
        assert sum(prices) == round(float(one["total"].replace(",", ".")) * 100)


@pytest.mark.parametrize("name", BY_NAME)
def test_what_is_not_printed_is_none_or_null(name):
    assert any(answer == "none" for *_, answer in answers(name, "field"))
    assert any(None in values(json.loads(answer)) for *_, answer in answers(name, "json"))


@pytest.mark.parametrize("name", BY_NAME)
def test_asked_fields_are_the_keys_in_the_order_asked(name):
    kinds = ("receipt.json", "form.json", "table.json")
    whole = {wording.lower().rstrip("?.") for kind in kinds for wording in PHRASES[kind]}
    found = [
        (text, answer) for *_, text, answer in answers(name, "json") if text.lower().rstrip("?.") not in whole
    ]
    assert len(found) > 5
    for text, answer in found:
        places = [text.find(key) for key in json.loads(answer)]
        assert -1 not in places
        assert places == sorted(places)


def test_a_receipt_adds_up_and_its_change_is_right():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one = document_texts.receipt(rng, 9, 20)
        cents = [int(price.replace(".", "").replace(",", "")) for _, price in one.items]
        total = int(one.total.replace(".", "").replace(",", ""))
        assert sum(cents) == total
        if one.paid and one.change:
            assert int(one.paid.replace(".", "").replace(",", "")) - total == int(
                one.change.replace(".", "").replace(",", "")
            )


def test_a_receipt_keeps_to_the_rows_and_characters_it_has():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one = document_texts.receipt(rng, 7, 17)
        extras = [one.phone, one.number, one.date or one.time, one.vat, one.payment, one.change]
        assert 2 + len(one.items) + sum(value is not None for value in extras) <= 7
        assert max(len(name) + 1 + len(price) for name, price in one.items) <= 17


def test_a_form_names_no_field_twice():
    rng = np.random.default_rng(0)
    for _ in range(200):
        one = document_texts.form(rng, 9, 20, table_share=0.5)
        words = [word for field in one.fields for word in field.words]
        assert len(set(words)) == len(words)
        assert one.fields


def test_a_transcript_reads_rows_from_the_top_and_leaves_out_rules():
    rows = [Row(("SHOP",)), Row(), Row(("Milk", "1.20"), "ends"), Row(("Name:", ""), "labels")]
    assert transcript(rows) == "SHOP\nMilk 1.20\nName:"


def test_every_question_has_eight_wordings():
    assert min(len(set(wordings)) for wordings in PHRASES.values()) >= 8


def test_a_form_too_narrow_for_a_table_has_none():
    rng = np.random.default_rng(0)
    assert all(document_texts.form(rng, 8, 11, 1.0).table is None for _ in range(20))


def receipt_rows(split, count=120):
    """The rows of receipts: [(content, texts, place of the first item, place of the total)]."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        sheet = documents._desk(rng, Setting(11, 11, split, 1.0, "minimal"))[0]
        content = document_texts.receipt(rng, 9, 20)
        texts = [row.text for row in documents._receipt_rows(sheet, content)]
        first = texts.index(" ".join(content.items[0]))
        last = texts.index("", first)
        total = next(i for i, text in enumerate(texts) if i > last and text.endswith(content.total))
        found.append((content, texts, first, total))
    return found


def test_what_is_held_out_is_never_trained_on():
    trained, held_out = receipt_rows(Split.TRAIN), receipt_rows(Split.HELD_OUT)
    for content, texts, *_ in trained:
        assert content.date is None or content.date not in texts[0]
    assert all(content.date in texts[0] for content, texts, *_ in held_out if content.date)

    def vat_row(content, texts):
        return next(i for i, text in enumerate(texts) if text.startswith(("VAT", "Tax", "incl.")))

    assert all(vat_row(c, texts) > total for c, texts, _, total in trained if c.vat)
    assert all(vat_row(c, texts) < total for c, texts, _, total in held_out if c.vat)


def test_a_trained_date_may_stand_anywhere_else_and_not_every_amount_is_an_item():
    trained = [one for one in receipt_rows(Split.TRAIN) if one[0].date]
    places = [
        (next(i for i, text in enumerate(texts) if content.date in text), first, total)
        for content, texts, first, total in trained
    ]
    assert any(place < first for place, first, _ in places)
    assert any(place > total for place, _, total in places)
    between = [texts[first + len(content.items) + 1 : total] for content, texts, first, total in trained]
    assert any(between)
    assert not all(between)


@pytest.mark.parametrize("split", Split)
def test_held_out_values_stand_in_boxes_and_trained_ones_are_marked_otherwise(split):
    marks = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sheet = documents._desk(rng, Setting(11, 11, split, 1.0, "minimal"))[0]
        form = document_texts.form(rng, 8, 20, table_share=0.4)
        marks |= {row.mark for row in documents._form_rows(sheet, form)}
    assert marks == ({"", "box"} if split is Split.HELD_OUT else {"", "line", "bar"})
