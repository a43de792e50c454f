"""Qwen2-VL (Wang et al. 2024): a ViT at native resolution with 2-D rope, and a Qwen2 decoder with mrope."""

from galago.models.family import Family
from galago.models.qwen2_vl.boxes import TaggedBoxes
from galago.models.qwen2_vl.config import parse_config
from galago.models.qwen2_vl.language import decode_bytes
from galago.models.qwen2_vl.model import build
from galago.models.qwen2_vl.names import tensors, unused
from galago.models.qwen2_vl.pieces import encode_bytes
from galago.models.qwen2_vl.processing import make_processor

FAMILY = Family(
    model_type="qwen2_vl",
    parse_config=parse_config,
    build=build,
    tensors=tensors,
    unused=unused,
    processor=make_processor,
    encode_bytes=encode_bytes,
    decode_bytes=decode_bytes,
    boxes=TaggedBoxes(),
)
