"""`eval`: a suite of held-out questions with true answers, asked of a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from galago import device
from galago.cli.options import CostSettings, ModelSettings
from galago.cli.settings import argument, command_line, flag, option
from galago.errors import UsageError
from galago.frozen import frozen

if TYPE_CHECKING:
    from galago import Model


@frozen(kw_only=True)
class Settings(ModelSettings, CostSettings):
    """Ask a model the held-out questions of a suite and print how many it answers truly.

    Pictures are drawn from fixed seeds, with fonts and layouts that no model was trained on.
    """

    suite: Literal["nano"] = argument("nano", "The suite.")
    task: tuple[str, ...] = option("One task of the suite; by default all.", default=(), metavar="TASK")
    questions: int = option("Questions of each task.", default=500, metavar="N")
    json: bool = flag("Print one JSON object, the first failures with it.")


def run(settings: Settings) -> None:
    """Ask all, and print a table."""
    from galago.cli.progress import progress_bar
    from galago.evals.nano import evaluate
    from galago.evals.suite import together

    if settings.questions < 1:
        raise UsageError(f"--questions is {settings.questions}; it must be 1 or more")
    options = settings.picture_options()
    model = settings.load()

    with progress_bar("asking") as progress:
        report = evaluate(
            together(model.ask_many, **options),
            tasks=settings.task or None,
            limit=settings.questions,
            on_progress=None if progress is None else lambda _, done, count: progress(done, count),
        )
    if settings.json:
        print(json.dumps({**_provenance(settings, model), **report.to_dict()}, ensure_ascii=False))
    else:
        print(report.table())


def _provenance(settings: Settings, model: Model) -> dict[str, Any]:
    """What was asked, by what, and on what."""
    from galago.bench import facts

    info = facts.model(model)
    return {
        "software": asdict(facts.software(command_line("eval", settings))),
        "model": {name: info[name] for name in ("name", "weights", "revision")},
        "processor": device.machine().processor,
    }
