"""Damage for fuzzing: seeded, so that a failing case can be made again by its number."""

from __future__ import annotations

import random

from galago.errors import GalagoError

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)


def check_clear(error: GalagoError, case: object) -> None:
    """Assert that an error is one line, not long, with a way out."""
    assert error.hint, (case, error)
    assert len(str(error)) < 500, (case, error)
    assert "\n" not in str(error), (case, error)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One to eight injuries: bytes changed, lost, doubled, moved, or numbers in them made extreme."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not result:
            return b""
        # Headers are where a lie does harm: half of the injuries are in the first hundred bytes.
        reach = len(result) if chance.random() < 0.5 else min(len(result), 100)
        place, length = chance.randrange(reach), chance.choice((1, 1, 2, 4, 8, 64))
        match chance.randrange(7):
            case 0:
                result[place] ^= 1 << chance.randrange(8)
            case 1:
                result[place] = chance.choice(INTERESTING)
            case 2:
                result[place : place + length] = chance.choice((b"\0", b"\xff", b"\x7f")) * length
            case 3:
                del result[place : place + length]
            case 4:
                result[place:place] = result[place : place + length]
            case 5:
                result[place:place] = chance.randbytes(length)
            case _:
                del result[place:]
    return bytes(result)
