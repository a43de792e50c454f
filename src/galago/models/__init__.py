"""Model families, one folder each: config, tensor names, vision, language, processing, boxes.

A family is found by its `model_type`, which is its folder's name, or by an alias that the folder declares.
"""

from galago.models.family import (
    Boxes,
    Family,
    ModelConfig,
    Pieces,
    Processor,
    Tensor,
    VisionLanguageModel,
    Visual,
    families,
    family,
)

__all__ = [
    "Boxes",
    "Family",
    "ModelConfig",
    "Pieces",
    "Processor",
    "Tensor",
    "VisionLanguageModel",
    "Visual",
    "families",
    "family",
]
