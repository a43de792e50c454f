"""Finds the command, runs it, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from galago.errors import GalagoError, GalagoWarning, OutOfMemoryError, UsageError

COMMANDS = (
    "ask",
    "chat",
    "caption",
    "find",
    "read",
    "extract",
    "models",
    "info",
    "fit",
    "convert",
    "export",
    "bench",
    "eval",
    "train",
    "doctor",
)
INTERRUPTED = 130
CLOSED_PIPE = 141


class _Commands(click.Group):
    """The commands in the order of the tuple, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if name not in COMMANDS:
            return None
        from galago.cli.settings import command

        return command(name, import_module(f"galago.cli.{name}"))


def application() -> click.Group:
    """The whole command line as click sees it; the reference page is generated from it."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_version,
        help="Show the version.",
    )
    return _Commands(
        "galago",
        params=[version],
        help="Ask pictures: vision-language models on this machine, offline.",
        context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]},
    )


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        from galago import __version__

        print(f"galago {__version__}")
        ctx.exit()


def program() -> NoReturn:
    """The process's own command line: ends it with the exit code.

    Python would take down one module after the other, which takes as long as a short answer of nano.
    """
    # Galago computes with threads of its own; numpy's would keep a core busy for a tenth of a second
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(200_000)  # imports make many objects and no garbage: looking for it takes 10 ms
    _open_closed_streams()
    code = main()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)  # which waits for them
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public name
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


def _open_closed_streams() -> None:
    """What the caller has closed: stdin is empty, stderr leads nowhere, stdout is a pipe that nobody reads.

    Python has None for them, and the next file that is opened would get their number.
    """
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        _, writing = os.pipe()
        os.dup2(writing, 1)  # the lowest free number: the end that would be read
        os.close(writing)
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (by default the process's) -> its exit code. Errors that are ours are one line."""
    try:
        with _warnings_as_lines():
            code = _run(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
            return code
    except GalagoError as error:  # anything else is our bug and keeps its traceback
        say_error(error)
        return error.exit_code
    except MemoryError:
        say_error(OutOfMemoryError("the system gave no more memory", hint="galago fit MODEL --memory 1GB"))
        return OutOfMemoryError.exit_code
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return CLOSED_PIPE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _silence()
        say_error(
            GalagoError("no space is left where the answer is written", hint="make room, or write elsewhere")
        )
        return GalagoError.exit_code


def _silence() -> None:
    """Stdout takes no more. What is still in its buffer is flushed at the end: let that go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str]) -> int:
    try:
        with application().make_context("galago", argv) as context:
            try:
                code: int | None = context.command.invoke(context)
            except UsageError as error:
                error.hint = error.hint or f"galago {context.invoked_subcommand} --help"
                raise
            return code or 0
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return UsageError.exit_code
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.UsageError as error:
        path = "galago" if error.ctx is None else error.ctx.command_path
        say_error(UsageError(error.format_message().rstrip("."), hint=f"{path} --help"))
        return UsageError.exit_code


def say_error(error: GalagoError) -> None:
    """One line on stderr for what went wrong, and a second one for what to try."""
    what = " ".join(str(error).splitlines())  # a name may have several lines
    print(f"error: {what}" + (f"\n  try: {error.hint}" if error.hint else ""), file=sys.stderr)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Our warnings are one line each on stderr; what libraries tell developers stays with developers."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, GalagoWarning):
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", GalagoWarning)
        warnings.showwarning = show
        yield
