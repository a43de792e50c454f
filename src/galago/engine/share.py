"""Which rows one step computes: a pure rule over what every answer has pending.

The rule, which `tests/pure/test_engine_share.py` holds:

- While an answer is being written, a step takes one row of each such answer, and at most `beside` rows more:
  of forced runs and drafts first, which leave half of them to prompts if there are any. So no answer waits
  longer for its next token than a step of `together` + `beside` rows takes, however long the prompts are
  that come in.
- While none is, a step takes up to `chunk` rows of prompts.
- Half of the rows of prompts are the oldest prompt's, the others go to the shortest first: a short question
  overtakes a long document, and no stream of short questions stops it.
"""

from __future__ import annotations

from collections.abc import Sequence

from galago.frozen import frozen

CHUNK = 512
"""Rows of one step while nothing is written: enough for products to run at full speed, and little scratch."""
BESIDE = 64
"""Rows of prompts beside answers that are written."""
DEVICE_CHUNK = 2048
"""`CHUNK` of a GPU, where a packed weight is unpacked once for all rows. From reasoning, not measured."""
DEVICE_BESIDE = 1024
"""`BESIDE` of a GPU: some 20 ms for a model of 3 billion parameters. From reasoning, not measured."""


@frozen
class Pending:
    """Rows that one answer has yet to feed; `is_writing` once its prompt is fed."""

    rows: int
    is_writing: bool


def share(pending: Sequence[Pending], chunk: int = CHUNK, beside: int = BESIDE) -> list[int]:
    """Rows of each for the next step, at most what it has pending; the order given is that of arrival."""
    granted = [0] * len(pending)
    writing = [index for index, one in enumerate(pending) if one.is_writing and one.rows]
    feeding = [index for index, one in enumerate(pending) if not one.is_writing and one.rows]
    left = min(beside, chunk) if writing else chunk
    kept = min(-(-left // 2), sum(pending[index].rows for index in feeding))
    for index in sorted(writing, key=lambda index: pending[index].rows):
        granted[index] = min(pending[index].rows, 1 + left - kept)
        left -= granted[index] - 1
    if feeding:
        granted[feeding[0]] = min(pending[feeding[0]].rows, -(-left // 2))
        left -= granted[feeding[0]]
    for index in sorted(feeding, key=lambda index: pending[index].rows):
        more = min(pending[index].rows - granted[index], left)
        granted[index] += more
        left -= more
    return granted
