"""EAN-8 and EAN-13 barcodes as they are printed: true bars for the digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LEFT_ODD = (0x0D, 0x19, 0x13, 0x3D, 0x23, 0x31, 0x2F, 0x3B, 0x37, 0x0B)
"""The seven modules of each digit in the left half, most significant first; 1 is a bar."""

_PARITY = (0x00, 0x0B, 0x0D, 0x0E, 0x13, 0x19, 0x1C, 0x15, 0x16, 0x1A)
"""For each first digit of an EAN-13: which of the six left digits are of even parity."""


def check_digit(digits: str) -> str:
    """The digit that completes the 7 of an EAN-8 or the 12 of an EAN-13."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def bars(digits: str) -> NDArray[np.bool_]:
    """The modules of an EAN-8 (8 digits) or EAN-13 (13), guards included -> [67] or [95], True where dark.

    ValueError: another number of digits.
    """
    if len(digits) not in {8, 13}:
        raise ValueError(f"{digits!r} has {len(digits)} digits; a barcode here has 8 or 13")
    body, parity = (digits[1:], _PARITY[int(digits[0])]) if len(digits) == 13 else (digits, 0)
    half = len(body) // 2
    left = [
        _even(int(digit)) if parity >> (half - 1 - place) & 1 else _LEFT_ODD[int(digit)]
        for place, digit in enumerate(body[:half])
    ]
    right = [_LEFT_ODD[int(digit)] ^ 0x7F for digit in body[half:]]
    modules = "101" + "".join(f"{code:07b}" for code in left) + "01010"
    modules += "".join(f"{code:07b}" for code in right) + "101"
    return np.array([module == "1" for module in modules])


def _even(digit: int) -> int:
    """The left-hand code of even parity: the right-hand code read backwards."""
    return int(f"{_LEFT_ODD[digit] ^ 0x7F:07b}"[::-1], 2)
