"""A verb of the model as a command: what all of them can be told, and the record of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from galago.cli.options import ModelSettings, PictureSettings, StatsSettings
from galago.cli.settings import flag, option
from galago.errors import GalagoError
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago import Answer
    from galago.media import Picture

Result = TypeVar("Result")


@frozen(kw_only=True)
class VerbSettings(StatsSettings, ModelSettings, PictureSettings):
    """How a verb answers about one picture, and how its result is shown."""

    json: bool = flag("Print one JSON object: the answer with its whole record.")
    max_tokens: int | None = option("Length at which the answer is cut.", metavar="N")

    def perform(self, verb: Callable[..., Result], image: str, *words: Any) -> tuple[Result, Answer, Picture]:
        """What `verb`, a method of Model, makes of the picture; the answer behind it; the picture.

        An answer of which the verb makes nothing, as it is garbage or was cut, is printed for --json all the
        same before its error is raised.
        """
        from galago.cli.output import add_reading, print_json, show_stats
        from galago.cli.pictures import read_picture

        options = self.picture_options()
        if self.max_tokens is not None:
            options["max_tokens"] = self.max_tokens
        model = self.load(self.picture_limits())
        began = time.perf_counter()
        picture = read_picture(image, model.limits)
        reading_s = time.perf_counter() - began
        answers: list[Answer] = []

        def tell(answer: Answer) -> None:
            answers.append(add_reading(answer, reading_s))
            if self.stats:
                show_stats(answers[0])

        try:
            result = verb(model, picture, *words, on_answer=tell, **options)
        except GalagoError:
            if self.json and answers:
                print_json(answers)
            raise
        return result, answers[0], picture
