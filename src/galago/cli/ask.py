"""`ask`: one or more questions about one or more pictures."""

from __future__ import annotations

import time

from galago.cli.options import (
    ConstraintSettings,
    ModelSettings,
    PictureSettings,
    SamplingSettings,
    StatsSettings,
)
from galago.cli.settings import argument, flag, option
from galago.errors import UsageError
from galago.frozen import frozen


@frozen(kw_only=True)
class Settings(StatsSettings, ModelSettings, PictureSettings, SamplingSettings, ConstraintSettings):
    """Ask a question about one or more pictures.

    The last word is the question, unless -q gives it. A picture is a file, a URL, or - for stdin.
    """

    words: tuple[str, ...] = argument("IMAGE... QUESTION", "Pictures, then the question.")
    question: str | None = option(
        "The question; then every word is a picture.", metavar="QUESTION", short="-q"
    )
    also: tuple[str, ...] = option(
        "Another question about the same pictures, which are encoded once.", default=(), metavar="QUESTION"
    )
    json: bool = flag("Print one JSON object: the answer with its whole record.")

    def pictures_and_questions(self) -> tuple[list[str], list[str]]:
        """What to look at, and what to ask in turn."""
        words = list(self.words)
        question = self.question if self.question is not None else words.pop()
        if not words:
            raise UsageError(
                f"there is a question, {question!r}, and no picture",
                hint='galago ask picture.png "What is this?"',
            )
        questions = [question, *self.also]
        if not all(text.strip() for text in questions):
            raise UsageError("a question is empty")
        return words, questions


def run(settings: Settings) -> None:
    """Answer in the order of the questions, one after the other."""
    from galago.cli.output import add_reading, print_json, refuse_garbage, say, show_stats
    from galago.cli.pictures import read_pictures, user_message

    sources, questions = settings.pictures_and_questions()
    options = {**settings.sampling_options(), **settings.constraint_options(), **settings.picture_options()}
    model = settings.load(settings.picture_limits())
    began = time.perf_counter()
    pictures = read_pictures(sources, model.limits)
    reading_s = time.perf_counter() - began
    answers = []
    for question in questions:
        answer = say(model, [user_message(pictures, question)], options, silent=settings.json)
        answers.append(add_reading(answer, reading_s))
        reading_s = 0.0  # further questions find the pictures read
        if settings.stats:
            show_stats(answers[-1])
    if settings.json:
        print_json(answers)
        refuse_garbage(answers)
