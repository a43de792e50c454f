"""The held-out questions of `nano`: fonts and layouts never trained on, fixed seeds, 500 questions a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice

from galago.drawing import RECIPES, Split, draw
from galago.errors import UsageError
from galago.evals import metrics
from galago.evals.metrics import Metric
from galago.evals.suite import Answerer, Case, Report, judge
from galago.frozen import frozen

FIRST_SEED = 1_000_000
QUESTIONS = 500
BATCH = 50


@frozen
class Task:
    """Questions of one task: the recipes they come from, how they are judged, the floors of the release."""

    recipes: tuple[str, ...]
    floors: Mapping[str, float]
    metric: Metric = metrics.exact


_SCENE = ("scene",)
_PAPER = ("receipt", "form")

TASKS: dict[str, Task] = {
    "colour": Task(_SCENE, {"exact": 0.97}),
    "kind": Task(_SCENE, {"exact": 0.97}),
    "count": Task(_SCENE, {"exact": 0.95}),
    "absent": Task(_SCENE, {"exact": 0.95}),
    "place": Task(_SCENE, {"exact": 0.92}),
    "relation": Task(_SCENE, {"exact": 0.92}),
    "box": Task(_SCENE, {"found": 0.90, "iou": 0.75}, metrics.boxes),
    "caption": Task(_SCENE, {"exact": 0.80}, metrics.caption),
    "word": Task(("word",), {"exact": 0.93}, metrics.spelled),
    "line": Task(("line",), {"exact": 0.85, "character_error": 0.03}, metrics.spelled),
    "lines": Task(("lines",), {"exact": 0.75}, metrics.spelled),
    "seven_segment": Task(("seven_segment",), {"exact": 0.93}),
    "lcd": Task(("lcd",), {"exact": 0.93}),
    "gauge": Task(("gauge",), {"within": 0.85}),
    "sign": Task(("sign",), {"exact": 0.85}),
    "label": Task(("label",), {"exact": 0.85}),
    "field": Task(_PAPER, {"exact": 0.80}),
    "json": Task(_PAPER, {"exact": 0.60}, metrics.json_value),
}


def cases(task: str, limit: int = QUESTIONS) -> Iterator[Case]:
    """The first `limit` cases of a task, always the same; at most one question of the task from each picture.

    Raises UsageError for an unknown task.
    """
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}", hint=f"one of {', '.join(TASKS)}")
    return islice(_all_cases(task), limit)


def _all_cases(name: str) -> Iterator[Case]:
    task = TASKS[name]
    for seed in count(FIRST_SEED):
        drawing = draw(task.recipes[seed % len(task.recipes)], seed, split=Split.HELD_OUT)
        asked = [q for q in drawing.questions if q.task == name and (name != "gauge" or q.tolerance)]
        if asked:  # not always the first: readings come before units, captions and colours
            question = asked[seed // len(task.recipes) % len(asked)]
            metric = metrics.near(question.tolerance) if name == "gauge" else task.metric
            yield Case(drawing.pixels, question.text, question.answer, name, metric)


def evaluate(
    answer: Answerer,
    *,
    tasks: Sequence[str] | None = None,
    limit: int = QUESTIONS,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Ask everything and judge it. `on_progress` hears (task, cases done, cases in all).

    Raises UsageError for an unknown task and TrainingError when the evaluation fonts are missing.
    """
    chosen = (
        [name for name, task in TASKS.items() if set(task.recipes) <= set(RECIPES)]
        if tasks is None
        else tasks
    )
    scores = []
    for name in chosen:
        asked = list(cases(name, limit))
        given: list[str] = []
        for first in range(0, len(asked), BATCH):
            given += answer(asked[first : first + BATCH])
            if on_progress is not None:
                on_progress(name, len(given), len(asked))
        scores.append(judge(name, asked, given, TASKS[name].floors))
    return Report("nano", tuple(scores))
