"""Ask one question about a picture: python examples/ask.py [PICTURE] [QUESTION]."""

import sys

import galago

picture = sys.argv[1] if len(sys.argv) > 1 else "examples/scene.png"
question = sys.argv[2] if len(sys.argv) > 2 else "What kind of shape is the green one?"

model = galago.load("nano")
answer = model.ask(picture, question)
print(answer.text)
