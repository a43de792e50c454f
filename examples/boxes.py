"""Find something and cut it out."""

from PIL import Image

import galago

model = galago.load("nano")
picture = Image.open("examples/scene.png")
for number, box in enumerate(model.find(picture, "the purple star")):
    picture.crop((round(box.x0), round(box.y0), round(box.x1), round(box.y1))).save(f"found-{number}.png")
    print(f"found-{number}.png: {box}")
