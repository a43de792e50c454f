"""Mechanisms exist once: runs of equal lines in two places are counted, and their number may only fall."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = 6  # lines; shorter runs are how Python looks
CAP = 2  # the signature of `__exit__`


def lines(path):
    """(number, text) of the lines that say something; imports and lone brackets do not."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if len(text) > 3 and not text.startswith(("import ", "from ", "#", '"""')):
            yield number, text


def repeated(paths):
    """Places at which a run of lines begins that also stands elsewhere."""
    places = defaultdict(list)
    for path in paths:
        said = list(lines(path))
        for start in range(len(said) - RUN + 1):
            run = tuple(text for _, text in said[start : start + RUN])
            places[run].append(f"{path.relative_to(ROOT)}:{said[start][0]}")
    return sorted(where for found in places.values() if len(found) > 1 for where in found)


def test_no_more_lines_are_repeated_than_before():
    found = repeated(sorted(ROOT.glob("src/galago/**/*.py")))
    assert len(found) <= CAP, "\n".join(found)


def test_a_repetition_is_found(tmp_path, monkeypatch):
    text = "".join(f"value_{n} = compute({n})\n" for n in range(RUN))
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(text)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert repeated(sorted(tmp_path.glob("*.py"))) == ["one.py:1", "two.py:1"]
