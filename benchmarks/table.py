"""A record as a Markdown table: a row for each thing measured, an engine beside the other, ratios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Final

from benchmarks.record import Record, Spread

OURS: Final = "galago"
MACHINE: Final = "machine"
"""The samples of the ceilings go by this name."""


@dataclass(frozen=True)
class Row:
    """One row: values are divided by `unit` and have `digits` or more; more is better where `higher`."""

    label: str
    key: str
    unit: float = 1
    digits: int = 2
    higher: bool = False


ROWS: Final = (
    Row("whole process, start to answer, s", "process_s", digits=3),
    Row("load, files not in memory, s", "cold_load_s"),
    Row("load, files in memory, s", "load_s"),
    Row("start to first answer, files not in memory, s", "cold_start_to_answer_s"),
    Row("first answer in the process, s", "first_in_process_s"),
    Row("vision, s", "vision_s"),
    Row("prefill, s", "prefill_s"),
    Row("first token, s", "first_token_s"),
    Row("decode, tokens/s", "decode_tokens_per_s", digits=1, higher=True),
    Row("answer, s", "total_s"),
    Row("second question, same picture, s", "second_question_s"),
    Row("eight questions, one picture, s", "eight_questions_s"),
    Row("eight pictures, one question each, s", "eight_pictures_s"),
    Row("peak RSS, MiB", "peak_bytes", unit=1 << 20, digits=0),
    Row("RssAnon, MiB", "anonymous_bytes", unit=1 << 20, digits=0),
    Row("peak RSS of a whole process, MiB", "process_peak_bytes", unit=1 << 20, digits=0),
)
CEILINGS: Final = (
    ("read_bytes_per_s", 1e9, "GB/s read"),
    ("int8_operations_per_s", 1e9, "G int8 operations/s"),
    ("bf16_operations_per_s", 1e9, "G bfloat16 operations/s"),
    ("f32_operations_per_s", 1e9, "G float32 operations/s"),
)


def markdown(record: Record, workload: str) -> str:
    """The table of one workload, with what it was measured on above it and the ceilings below."""
    spreads = record.spreads(workload)
    shown = [name for name in record.engines if name in spreads]
    ours = spreads.get(OURS, {})
    others = [name for name in shown if name != OURS]
    head = ["", *shown, *(["Galago : best other"] if others else [])]
    lines = [_about(record, workload), "", _line(*head), _line(*["---"] * len(head))]
    for row in ROWS:
        cells = [_cell(spreads[name].get(row.key), row) for name in shown]
        if any(cells):
            lines.append(_line(row.label, *cells, *([_ratio(spreads, others, row)] if others else [])))
    sizes = [record.engines[name].get("bytes_on_disk", {}).get(workload) for name in shown]
    cells = [f"{size / 1e6:.0f}" if size else "" for size in sizes]
    lines += [_line("files, MB", *cells, *([""] if others else [])), ""]
    lines += _ceilings(spreads.get(MACHINE, {}))
    taken = [spreads[name]["others_share"].most for name in shown if "others_share" in spreads[name]]
    if taken:
        lines.append(f"Other processes took at most {max(taken):.0%} of the machine meanwhile.")
    told = [f"{name} {share:.0%}" for name, share in shares(ours, spreads.get(MACHINE, {})).items()]
    if told:
        lines.append(f"Share of the ceiling that Galago reaches: {', '.join(told)}.")
    return "\n".join(lines).rstrip() + "\n"


def ratio(spreads: Mapping[str, Mapping[str, Spread]], others: list[str], row: Row) -> float | None:
    """Galago's median over that of the best of the others; None where either was not measured."""
    theirs = [spreads[name][row.key].median for name in others if row.key in spreads.get(name, {})]
    if row.key not in spreads.get(OURS, {}) or not theirs:
        return None
    best = max(theirs) if row.higher else min(theirs)
    return spreads[OURS][row.key].median / best


def shares(ours: Mapping[str, Spread], machine: Mapping[str, Spread]) -> dict[str, float]:
    """What part of the best ceiling met vision, prefill and decode reach, from counted operations and bytes.

    Decoding counts against reading measured beside it, or at any time if that is not known.
    Operations on bytes and on floats each count against their own ceiling, as seconds that add up; those that
    may be rounded to bfloat16 against float32's where there is no other.
    """
    rates = {name: spread.most for name, spread in machine.items()}
    rates.setdefault("bf16_operations_per_s", rates.get("f32_operations_per_s", 0.0))
    found = {}
    for stage in ("vision", "prefill"):
        work = {kind: f"{stage}_{kind}_operations" for kind in ("int8", "f32")}
        known = all(work[kind] in ours and f"{kind}_operations_per_s" in rates for kind in work)
        if known and f"{stage}_s" in ours:
            work |= {"bf16": f"{stage}_bf16_operations"} if f"{stage}_bf16_operations" in ours else {}
            needed_s = sum(ours[work[kind]].median / rates[f"{kind}_operations_per_s"] for kind in work)
            found[stage] = needed_s / ours[f"{stage}_s"].median
    if "decode_read_share" in ours:
        found["decode"] = ours["decode_read_share"].median
    elif {"token_bytes", "decode_tokens_per_s"} <= ours.keys() and "read_bytes_per_s" in rates:
        read = ours["token_bytes"].median * ours["decode_tokens_per_s"].median
        found["decode"] = read / rates["read_bytes_per_s"]
    return found


def _ratio(spreads: Mapping[str, Mapping[str, Spread]], others: list[str], row: Row) -> str:
    found = ratio(spreads, others, row)
    return "" if found is None else f"{found:.2f}"


def _cell(spread: Spread | None, row: Row) -> str:
    """The median in at least two digits that say something, and the range where there is one that shows."""
    if spread is None:
        return ""
    values = [value / row.unit for value in (spread.least, spread.median, spread.most)]
    digits = max(row.digits, 1 - floor(log10(values[1]))) if values[1] > 0 else row.digits
    least, median, most = (f"{value:.{digits}f}" for value in values)
    return median if least == most else f"{median} ({least} to {most})"


def _about(record: Record, workload: str) -> str:
    about = record.about
    shown = [
        f"{name} {told['version']} ({told['weights']})"
        for name, told in record.engines.items()
        if workload in told["bytes_on_disk"]
    ]
    return (
        f"{workload} on {about['processor']}, {about['threads']} threads: {'; '.join(shown)}."
        " Medians (least to most)."
    )


def _ceilings(machine: Mapping[str, Spread]) -> Iterator[str]:
    told = [
        f"{machine[key].least / unit:.0f} to {machine[key].most / unit:.0f} {label}"
        for key, unit, label in CEILINGS
        if key in machine
    ]
    if told:
        yield f"The machine's ceilings around the runs: {', '.join(told)}."


def of_columns(columns: Sequence[str], rows: Iterable[tuple[str, Iterable[str]]]) -> str:
    """A table with a cell for each column in every row, and numbers on the right."""
    lines = [_line("", *columns), _line("---", *["---:"] * len(columns))]
    return "\n".join([*lines, *(_line(name, *cells) for name, cells in rows)])


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
