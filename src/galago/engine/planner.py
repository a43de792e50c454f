"""What a model will hold, known before it is loaded, and what is given up so that it fits a budget.

A budget counts everything that is resident: the program, weights as copies and as pages of mapped files, keys
and values, caches, and the largest of what reading a picture, encoding it and decoding take. Given up are, in
this order: pages of the tower, the coarse copy of the output projection, visual tokens and context, pages of
the decoder. Then the model is refused.
"""

from __future__ import annotations

from dataclasses import replace

from galago import device
from galago.engine.cache import RAM_BYTES
from galago.engine.checkpoint import Checkpoint
from galago.engine.memory import MemoryPlan
from galago.engine.prefix import PREFIX_BYTES
from galago.engine.share import CHUNK
from galago.engine.weigh import weigh
from galago.errors import OutOfMemoryError
from galago.frozen import frozen
from galago.types import Weights

PROGRAM_BYTES = 60 << 20
"""The interpreter, numpy, Pillow and our extension, resident while an answer is written. LOG 2026-11-25"""
TOKENIZER_FACTOR = 12
"""Bytes of a tokenizer in memory for each byte of its file. LOG 2026-11-25"""
CONVERSION_BYTES = 192 << 20
"""Float32 blocks of a weight that is being converted, on two threads. LOG 2026-11-25"""
PIXEL_BYTES = 8
"""Bytes that reading takes for each pixel of a picture: Pillow's own four, our three, bands of conversion."""
LOGIT_ROWS = 4
"""Rows of logits that exist at once, float64 copies of sampling counted."""
WORTH_RELEASING = 64 << 20
"""A tower of at least this size is given back after each use, budget or not: mapping it again is quick."""
PREFIX_TOKENS = 3072
"""Tokens of earlier prompts that are kept at most: eight pictures of 504x504 with their questions."""
KEPT_PICTURES = 16
"""Pictures of the first of `SIZES` whose features are kept at most."""
ROWS = 2048
"""Patches encoded at a time where memory is not short."""


@frozen
class Size:
    """How much a model may take on at once."""

    image_tokens: int
    context: int
    rows: int
    chunk: int
    picture_pixels: int


SIZES = (
    Size(1280, 4096, ROWS, CHUNK, 12_000_000),
    Size(640, 2048, 512, 256, 12_000_000),
    Size(384, 1024, 256, 128, 4_000_000),
    Size(256, 512, 128, 64, 2_000_000),
)
"""What is tried in turn; where more fits than the first, more is taken."""


@frozen
class Room:
    """Bytes that may be taken, None without bound: of all pages, and of those that are no pages of a file."""

    resident: int | None = None
    own: int | None = None


def plan_memory(checkpoint: Checkpoint, weights: Weights | None, budget: int | None) -> MemoryPlan:
    """The plan of a checkpoint within a budget, None for what the machine has free.

    Raises OutOfMemoryError when not even the smallest choice fits, naming what would.
    """
    room = Room(budget, free_bytes(budget))
    planner = Planner(checkpoint, weights)
    plan = planner.plan(room)
    if plan is not None:
        return plan
    kinds: tuple[Weights, ...] = ("f32", "bf16", "q8", "q4")
    fitting = [kind for kind in kinds if Planner(checkpoint, kind).plan(room) is not None]
    least = planner.least_bytes()
    given = f"memory is {budget / 1e9:.2f} GB" if budget else f"{(room.own or 0) / 1e9:.2f} GB are free"
    ways = [f"memory='{-(-least // 10**6)}MB'", "a smaller model"]
    if not checkpoint.is_packed:
        ways.insert(1, f"galago convert {checkpoint.folder} FOLDER --weights q4")
    raise OutOfMemoryError(
        f"{checkpoint.source.name} needs at least {least / 1e9:.2f} GB, and {given}",
        hint=f"with weights={fitting[0]!r} it fits" if fitting else ", or ".join(ways),
    )


def free_bytes(budget: int | None) -> int | None:
    """Bytes that this process can still have: by its limit, and without a budget by what is free."""
    bounds = [device.address_space()]
    if budget is None:
        bounds.append(device.available_memory().value)
    known = [bound for bound in bounds if bound is not None]
    return min(known) if known else None


class Planner:
    """Plans one checkpoint with weights of one kind."""

    def __init__(self, checkpoint: Checkpoint, weights: Weights | None) -> None:
        self._family, self._config = checkpoint.family, checkpoint.config
        self._weighed = weigh(checkpoint, weights)
        self._processor = checkpoint.processor()
        self._program = PROGRAM_BYTES + TOKENIZER_FACTOR * checkpoint.tokenizer_bytes

    @property
    def most_image_tokens(self) -> int:
        """Tokens of the largest picture that the model takes."""
        most = self._processor.max_pixels // self._processor.pixels_per_token
        return max(1, min(most, self._config.context))

    def least_bytes(self) -> int:
        """The smallest budget that this would fit in."""
        size = self._clipped(SIZES[-1])
        return self._program + self._weighed.own + self._working(size) + self._least_mapped()

    def plan(self, room: Room) -> MemoryPlan | None:
        """The first choice that fits, with what is left shared out; None when none does."""
        sizes = [self._clipped(size) for size in SIZES]
        for place, size in enumerate(sizes):
            ways = [(screened, release) for screened in (True, False) for release in (False, True)]
            for screened, release in ways if place == 0 else ways[2:]:
                left = self._left(room, size, self._mapped(release=release, screened=screened))
                if left is not None:
                    return self._generous(room, size, left, release=release, screened=screened)
            if place > 0:
                kept = self._kept_blocks(room, size)
                if kept is not None:
                    return self._frugal(room, size, kept)
        return None

    def _clipped(self, size: Size) -> Size:
        return replace(
            size,
            image_tokens=min(size.image_tokens, self.most_image_tokens),
            context=min(size.context, self._config.context),
        )

    def _kv_bytes(self, tokens: int) -> int:
        return 4 * self._config.cache_values * tokens

    def _phase(self, size: Size) -> int:
        """The largest of reading, converting, and encoding while others decode."""
        encoding = self._family.encode_bytes(self._config, size.image_tokens, size.rows)
        decoding = self._decode_bytes(size)
        converting = CONVERSION_BYTES if self._weighed.converted else 0
        return max(PIXEL_BYTES * size.picture_pixels, encoding + decoding, converting)

    def _decode_bytes(self, size: Size) -> int:
        logits = 4 * self._config.vocabulary * LOGIT_ROWS
        return self._family.decode_bytes(self._config, min(size.chunk, size.context)) + logits

    def _working(self, size: Size) -> int:
        """Keys and values of the answer, half as many of earlier ones, features, and the phase."""
        return self._kv_bytes(size.context) * 3 // 2 + self._feature_bytes(size) + self._phase(size)

    def _feature_bytes(self, size: Size) -> int:
        """Features of the two pictures last seen."""
        return 2 * 4 * self._config.feature_values * size.image_tokens

    def _mapped(self, *, release: bool, screened: bool) -> int:
        """Pages of weights that are resident at once."""
        held = self._weighed
        text = held.frame + sum(held.blocks) + held.screen * screened
        return text + (max(held.vision) if release else sum(held.vision))

    def _least_mapped(self) -> int:
        held = self._weighed
        return held.frame + max(*held.vision, 2 * max(held.blocks))

    def _left(self, room: Room, size: Size, mapped: int) -> int | None:
        """Bytes that remain beside this; None where it does not fit."""
        own = self._weighed.own + self._working(size)
        lefts = [
            bound - taken
            for bound, taken in (
                (room.resident, own + self._program + mapped),
                (room.own, own + self._program),
            )
            if bound is not None
        ]
        left = min(lefts, default=1 << 60)
        return left if left >= 0 else None

    def _kept_blocks(self, room: Room, size: Size) -> int | None:
        """How many blocks of the decoder may stay mapped when the others are given back; None for none."""
        left = self._left(room, size, self._least_mapped())
        if left is None:
            return None
        kept = 0
        for block in self._weighed.blocks:
            left -= block
            if left < 0:
                break
            kept += 1
        return kept

    def _frugal(self, room: Room, size: Size, kept: int) -> MemoryPlan:
        held = self._weighed
        mapped = self._least_mapped() + sum(held.blocks[:kept])
        caches = self._kv_bytes(size.context) // 2, self._feature_bytes(size)
        return self._made(room, size, mapped, release=True, screened=False, kept=kept, caches=caches)

    def _generous(self, room: Room, size: Size, left: int, *, release: bool, screened: bool) -> MemoryPlan:
        """More caches, larger pictures and more context, a third of what is left for each."""
        third = left // 3
        release = release or sum(self._weighed.vision) >= WORTH_RELEASING
        prefix, features = self._kv_bytes(size.context) // 2, self._feature_bytes(size)
        most_prefix = min(PREFIX_BYTES, self._kv_bytes(PREFIX_TOKENS))
        most_features = min(RAM_BYTES, KEPT_PICTURES // 2 * self._feature_bytes(self._clipped(SIZES[0])))
        caches = (
            max(prefix, min(most_prefix, prefix + third // 2)),
            max(features, min(most_features, features + third // 2)),
        )
        grown = replace(
            size,
            image_tokens=self._largest(size, self._phase(size) + third - self._decode_bytes(size)),
            picture_pixels=size.picture_pixels + third // PIXEL_BYTES,
            context=min(self._config.context, size.context + third // max(1, self._kv_bytes(1))),
        )
        mapped, kept = self._mapped(release=release, screened=screened), len(self._weighed.blocks)
        return self._made(room, grown, mapped, release=release, screened=screened, kept=kept, caches=caches)

    def _largest(self, size: Size, most: int) -> int:
        """The most visual tokens that can be encoded in `most` bytes."""
        low, high = size.image_tokens, self._config.context
        while low < high:
            middle = (low + high + 1) // 2
            if self._family.encode_bytes(self._config, middle, size.rows) <= most:
                low = middle
            else:
                high = middle - 1
        return low

    def _made(
        self,
        room: Room,
        size: Size,
        mapped: int,
        *,
        release: bool,
        screened: bool,
        kept: int,
        caches: tuple[int, int],
    ) -> MemoryPlan:
        prefix, features = caches
        held = self._weighed
        likely = self._clipped(size if room.resident is not None else SIZES[0])
        kv = self._kv_bytes(size.context)
        resident = self._program + held.own + mapped + prefix + features
        resident += self._kv_bytes(likely.context) + self._phase(likely)
        return MemoryPlan(
            budget_bytes=room.resident,
            resident_bytes=resident,
            peak_context=likely.context,
            peak_image_tokens=likely.image_tokens,
            program_bytes=self._program,
            weights_bytes=held.total,
            mapped_bytes=held.mapped,
            pages_bytes=mapped,
            kv_bytes=kv,
            prefix_bytes=prefix,
            features_bytes=features,
            encode_bytes=self._family.encode_bytes(self._config, size.image_tokens, size.rows),
            decode_bytes=self._decode_bytes(size),
            context=size.context,
            image_tokens=size.image_tokens,
            picture_pixels=size.picture_pixels,
            rows=size.rows,
            chunk=size.chunk,
            release_vision=release,
            kept_blocks=kept,
            is_screened=screened,
            choices=self._choices(size, kept, screened=screened),
        )

    def _choices(self, size: Size, kept: int, *, screened: bool) -> tuple[str, ...]:
        said = []
        if self._weighed.screen and not screened:
            said.append("the whole output projection is read for every token")
        if size.image_tokens < self.most_image_tokens:
            said.append(f"a picture takes at most {size.image_tokens} of {self.most_image_tokens} tokens")
        if size.context < self._config.context:
            said.append(f"prompt and answer take at most {size.context} of {self._config.context} tokens")
        if kept < len(self._weighed.blocks):
            again = len(self._weighed.blocks) - kept
            said.append(f"{again} blocks of the decoder are mapped again for every token")
        return tuple(said)
