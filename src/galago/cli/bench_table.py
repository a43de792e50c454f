"""The record of a measurement for people; what could not be measured is a dash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from galago.bench import Record, Spread
    from galago.bench.record import Together

UNKNOWN = "-"


def table(record: Record) -> Table:
    """Medians with least and most, in sections."""
    made = Table(title=_title(record), title_justify="left", show_header=True)
    for name in ("", "median", "least", "most"):
        made.add_column(name, justify="left" if not name else "right")
    _times(made, record)
    made.add_section()
    _memory(made, record)
    made.add_section()
    _machine(made, record)
    return made


def _title(record: Record) -> str:
    model, machine, picture = record.model, record.machine, record.picture
    return (
        f"{model['name']} ({model['weights']}) on {machine['processor']}, {machine['threads_used']} threads;"
        f" {picture.width}x{picture.height} pixels are {picture.tokens} tokens;"
        f" {record.answer.usage.completion_tokens} tokens an answer, {record.runs} runs"
    )


def _times(made: Table, record: Record) -> None:
    single, second = record.single, record.second
    _seconds(made, "load", record.load_s)
    made.add_row("first answer in the process", _duration(record.first.total_s))
    made.add_section()
    _seconds(made, "picture prepared", single.image_s)
    _seconds(made, "vision", single.vision_s)
    _seconds(made, "prefill", single.prefill_s)
    _seconds(made, "first token", single.first_token_s)
    _rates(made, "decoding, tokens/s", single.decode_tokens_per_second)
    _seconds(made, "total", single.total_s)
    made.add_section()
    _seconds(made, "second question: first token", second.first_token_s)
    _seconds(made, "second question: total", second.total_s)
    _at_once(made, "questions, one picture", record.questions_together)
    _at_once(made, "pictures, one question", record.pictures_together)


def _at_once(made: Table, what: str, together: Together | None) -> None:
    if together is None:
        return
    made.add_section()
    _seconds(made, f"{together.answers} {what}", together.total_s)
    _rates(made, "  all of them, tokens/s", together.tokens_per_second)
    made.add_row("  of one after the other", _share(together.share_of_alone))


def _memory(made: Table, record: Record) -> None:
    memory = record.memory
    rows = (
        ("peak memory", memory.peak_bytes),
        ("memory of its own", memory.own_bytes),
        ("peak memory, together", memory.peak_bytes_together),
        ("weights on disk", record.model["disk_bytes"]),
        ("weights in memory", record.model["weights_bytes"]),
    )
    for name, value in rows:
        made.add_row(name, UNKNOWN if value is None else f"{value / 1e6:.1f} MB")


def _machine(made: Table, record: Record) -> None:
    shares = record.shares
    for name, share in (("vision", shares.vision), ("prefill", shares.prefill), ("decoding", shares.decode)):
        made.add_row(f"share of the machine: {name}", _share(share))
    made.add_section()
    threads = record.ceilings[0].threads
    for name, field, unit in (
        ("memory read", "read_bytes_per_second", "GB/s"),
        ("int8", "int8_operations_per_second", "GOPS"),
        ("bf16", "bf16_operations_per_second", "GFLOPS"),
        ("f32", "f32_operations_per_second", "GFLOPS"),
    ):
        for who, part in (("one thread", "one"), (f"{threads} threads", "all")):
            values = [getattr(getattr(ceiling, part), field) for ceiling in record.ceilings]
            known = [value for value in values if value is not None]
            best = f"{max(known) / 1e9:.1f} {unit}" if known else UNKNOWN
            made.add_row(f"ceiling: {name}, {who}", best)
    made.add_section()
    before, after = record.device
    heat = [
        UNKNOWN if one.temperature_c is None else f"{one.temperature_c:.0f} °C" for one in (before, after)
    ]
    slow = [UNKNOWN if one.throttled is None else "yes" if one.throttled else "no" for one in (before, after)]
    made.add_row("temperature before, after", ", ".join(heat))
    made.add_row("throttled before, after", ", ".join(slow))


def _seconds(made: Table, name: str, spread: Spread | None) -> None:
    if spread is None:
        made.add_row(name, UNKNOWN)
    else:
        made.add_row(name, *(_duration(value) for value in (spread.median, spread.least, spread.most)))


def _rates(made: Table, name: str, spread: Spread | None) -> None:
    if spread is None:
        made.add_row(name, UNKNOWN)
    else:
        made.add_row(name, *(f"{value:.1f}" for value in (spread.median, spread.least, spread.most)))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.0%}"
