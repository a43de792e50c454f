"""Look once, ask often: the second question costs only its own tokens."""

import galago

model = galago.load("nano")
image = model.encode("examples/scene.png")
for question in ("How many shapes are there?", "Is there a grey circle?", "Is there a green star?"):
    answer = model.ask(image, question)
    print(f"{question} {answer.text}  ({answer.timings.total_s:.3f} s)")
