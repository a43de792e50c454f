"""The wordings of questions about receipts and forms."""

from __future__ import annotations

from collections.abc import Mapping

from galago.drawing.sheet import Phrases

_ANY_FIELD = (
    "What is the {word}?", "Give the {word}.", "Read the {word}.", "Tell me the {word}.",
    "Which {word} is printed?", "What {word} is given?", "Find the {word}.",
    "What does it say for the {word}?", "{word}?",
)  # fmt: skip

RECEIPT_WORDS: Mapping[str, tuple[str, ...]] = {
    "shop": ("shop", "shop name", "store", "name of the shop", "merchant"),
    "date": ("date", "purchase date", "date of purchase"),
    "time": ("time", "time of purchase"),
    "number": ("receipt number", "number of the receipt", "receipt no"),
    "phone": ("phone number", "telephone number", "phone"),
    "total": ("total", "total amount", "sum", "grand total", "amount to pay"),
    "vat": ("VAT", "tax", "VAT amount"),
    "payment": ("payment method", "means of payment", "way of payment"),
    "change": ("change", "change given back"),
}
"""The words for each field of a receipt; the first is its usual name."""

_RECEIPT_OWN: Mapping[str, tuple[str, ...]] = {
    "shop": (
        "Which shop is this from?", "Where was this bought?", "Who issued the receipt?", "Which store is it?",
    ),
    "date": (
        "When was this bought?", "On which day was this bought?", "What day was it?",
        "When was the purchase?",
    ),
    "time": ("At what time was this bought?", "What time was it?"),
    "total": (
        "How much was paid in total?", "How much is it in all?", "What does it cost altogether?",
        "How much is the bill?", "How much does it come to?",
    ),
    "vat": ("How much VAT is included?", "How much tax is in it?"),
    "payment": ("How was it paid?", "How did the customer pay?", "How was the bill paid?"),
    "change": ("How much change was given?", "How much money was given back?"),
}  # fmt: skip

PHRASES: Phrases = {
    **{
        f"receipt.{name}": (
            *(wording.replace("{word}", word) for word in names for wording in _ANY_FIELD),
            *_RECEIPT_OWN.get(name, ()) * 4,
        )
        for name, names in RECEIPT_WORDS.items()
    },
    "price": (
        "How much is the {item}?", "What does the {item} cost?", "What is the price of {item}?",
        "Price of {item}?", "How much was the {item}?", "What was paid for {item}?",
        "Give the price of {item}.", "How much does {item} cost?", "What is the price of the {item}?",
    ),
    "items": (
        "How many items are on the receipt?", "How many items were bought?", "How many things were bought?",
        "Count the items.", "Number of items?", "How many items are listed?",
        "How many different items are there?", "How many lines of goods are there?",
    ),
    "nth": (
        "What is the {ordinal} item?", "Which item is listed {ordinal}?", "What is item number {number}?",
        "Name the {ordinal} item.", "Read the {ordinal} item.", "What was bought {ordinal}?",
        "Which is the {ordinal} item?", "Give the name of the {ordinal} item.",
    ),
    "dearest": (
        "What is the most expensive item?", "Which item costs the most?", "What cost the most?",
        "Name the most expensive item.", "Which item has the highest price?", "What was the dearest item?",
        "Which item is the most expensive?", "Which thing was the most expensive?",
    ),
    "cheapest": (
        "What is the cheapest item?", "Which item costs the least?", "What cost the least?",
        "Name the cheapest item.", "Which item has the lowest price?", "What was the least expensive item?",
        "Which item is the cheapest?", "Which thing was the cheapest?",
    ),
    "bought": (
        "Was {item} bought?", "Is {item} on the receipt?", "Is {item} listed?", "Did they buy {item}?",
        "Does the receipt list {item}?", "Is there {item} on the receipt?", "Was {item} paid for?",
        "Is {item} one of the items?",
    ),
    "receipt.document": (
        "Read the receipt.", "Transcribe the receipt.", "What is written on the receipt?",
        "Read all the text.", "Read everything.", "Transcribe all text.", "Give the whole text.",
        "Copy the text, line by line.", "Read the document.",
    ),
    "receipt.json": (
        "Give the receipt as JSON.", "Convert the receipt to JSON.", "Write the receipt as JSON.",
        "Give the shop, date, items and total as JSON.", "Turn this receipt into JSON.",
        "Return the receipt as JSON.", "Extract the receipt as JSON.", "Read the receipt as JSON.",
        "What is on the receipt, as JSON?",
    ),
    "json_fields": (
        "Give the fields {fields} as JSON.", "Extract {fields} as JSON.", "Return {fields} as JSON.",
        "Give {fields} as JSON.", "Write the fields {fields} as JSON.", "Read {fields} and answer in JSON.",
        "What are {fields}? Answer in JSON.", "Fill in as JSON: {fields}.", "As JSON: {fields}.",
    ),
    "form.field": _ANY_FIELD,
    "form.person": (
        "Who is the {word}?", "What is the name of the {word}?", "Name the {word}.",
        "Who is given as {word}?", "Which {word} is named?", "What is the {word} called?",
        "Who is named as the {word}?", "Give the name of the {word}.",
    ),
    "form.title": (
        "What is the title?", "What is the heading?", "What is the title of the form?", "Read the heading.",
        "What kind of document is this?", "What does the heading say?", "Give the title.",
        "How is the form titled?",
    ),
    "form.fields": (
        "How many fields does the form have?", "How many fields are there?", "Count the fields.",
        "Number of fields?", "How many labelled fields are there?", "How many entries does the form ask for?",
        "How many fields are on the form?", "Tell me the number of fields.",
    ),
    "form.document": (
        "Read the form.", "Transcribe the form.", "What is written on the form?", "Read all the text.",
        "Read everything.", "Transcribe all text.", "Give the whole text.", "Copy the text, line by line.",
        "Read the document.",
    ),
    "form.json": (
        "Give the form as JSON.", "Convert the form to JSON.", "Write the form as JSON.",
        "Give all fields as JSON.", "Turn this form into JSON.", "Return all fields as JSON.",
        "Extract the form as JSON.", "Read the form as JSON.", "What is on the form, as JSON?",
    ),
    "cell": (
        "What is the {column} of {row}?", "{column} of {row}?", "What is the {column} for {row}?",
        "Which {column} does {row} have?", "Give the {column} of {row}.", "Read the {column} of {row}.",
        "In the table, what is the {column} of {row}?", "What {column} is listed for {row}?",
    ),
    "rows": (
        "How many rows does the table have?", "How many rows are below the header?", "Count the table rows.",
        "Number of rows in the table?", "How many entries does the table have?",
        "How many lines does the table list?", "How many rows are in the table?",
        "Without the header, how many rows are there?",
    ),
    "table.json": (
        "Give the table as JSON.", "Convert the table to JSON.", "Write the table as JSON.",
        "Turn this table into JSON.", "Return the table as JSON.", "Extract the table as JSON.",
        "Read the table as JSON.", "What is in the table, as JSON?",
    ),
}  # fmt: skip
"""Every question about a document in its wordings."""
