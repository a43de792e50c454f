"""Recipe `label`: the label of a product, asked for by field, as text and now and then as JSON.

Answers are spelled as printed, without the words before them: "Best before 12.05.2026" holds 12.05.2026.
Tasks: "label" for one field, the allergens and all text, "json" for several fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from galago.drawing import document_texts as texts
from galago.drawing import words
from galago.drawing.barcodes import bars, check_digit
from galago.drawing.effects import Colour, luminance
from galago.drawing.following import following
from galago.drawing.paper import Print, Row, capacity, choose_print, lines_of, set_rows, transcript
from galago.drawing.sample import Drawing, Question, Recipe, Setting, Split
from galago.drawing.sheet import NONE, Asker, Phrases, Sheet, chance, mixed, near, pick, sample
from galago.drawing.typeset import fit
from galago.frozen import frozen

FIELD_WORDS: Mapping[str, tuple[str, ...]] = {
    "product": ("product", "product name", "name of the product"),
    "brand": ("brand", "maker", "brand name"),
    "weight": ("weight", "net weight", "amount of contents"),
    "volume": ("volume", "volume of the contents"),
    "price": ("price",),
    "best before": ("best before date", "expiry date", "date of expiry", "use by date"),
    "lot": ("lot number", "batch number", "lot", "batch"),
    "origin": ("country of origin", "origin"),
    "barcode": ("barcode number", "number under the barcode", "barcode"),
}
"""The words for each field of a label."""

_ANY_FIELD = (
    "What is the {word}?", "Give the {word}.", "Read the {word}.", "Tell me the {word}.",
    "Which {word} is printed?", "What {word} is on the label?", "Find the {word}.",
    "What does the label say is the {word}?", "{word}?",
)  # fmt: skip

_OWN: Mapping[str, tuple[str, ...]] = {
    "product": (
        "What product is it?", "What is in the package?", "Which product is this?", "What is sold here?",
    ),
    "brand": ("Who makes it?", "Which brand is it?", "Who is the maker?"),
    "weight": ("How much does it weigh?", "How heavy is it?"),
    "volume": ("How much liquid is in it?", "How much does it hold?"),
    "price": ("How much does it cost?", "What does it cost?", "How much is it?", "What must I pay for it?"),
    "best before": ("When does it expire?", "Until when is it good?", "By when should it be used?"),
    "origin": ("Where does it come from?", "Where was it made?", "Which country is it from?"),
    "barcode": ("Which number is under the bars?", "Read the digits of the barcode."),
}  # fmt: skip

PHRASES: Phrases = {
    **{
        name: (
            *(wording.replace("{word}", word) for word in names for wording in _ANY_FIELD),
            *_OWN.get(name, ()) * 3,
        )
        for name, names in FIELD_WORDS.items()
    },
    "allergens": (
        "Which allergens does it contain?", "What allergens are in it?", "What does it contain?",
        "Which allergens are named?", "List the allergens.", "Which allergens are printed?",
        "What must allergic people know is in it?", "Read the allergens.",
    ),
    "allergen": (
        "Does it contain {allergen}?", "Does the label list {allergen}?", "Does the label name {allergen}?",
        "Is {allergen} printed as an allergen?", "Is {allergen} listed?",
        "Is {allergen} among the allergens?", "Does it say that it contains {allergen}?",
        "Is {allergen} named as an allergen?",
    ),
    "has barcode": (
        "Is there a barcode?", "Does the label have a barcode?", "Can you see a barcode?",
        "Is a barcode printed?", "Does it carry a barcode?", "Is there a barcode on the label?",
        "Has the label a barcode?", "Is a barcode there?",
    ),
    "text": (
        "What does the label say?", "Read the label.", "Transcribe the label.", "Read all the text.",
        "What is printed on the label?", "What is written on the label?", "Read everything on the label.",
        "Copy the text of the label.", "Give the whole text.",
    ),
    "json": (
        "Give the fields {fields} as JSON.", "Extract {fields} as JSON.", "Return {fields} as JSON.",
        "Give {fields} as JSON.", "Write the fields {fields} as JSON.", "Read {fields} and answer in JSON.",
        "What are {fields}? Answer in JSON.", "Fill in as JSON: {fields}.", "As JSON: {fields}.",
    ),
}  # fmt: skip
"""Every question about a label in its wordings."""

_SOLIDS = (
    "Rice", "Flour", "Sugar", "Salt", "Pasta", "Muesli", "Cocoa", "Coffee", "Green tea", "Honey", "Jam",
    "Butter", "Cheese", "Cookies", "Crackers", "Almonds", "Raisins", "Lentils", "Beans", "Oats", "Spice mix",
    "Dog food", "Washing powder", "Plaster", "Wood glue", "Screws", "Candles", "Chocolate", "Peanuts",
    "Chips",
)  # fmt: skip

_LIQUIDS = (
    "Milk", "Orange juice", "Apple juice", "Water", "Olive oil", "Vinegar", "Shampoo", "Soap", "Cola",
    "Syrup", "Cream", "Soy sauce", "Paint", "Cleaner", "Lemonade", "Motor oil", "Soup", "Ketchup", "Lotion",
    "Ink",
)  # fmt: skip

ALLERGENS = (
    "milk",
    "nuts",
    "gluten",
    "soy",
    "eggs",
    "fish",
    "celery",
    "mustard",
    "sesame",
    "wheat",
    "peanuts",
)

_COUNTRIES = (
    "Italy",
    "Spain",
    "Peru",
    "Kenya",
    "France",
    "India",
    "Brazil",
    "Greece",
    "Japan",
    "Turkey",
    "Chile",
)

_COLOURS: tuple[Colour, ...] = (
    (246, 244, 238), (250, 236, 190), (214, 232, 214), (206, 224, 244), (248, 214, 208), (36, 84, 60),
    (28, 54, 110), (134, 28, 36), (60, 44, 36), (238, 196, 40), (226, 120, 32), (30, 30, 34), (232, 232, 236),
)  # fmt: skip

_SIZES = ((7, 10), (8, 9), (8, 11), (10, 10), (11, 11))
_BARCODE_HEIGHT = 46


@frozen
class Label:
    """What a label says; None is not printed. `contents` is the weight or, of a liquid, the volume."""

    product: str
    contents: str
    is_liquid: bool
    brand: str | None = None
    price: str | None = None
    best_before: str | None = None
    lot: str | None = None
    origin: str | None = None
    allergens: tuple[str, ...] = ()
    barcode: str | None = None

    @property
    def fields(self) -> dict[str, str | None]:
        """What can be asked for by name."""
        return {
            "product": self.product, "brand": self.brand, "price": self.price, "lot": self.lot,
            "weight": None if self.is_liquid else self.contents,
            "volume": self.contents if self.is_liquid else None, "best before": self.best_before,
            "origin": self.origin, "barcode": self.barcode,
        }  # fmt: skip


def paint_label(rng: np.random.Generator, setting: Setting) -> Drawing:
    """A label of a product; tasks "label", "json" and "next"."""
    capitals = setting.between(17.0, 13.0) + float(rng.uniform(0, 2))
    with_barcode = setting.height >= 160 and chance(rng, 0.55)
    margin = 8.0
    rows, characters = capacity(setting, capitals, margin)
    if with_barcode:
        rows -= round((_BARCODE_HEIGHT + 10) / (capitals * 1.55))
    content = label(rng, max(3, rows - 1), characters, with_barcode=with_barcode)
    sheet, lines = _print(rng, setting, content, capitals)
    ask = Asker(rng, PHRASES, "label")
    asked = _about(ask, content, lines)
    return sheet.finish([*asked, *following(rng, lines_of(lines), 2)], degrees=2.5)


def label(rng: np.random.Generator, most_rows: int, most_characters: int, *, with_barcode: bool) -> Label:
    """What a label of at most `most_rows` rows (3 or more), besides its barcode, may say."""
    is_liquid = chance(rng, 0.4)
    if chance(rng, 0.75):
        product = pick(rng, _LIQUIDS if is_liquid else _SOLIDS)
    else:
        product = words.invented_word(rng).title()[: most_characters * 2 // 3]
    product = product.upper() if chance(rng, 0.4) else product
    amount = int(rng.integers(1, 100)) * pick(rng, (1, 5, 10))
    small, large = ("ml", "L") if is_liquid else ("g", "kg")
    contents = pick(
        rng,
        (
            f"{amount} {small}",
            f"{amount}{small}",
            f"{amount / 100:.2g} {large}",
            f"{amount % 10 + 1} {large}",
        ),
    )
    extras: dict[str, str | None] = {}
    allergens: tuple[str, ...] = ()
    left = most_rows - 2
    for name in sample(rng, ("best_before", "price", "lot", "origin", "brand", "allergens"), 6):
        if left < 1 or chance(rng, 0.25):
            continue
        left -= 1
        if name == "allergens":
            count = int(rng.integers(1, 4))
            allergens = tuple(sample(rng, ALLERGENS, count))
            if len("Contains: " + ", ".join(allergens)) > most_characters:
                allergens = allergens[:1]
        else:
            extras[name] = _extra(rng, name, most_characters)
    code = texts.digits(rng, 7, 7) if chance(rng, 0.6) else texts.digits(rng, 12, 12)
    barcode = code + check_digit(code) if with_barcode else None
    return Label(product, contents, is_liquid, **extras, allergens=allergens, barcode=barcode)


def _extra(rng: np.random.Generator, name: str, most_characters: int) -> str:
    if name == "price":
        amount = f"{int(rng.integers(0, 100))}.{int(rng.integers(0, 100)):02d}"
        return pick(rng, (f"${amount}", f"EUR {amount}", f"{amount} EUR", f"{amount}"))
    if name == "best_before":
        month, year = int(rng.integers(1, 13)), int(rng.integers(2020, 2040))
        return texts.day(rng) if chance(rng, 0.7) else f"{month:02d}/{year}"
    if name == "lot":
        letters = "".join(pick(rng, "ABCDEFGHKLMNPRSTX") for _ in range(int(rng.integers(0, 3))))
        return letters + texts.digits(rng, 3, 6)
    return pick(rng, _COUNTRIES) if name == "origin" else texts.shop_name(rng, min(14, most_characters))


def _rows(rng: np.random.Generator, content: Label, characters: int, *, held_out: bool) -> list[Row]:
    """The printed rows, often in any order. Held out: contents first, product after it, all at the right."""
    align = "right" if held_out else pick(rng, ("left", "centre"))

    def told(before: tuple[str, ...], value: str) -> Row:
        short = [word for word in before if len(word) + 1 + len(value) <= characters]
        return Row((pick(rng, short or (min(before, key=len),)), value), align)

    name = Row((content.product,), align, strong=True, scale=float(rng.uniform(1.2, 1.6)))
    contents = Row(
        (content.contents,) if chance(rng, 0.6) else (pick(rng, ("Net", "Net.")), content.contents), align
    )
    brand = [Row((content.brand,), align)] if content.brand else []
    others = []
    if content.price:
        others.append(
            Row(
                (content.price,)
                if content.price[-1:] == "R" or content.price[0] in "$E"
                else ("Price", content.price),
                align,
            )
        )
    if content.best_before:
        others.append(told(("Best before", "Use by", "EXP", "BB", "Expires"), content.best_before))
    if content.lot:
        others.append(told(("LOT", "Lot", "L:", "Batch"), content.lot))
    if content.origin:
        others.append(told(("Made in", "Origin:", "Product of", "From"), content.origin))
    if content.allergens:
        others.append(told(("Contains", "Contains:", "Allergens:"), ", ".join(content.allergens)))
    others = sample(rng, others, len(others))
    if held_out:
        return [contents, name, *brand, *others]
    usual = [*brand, name, contents, *others]
    return usual if chance(rng, 0.5) else mixed(rng, usual, contents)


def _print(
    rng: np.random.Generator, setting: Setting, content: Label, capitals: float
) -> tuple[Sheet, list[Row]]:
    """The printed label and its rows of text, the number of the barcode last."""
    held_out = setting.split is Split.HELD_OUT
    base = near(rng, pick(rng, _COLOURS), 12)
    dark = luminance(base) < 120
    ink: Colour = near(rng, (244, 242, 236), 10) if dark else near(rng, (30, 28, 34), 24)
    sheet = Sheet(rng, setting, base)
    rows = _rows(rng, content, capacity(setting, capitals, 8.0)[1], held_out=held_out)
    edge = float(rng.uniform(2, 5))
    frame = (edge, edge, setting.width - edge, setting.height - edge)
    if held_out:
        sheet.pen.rounded_rectangle(frame, 10, outline=ink, width=2)
    elif chance(rng, 0.4):
        sheet.pen.rectangle(frame, outline=ink, width=int(rng.integers(1, 3)))
    box = [frame[0] + 7, frame[1] + 5, frame[2] - 7, frame[3] - 5]
    if content.barcode:
        box[3] -= _BARCODE_HEIGHT + 4
    style = replace(choose_print(rng, setting, rows, box[2] - box[0], capitals), ink=ink)
    set_rows(sheet, (box[0], box[1], box[2], box[3]), rows, style)
    if content.barcode:
        _draw_barcode(sheet, content.barcode, frame, style)
        rows = [*rows, Row((content.barcode,))]
    return sheet, rows


def _draw_barcode(sheet: Sheet, digits: str, frame: tuple[float, float, float, float], style: Print) -> None:
    """The bars and their number on a white field at the foot of the label."""
    modules = bars(digits)
    module = 2 if len(modules) * 2 + 16 <= frame[2] - frame[0] else 1
    kind = fit(style.face, digits, frame[2] - frame[0] - 26, 12.5)
    width = max(len(modules) * module, round(kind.width(digits))) + 12
    spare = frame[2] - frame[0] - 10 - width
    left = round(frame[0] + 5 + spare * float(sheet.rng.choice((0.0, 0.5, 1.0))))
    top = round(frame[3] - _BARCODE_HEIGHT - 3)
    white = near(sheet.rng, (248, 248, 246), 6)
    sheet.pen.rectangle((left, top, left + width, top + _BARCODE_HEIGHT - 2), white)
    mask = Image.fromarray(np.repeat(np.where(modules, np.uint8(255), np.uint8(0)), module)[None])
    height = round(_BARCODE_HEIGHT - kind.capitals - 11)
    place = left + (width - mask.width) // 2, top + 3
    sheet.image.paste((20, 20, 22), place, mask.resize((mask.width, height)))
    baseline = top + _BARCODE_HEIGHT - 6
    sheet.write((left + width / 2, baseline), digits, kind, (20, 20, 22), align="centre")


def _about(ask: Asker, content: Label, rows: list[Row]) -> list[Question]:
    rng, fields = ask.rng, content.fields
    present = [name for name, value in fields.items() if value]
    absent = [
        name for name in ("brand", "price", "best before", "lot", "origin", "barcode") if not fields[name]
    ]
    if not content.brand:
        absent.remove("brand")  # any name on the label may be a brand
    questions = [ask(name, fields[name] or NONE, spelled=True) for name in sample(rng, present, 3)]
    others = [ask(name, NONE) for name in sample(rng, absent, 1)]
    others.append(ask("has barcode", "yes" if content.barcode else "no"))
    if content.allergens:
        others.append(ask("allergens", ", ".join(content.allergens), spelled=True))
    free = [
        name for name in ALLERGENS if name not in content.allergens and name not in content.product.lower()
    ]
    listed = bool(content.allergens) and chance(rng, 0.5)
    allergen = pick(rng, content.allergens if listed else free)
    others.append(ask("allergen", "yes" if listed else "no", allergen=allergen))
    questions += sample(rng, others, 2)
    if chance(rng, 0.3):
        questions.append(ask("text", transcript(rows), spelled=True))
    elif chance(rng, 0.3):
        asked = sample(rng, [*sample(rng, present, 2), *sample(rng, absent, 1)], 3)
        answer = json.dumps({name: fields[name] for name in asked})
        questions.append(ask("json", answer, task="json", fields=", ".join(asked)))
    return questions


RECIPES = (Recipe("label", 22, _SIZES, paint_label),)
"""What this module draws; the number is part of every seed."""
