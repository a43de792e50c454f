"""A document as a validated object: a JSON Schema says what may come back."""

import galago

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "string"}, "date": {"type": "string"}},
    "required": ["total", "date"],
    "additionalProperties": False,
}

model = galago.load("nano")
print(model.extract("examples/receipt.png", SCHEMA))
