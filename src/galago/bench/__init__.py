"""How fast a model answers on this machine, in how much memory, and how near that is to what it can do.

    from galago import bench

    record = bench.measure("nano", "photo.jpg", bench.Plan(tokens=64, threads=2))
    record.single.first_token_s.median, record.shares.prefill, record.to_json()

    peaks = bench.ceilings(threads=2)          # a second, in a process of its own
    peaks.one.read_bytes_per_second            # with one thread
    peaks.all.int8_operations_per_second       # with all of them

`measure` loads the model itself; `picture` is anything the verbs take, or None for one that is drawn.
`bench.work.count` counts the multiply-adds and bytes of an answer, on loaded weights or on placeholders.
"""

from galago.bench.ceilings import Ceilings, Rates, ceilings
from galago.bench.measurement import measure
from galago.bench.record import Plan, Record, Spread

__all__ = ["Ceilings", "Plan", "Rates", "Record", "Spread", "ceilings", "measure"]
