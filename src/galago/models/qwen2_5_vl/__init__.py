"""Qwen2.5-VL (Bai et al. 2025): windows, RMS norms and a gated MLP in the tower, and real time."""

from galago.models.family import Family
from galago.models.qwen2_5_vl.boxes import JsonBoxes
from galago.models.qwen2_5_vl.config import parse_config
from galago.models.qwen2_5_vl.model import build
from galago.models.qwen2_5_vl.names import tensors
from galago.models.qwen2_5_vl.vision import encode_bytes
from galago.models.qwen2_vl.language import decode_bytes
from galago.models.qwen2_vl.names import unused
from galago.models.qwen2_vl.processing import make_processor

FAMILY = Family(
    model_type="qwen2_5_vl",
    parse_config=parse_config,
    build=build,
    encode_bytes=encode_bytes,
    tensors=tensors,
    unused=unused,
    processor=make_processor,
    decode_bytes=decode_bytes,
    boxes=JsonBoxes(),
)
