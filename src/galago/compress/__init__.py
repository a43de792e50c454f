"""A model with smaller weights, and what that costs: checkpoint in, checkpoint out.

What the bits of a packed weight mean is said in `packing`; how files spell them in `formats.packed`.
"""

from galago.compress.asking import QUESTIONS
from galago.compress.calibration import Calibration
from galago.compress.conversion import Conversion, convert
from galago.compress.distortion import Distortion, measure_distortion

__all__ = ["QUESTIONS", "Calibration", "Conversion", "Distortion", "convert", "measure_distortion"]
