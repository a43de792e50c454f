"""Recipes of small documents: `receipt` and `form` (labelled fields, perhaps with a table).

Answers are spelled as printed. Tasks: "field" for one thing, "json" for several as JSON, "document" for all
text, "next" for the line after one. A receipt as JSON has the keys shop, date, items (name, price) and total;
a form has its printed labels as keys, and its table, if any, as "table"; fields that were asked for by name
keep these names. What is not there is null in JSON and "none" otherwise. JSON is spelled as `json.dumps`
does.
"""

from __future__ import annotations

import json

import numpy as np

from galago.drawing import document_texts as texts
from galago.drawing.document_phrases import PHRASES, RECEIPT_WORDS
from galago.drawing.document_texts import Field, Form, Receipt, Table
from galago.drawing.following import following
from galago.drawing.paper import Row, capacity, choose_print, lay_paper, lines_of, set_rows, transcript
from galago.drawing.sample import Drawing, Question, Recipe, Setting, Split
from galago.drawing.sheet import NONE, Asker, Sheet, chance, mixed, near, pick, sample

_SIZES = ((8, 10), (10, 10), (11, 10), (11, 11), (13, 11), (14, 11))
_LARGEST_CAPITALS = 19.0
_SMALL_CAPITALS = 13.0
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_DESKS = ((96, 72, 52), (60, 64, 70), (150, 120, 90), (196, 190, 180), (40, 60, 72), (120, 126, 118))


def paint_receipt(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A receipt of two to five items; tasks "field", "json", "document" and "next"."""
    sheet, margin, capitals = _desk(rng, setting)
    rows, characters = capacity(setting, capitals, margin + 6)
    content = texts.receipt(rng, max(5, rows - 1), characters)
    lines = _receipt_rows(sheet, content)
    _print_rows(sheet, margin, lines, capitals)
    ask = Asker(rng, PHRASES, "field")
    asked = [*_about_receipt(ask, content), _receipt_whole(ask, content, lines)]
    return sheet.finish([*asked, *following(rng, lines_of(lines), 3)])


def paint_form(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A form of labelled fields, sometimes with a table; tasks "field", "json", "document" and "next"."""
    sheet, margin, capitals = _desk(rng, setting)
    rows, characters = capacity(setting, capitals, margin + 6)
    content = texts.form(rng, rows, characters, table_share=0.4 * setting.difficulty)
    lines = _form_rows(sheet, content)
    _print_rows(sheet, margin, lines, capitals)
    ask = Asker(rng, PHRASES, "field")
    asked = [*_about_form(ask, content), _form_whole(ask, content, lines)]
    return sheet.finish([*asked, *following(rng, lines_of(lines), 3)])


def _desk(rng: np.random.Generator, setting: Setting) -> tuple[Sheet, float, float]:
    """The desk, the margin of desk around the paper, and the height of capitals to aim at."""
    sheet = Sheet(rng, setting, near(rng, pick(rng, _DESKS), 20))
    margin = float(rng.integers(0, 9))
    largest = (setting.height - 2 * margin - 10) / (6.2 * 1.55)
    target = setting.between(_LARGEST_CAPITALS, _SMALL_CAPITALS) + float(rng.uniform(0, 2.5))
    return sheet, margin, max(_SMALL_CAPITALS, min(target, largest))


def _print_rows(sheet: Sheet, margin: float, rows: list[Row], capitals: float) -> None:
    box = lay_paper(sheet, margin)
    set_rows(sheet, box, rows, choose_print(sheet.rng, sheet.setting, rows, box[2] - box[0], capitals))


def _receipt_rows(sheet: Sheet, content: Receipt) -> list[Row]:
    """The printed rows. Held out: the date stands first, the shop at the right, VAT before the total.

    Trained on instead: the date in any other place, the last too, and other amounts before the total.
    """
    rng, held_out = sheet.rng, sheet.setting.split is Split.HELD_OUT
    shop = Row(
        (content.shop,), "right" if held_out else pick(rng, ("centre", "left")), strong=True, scale=1.15
    )
    align = "left" if held_out else shop.align
    phone = [Row((pick(rng, ("Tel", "Tel.", "Phone")), content.phone), align)] if content.phone else []
    stamp = [text for text in (content.date, content.time) if text]
    when = [Row((text,), align) for text in stamp]
    if len(stamp) == 2 and sum(map(len, stamp)) < 17:
        when = [Row(tuple(stamp), "ends")]
    elif len(stamp) == 1 and content.date and len(content.date) < 12 and chance(rng, 0.4):
        when = [Row((pick(rng, ("Date:", "Date")), content.date), align)]
    names = ("No", "Receipt", "Bill no", "Receipt no")
    number = [Row((pick(rng, names), content.number), align)] if content.number else []
    head = [*when, shop, *phone, *number] if held_out else [shop, *phone, *when, *number]
    foot: list[Row] = []
    if not held_out and chance(rng, 0.75):
        way = pick(rng, ("mixed", "mixed", "after", "foot"))
        if way == "mixed":
            head = mixed(rng, head, *when)
        elif way == "after":
            head = [shop, *phone, *number, *when]
        else:
            head, foot = [shop, *phone, *number], when
    items = [Row(item, "ends") for item in content.items]
    labels = ("TOTAL", "Total", "SUM", "TOTAL EUR", "Total USD", "To pay", "Total:")
    total = [Row((pick(rng, labels), content.total), "ends", strong=True)]
    vat = (
        [Row((pick(rng, ("VAT", "VAT 16%", "Tax", "incl. VAT")), content.vat), "ends")] if content.vat else []
    )
    return [
        *head,
        Row(),
        *items,
        Row(),
        *(vat + total if held_out else _before_total(sheet, content) + total + vat),
        *_payment(sheet, content),
        *foot,
    ]


def _before_total(sheet: Sheet, content: Receipt) -> list[Row]:
    """Sometimes an amount that is neither an item nor the total."""
    rng = sheet.rng
    if not chance(rng, 0.4):
        return []
    saved = f"{int(rng.integers(0, 10))}.{int(rng.integers(0, 100)):02d}"
    amounts = {
        ("Subtotal", "SUBTOTAL", "Sub-total", "Sum of goods"): content.total,
        ("Items", "ITEMS", "Articles", "No of items"): str(len(content.items)),
        ("You save", "Saved", "Points", "Bonus", "Deposit", "Rounding"): saved,
    }
    labels = pick(rng, tuple(amounts))
    return [Row((pick(rng, labels), amounts[labels]), "ends")]


def _payment(sheet: Sheet, content: Receipt) -> list[Row]:
    if not content.payment:
        return []
    if content.paid and content.change:
        change = pick(sheet.rng, ("CHANGE", "Change"))
        return [Row((content.payment, content.paid), "ends"), Row((change, content.change), "ends")]
    return [Row((pick(sheet.rng, ("Paid by", "Payment", "PAID BY")), content.payment), "ends")]


def _about_receipt(ask: Asker, content: Receipt) -> list[Question]:
    rng, fields = ask.rng, content.fields
    present = [name for name, value in fields.items() if value]
    absent = [name for name, value in fields.items() if not value]
    chosen = sample(rng, present, 2)
    if "total" not in chosen and chance(rng, 0.5):
        chosen[0] = "total"
    if absent and chance(rng, 0.3):
        chosen.append(pick(rng, absent))
    questions = [ask(f"receipt.{name}", fields[name] or NONE, spelled=True) for name in chosen]
    name, price = pick(rng, content.items)
    if chance(rng, 0.15):
        name, price = _not_bought(rng, content), NONE
    return [*questions, ask("price", price, spelled=True, item=name), _about_items(ask, content)]


def _about_items(ask: Asker, content: Receipt) -> Question:
    """One question about the list of items."""
    rng, items = ask.rng, content.items
    kind = pick(rng, ("items", "nth", "nth", "dearest", "cheapest", "bought"))
    by_price = sorted(items, key=lambda item: float(item[1].replace(",", ".")))
    if kind == "items":
        return ask(kind, str(len(items)))
    if kind == "bought":
        there = chance(rng, 0.5)
        name = pick(rng, items)[0] if there else _not_bought(rng, content)
        return ask(kind, "yes" if there else "no", item=name)
    if kind == "dearest" and by_price[-1][1] != by_price[-2][1]:
        return ask(kind, by_price[-1][0], spelled=True)
    if kind == "cheapest" and by_price[0][1] != by_price[1][1]:
        return ask(kind, by_price[0][0], spelled=True)
    index = int(rng.integers(min(len(items) + 1, len(_ORDINALS))))
    answer = items[index][0] if index < len(items) else NONE
    return ask("nth", answer, spelled=True, ordinal=_ORDINALS[index], number=str(index + 1))


def _not_bought(rng: np.random.Generator, content: Receipt) -> str:
    bought = " ".join(name for name, _ in content.items).lower()
    while True:
        name = texts.goods(rng, 1, 12)[0]
        if name.lower() not in bought:
            return name


def _receipt_whole(ask: Asker, content: Receipt, rows: list[Row]) -> Question:
    """The receipt as JSON, some of its fields as JSON, or all its text."""
    draw = float(ask.rng.random())
    if draw < 0.3:
        return ask("receipt.document", transcript(rows), spelled=True, task="document")
    if draw < 0.65:
        items = [{"name": name, "price": price} for name, price in content.items]
        whole = {"shop": content.shop, "date": content.date, "items": items, "total": content.total}
        return ask("receipt.json", json.dumps(whole), task="json")
    known = {
        (words[0] if chance(ask.rng, 0.75) else pick(ask.rng, words)): content.fields[name]
        for name, words in RECEIPT_WORDS.items()
    }
    return _some_fields(ask, known)


def _some_fields(ask: Asker, known: dict[str, str | None]) -> Question:
    """Two to four of the known fields, by the names in `known`, as JSON; about a quarter of them null."""
    rng = ask.rng
    present = [name for name, value in known.items() if value]
    absent = [name for name, value in known.items() if not value]
    chosen = sample(rng, present, int(rng.integers(1, 4)))
    chosen = sample(rng, [*chosen, *sample(rng, absent, 1 if chance(rng, 0.5) or len(chosen) < 2 else 0)], 4)
    listed = ", ".join(chosen)
    if len(chosen) > 1 and chance(rng, 0.25):
        listed = f"{', '.join(chosen[:-1])} and {chosen[-1]}"
    answer = json.dumps({name: known[name] for name in chosen})
    return ask("json_fields", answer, task="json", fields=listed)


def _form_rows(sheet: Sheet, content: Form) -> list[Row]:
    """The printed rows. Held out: values in boxes at the right or in a column, no colons, no other marks."""
    rng, held_out = sheet.rng, sheet.setting.split is Split.HELD_OUT
    rows = []
    if content.title:
        align = "right" if held_out else pick(rng, ("centre", "left"))
        rows.append(Row((content.title,), align, strong=True, scale=1.15))
        if chance(rng, 0.6):
            rows.append(Row())
    layout = pick(rng, ("ends", "labels")) if held_out else pick(rng, ("left", "left", "labels", "ends"))
    colon = "" if held_out or (layout != "left" and chance(rng, 0.3)) else ":"
    mark = ("box" if layout == "ends" else "") if held_out else pick(rng, ("", "", "line", "bar"))
    for field in content.fields:
        pieces = (field.label + colon, field.value or "")
        rows.append(Row(pieces, layout, mark=mark))
    if content.table:
        rows += [Row(), Row(content.table.header, "columns", strong=True)]
        rows += [Row()] if held_out else []
        mark = "" if held_out else pick(rng, ("", "", "", "bar"))
        rows += [Row(cells, "columns", mark=mark) for cells in content.table.rows]
    return rows


def _about_form(ask: Asker, content: Form) -> list[Question]:
    rng = ask.rng
    questions = [_about_field(ask, field) for field in sample(rng, content.fields, 2)]
    if chance(rng, 0.3):
        used = {word for field in content.fields for word in field.words}
        free = [words for words in texts.FIELD_WORDS if used.isdisjoint(words)]
        questions.append(ask("form.field", NONE, word=pick(rng, pick(rng, free))))
    if content.table:
        questions += _about_table(ask, content.table)
    other = [
        ask("form.title", content.title or NONE, spelled=True),
        ask("form.fields", str(len(content.fields))),
    ]
    return [*questions, *([pick(rng, other)] if chance(rng, 0.5) else [])]


def _about_field(ask: Asker, field: Field) -> Question:
    kind = (
        "form.person"
        if field.is_person and field.words[0] != "name" and chance(ask.rng, 0.7)
        else "form.field"
    )
    word = (
        field.label.lower() if chance(ask.rng, 0.4) and kind == "form.field" else pick(ask.rng, field.words)
    )
    return ask(kind, field.value or NONE, spelled=True, word=word)


def _about_table(ask: Asker, table: Table) -> list[Question]:
    rng = ask.rng
    row = pick(rng, table.rows)
    column = int(rng.integers(1, len(table.header)))
    questions = [ask("cell", row[column], spelled=True, column=table.header[column], row=row[0])]
    if chance(rng, 0.4):
        questions.append(ask("rows", str(len(table.rows))))
    return questions


def _form_whole(ask: Asker, content: Form, rows: list[Row]) -> Question:
    """The form as JSON, some of its fields as JSON, its table as JSON, or all its text."""
    draw = float(ask.rng.random())
    table = content.table and [
        dict(zip(content.table.header, row, strict=True)) for row in content.table.rows
    ]
    if draw < 0.3:
        return ask("form.document", transcript(rows), spelled=True, task="document")
    if draw < 0.4 and table:
        return ask("table.json", json.dumps(table), task="json")
    if draw < 0.7:
        whole: dict[str, object] = {field.label: field.value for field in content.fields}
        return ask("form.json", json.dumps(whole | ({"table": table} if table else {})), task="json")
    used = {word for field in content.fields for word in field.words}
    free = [words for words in texts.FIELD_WORDS if used.isdisjoint(words)]
    known: dict[str, str | None] = {pick(ask.rng, words): None for words in sample(ask.rng, free, 2)}
    for field in content.fields:
        known[pick(ask.rng, (*field.words, field.label, field.label.lower()))] = field.value
    return _some_fields(ask, known)


RECIPES = (
    Recipe("receipt", 30, _SIZES, paint_receipt),
    Recipe("form", 31, _SIZES, paint_form),
)
"""What this module draws; the numbers are part of every seed."""
