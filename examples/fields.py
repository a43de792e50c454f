"""A document as a validated object: a JSON Schema says what may come back."""

import galago

SCHEMA = {
    "type": "object",
    "properties": {"shop": {"type": "string"}, "total": {"type": "string"}},
    "required": ["shop", "total"],
    "additionalProperties": False,
}

model = galago.load("nano")
print(model.extract("examples/receipt.png", SCHEMA))
