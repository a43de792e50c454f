"""`chat`: a conversation about pictures; everything said so far is remembered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from galago.cli.app import say_error
from galago.cli.options import ModelSettings, PictureSettings, SamplingSettings
from galago.cli.settings import argument, flag
from galago.errors import GalagoError, UsageError
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago import Model
    from galago.media import Picture


@frozen(kw_only=True)
class Settings(ModelSettings, PictureSettings, SamplingSettings):
    """Talk about pictures: each line is a message, and what was said before is remembered.

    In a pipe each line of stdin is answered by one line. /image FILE adds a picture to the next message,
    /new forgets everything, /bye leaves.
    """

    images: tuple[str, ...] = argument("[IMAGE]...", "Pictures of the first message.", default=())
    stats: bool = flag("Show where time and memory went after each answer, on stderr.")


def run(settings: Settings) -> None:
    """Answer line by line until the input ends."""
    options = {**settings.sampling_options(), **settings.picture_options()}
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    talk = Conversation(settings.load(settings.picture_limits()))
    for source in settings.images:
        talk.add_image(source)
    for line in lines(interactive=interactive):
        if line == "/bye":
            return
        try:
            talk.take(line, options, stats=settings.stats)
        except GalagoError as error:
            if not interactive:
                raise
            say_error(error)


@dataclass
class Conversation:
    """What was said so far, and the pictures that wait for the next message."""

    model: Model
    messages: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[Picture] = field(default_factory=list)

    def add_image(self, source: str) -> None:
        """Read a picture for the next message."""
        from galago.cli.pictures import read_picture

        self.waiting.append(read_picture(source, self.model.limits))

    def take(self, line: str, options: dict[str, Any], *, stats: bool) -> None:
        """One line of the user's: a command, or a message that is answered. What fails is forgotten."""
        from galago.cli.output import say, show_stats
        from galago.cli.pictures import user_message

        word, _, rest = line.partition(" ")
        if word == "/new":
            self.messages, self.waiting = [], []
        elif word == "/image":
            self.add_image(rest.strip())
        elif word.startswith("/"):
            raise UsageError(f"there is no command {word}", hint="/image FILE, /new or /bye")
        else:
            message = user_message(self.waiting, line)
            answer = say(self.model, [*self.messages, message], options)
            if stats:
                show_stats(answer)
            self.messages += [message, {"role": "assistant", "content": answer.text}]
            self.waiting = []


def lines(*, interactive: bool) -> Iterator[str]:
    """Lines with something in them; a prompt and line editing where a person types."""
    if interactive:
        import readline  # noqa: F401 - importing it gives `input` its line editing

        print("/image FILE adds a picture, /new forgets everything, /bye leaves", file=sys.stderr)
    while True:
        try:
            line = input("> ") if interactive else next(sys.stdin, None)
        except EOFError:
            return
        if line is None:
            return
        if line.strip():
            yield line.strip()
