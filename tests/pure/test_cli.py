"""The command line where no model is needed: help, misuse, errors, interruptions."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from galago import cli
from galago.cli import app, options
from galago.cli.progress import progress_bar
from galago.cli.settings import argument, command_line, flag, option
from galago.errors import GalagoError, GalagoWarning, SchemaError, UsageError


@pytest.fixture
def planted(monkeypatch):
    """`planted(run)` makes `galago ask` run that function with settings of its own."""

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        """Do as planted."""

        words: tuple[str, ...] = argument("WORD...", "Words.", default=())
        size: int | None = option("A size.", metavar="N", short="-s", environment=True)
        loud: bool = flag("Loudly.")

    def plant(run):
        module = types.SimpleNamespace(Settings=Settings, run=run)
        monkeypatch.setattr(app, "import_module", lambda _: module)

    Settings.__annotations__ = {"words": tuple[str, ...], "size": int | None, "loud": bool}
    return plant


def raising(error):
    def run(_):
        raise error

    return run


def test_settings_hold_what_the_command_line_says(planted):
    seen = []
    planted(seen.append)
    assert cli.main(["ask", "one", "two", "-s", "3", "--loud"]) == 0
    assert (seen[0].words, seen[0].size, seen[0].loud) == (("one", "two"), 3, True)


def test_settings_can_be_told_as_a_command_line(planted):
    seen = []
    planted(seen.append)
    cli.main(["ask", "one", "two words", "-s", "3", "--loud"])
    cli.main(["ask"])
    assert [command_line("ask", settings) for settings in seen] == [
        "galago ask one 'two words' --size 3 --loud",
        "galago ask",
    ]


def test_a_variable_stands_for_an_option_and_the_option_wins(planted, monkeypatch):
    seen = []
    planted(seen.append)
    monkeypatch.setenv("GALAGO_SIZE", "5")
    cli.main(["ask"])
    cli.main(["ask", "--size", "7"])
    assert [settings.size for settings in seen] == [5, 7]


def test_our_error_is_one_line_and_a_way_out(planted, capsys):
    planted(raising(GalagoError("the lamp is out", hint="light it")))
    assert cli.main(["ask"]) == 1
    assert capsys.readouterr() == ("", "error: the lamp is out\n  try: light it\n")


def test_misuse_without_a_way_out_of_its_own_names_the_help(planted, capsys):
    planted(raising(UsageError("the lamp is no lamp")))
    assert cli.main(["ask"]) == 2
    assert capsys.readouterr() == ("", "error: the lamp is no lamp\n  try: galago ask --help\n")


def test_a_name_of_several_lines_is_told_in_one(planted, capsys):
    planted(raising(GalagoError("a\nb.png does not exist")))
    cli.main(["ask"])
    assert capsys.readouterr().err == "error: a b.png does not exist\n"


def test_any_other_error_keeps_its_traceback(planted):
    planted(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["ask"])


def test_an_interruption_is_130_without_a_traceback(planted, capsys):
    planted(raising(KeyboardInterrupt()))
    assert cli.main(["ask"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_our_warnings_are_one_line_on_stderr(planted, capsys):
    def run(_):
        for _ in range(2):
            warnings.warn("the disk is full", GalagoWarning, stacklevel=1)

    planted(run)
    assert cli.main(["ask"]) == 0
    assert capsys.readouterr().err == "warning: the disk is full\n" * 2


@pytest.mark.parametrize(
    "line",
    ["aks", "ask --no-such-option", "ask --size", "ask --size three", "--no-such-option"],
)
def test_misuse_is_2_and_one_line(planted, capsys, line):
    planted(raising(AssertionError("nothing may run")))
    assert cli.main(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "\n  try: galago" in err
    assert err.count("\n") == 2


def test_no_command_at_all_is_misuse_and_shows_the_commands(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_and_every_option(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: galago {name}")
    group = cli.application()
    for parameter in group.get_command(None, name).params:
        assert parameter.help, f"{name}: {parameter.name} has no help"
        assert parameter.help.endswith(".")


def test_a_command_that_takes_one_picture_does_not_take_two(capsys):
    assert cli.main(["caption", "a.png", "b.png"]) == 2
    assert "b.png" in capsys.readouterr().err


HEAVY = {"numpy", "PIL", "rich", "tokenizers", "llguidance", "torch", "minijinja"}


@pytest.mark.parametrize("line", ["--help", "ask --help", "--version", "aks"])
def test_help_loads_nothing_heavy(line):
    code = f"import sys; from galago.cli import main; main({line.split()!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


ENDLESS = """
import atexit, sys, threading
from galago.cli import app, doctor
def run(settings):
    atexit.register(print, "handler", file=sys.stderr)
    for _ in range({lines}): print("words, words, words")
    {then}
doctor.run = run
sys.argv = ["galago", "doctor"]
app.program()
"""


def ending(lines, then="return 3"):
    return [sys.executable, "-c", ENDLESS.format(lines=lines, then=then)]


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen(ending(100_000), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"handler\n"
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("words", "code"),
    [("models >&-", 141), ("models 2>&-", 0), ("models <&- >&- 2>&-", 141), ("no-such-command 2>&-", 2)],
)
def test_a_closed_stream_is_no_traceback(words, code):
    line = f"{sys.executable} -m galago {words}"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert "error" not in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_full_disk_is_one_line(lines):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(ending(lines), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no space is left")
    assert "Traceback" not in done.stderr


def test_a_program_ends_with_all_said_and_its_handlers_run():
    done = subprocess.run(ending(100_000), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout.count("\n") == 100_000
    assert done.stderr == "handler\n"


def test_a_program_waits_for_threads_that_are_no_daemons():
    thread = (
        "threading.Thread(target=lambda: (threading.main_thread().join(), print('late'))).start(); return 3"
    )
    done = subprocess.run(ending(1, thread), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "words, words, words\nlate\n", "handler\n")


def test_a_field_of_choices_refuses_others(capsys):
    assert cli.main(["read", "a.png", "--format", "html"]) == 2
    assert "'text', 'markdown', 'json'" in capsys.readouterr().err


def test_progress_is_drawn_on_a_terminal_and_nowhere_else(monkeypatch, capsys):
    with progress_bar("packing") as progress:
        assert progress is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar("packing"):
        pass
    assert capsys.readouterr().err == ""  # nothing was done, so nothing is shown
    with progress_bar("packing") as progress:
        progress(1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert "packing" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"not":' * 100_000 + "{}" + "}" * 100_000, "is not valid JSON"),
        ('{"type": "object", "type": "string"}', "the key 'type' comes twice"),
        ("[]", "holds a list, not an object"),
        ("{", "is not valid JSON"),
    ],
    ids=["deep", "twice", "list", "cut"],
)
def test_a_file_that_holds_no_schema_is_refused_with_a_way_out(tmp_path, text, said):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(SchemaError, match=said) as caught:
        options.read_schema(tmp_path / "schema.json")
    assert "JSON Schema" in caught.value.hint


def test_a_file_that_could_not_be_written_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for place in ("", "missing/a.png", "file/a.png", "a" * 300 + "/a.png"):
        with pytest.raises(UsageError) as caught:
            options.check_output(tmp_path / place)
        assert caught.value.hint
    options.check_output(tmp_path / "a.png")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match="nothing can be written into"):
        options.check_output(tmp_path / "a.png")
