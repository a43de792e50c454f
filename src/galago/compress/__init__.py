"""A model with smaller weights, and what that costs: checkpoint in, checkpoint out.

What the bits of a packed weight mean is said in `packing`; how files spell them in `formats.packed`.
"""

from galago.compress.conversion import Conversion, convert

__all__ = ["Conversion", "convert"]
