"""The record of a finished answer: usage, times by stage, memory, and what the device felt."""

from __future__ import annotations

from galago import device
from galago.engine.boxes import boxes_in
from galago.engine.job import Job
from galago.engine.load import LoadedModel
from galago.types import Answer, Box, Memory, Timings, Usage


def make_answer(
    job: Job, model: LoadedModel, *, kv_bytes: int, features_bytes: int, trouble: str | None
) -> Answer:
    """The answer of a job that has ended; `trouble` is what the caches have to say."""
    generation = job.generation
    assert generation is not None
    assert generation.finish_reason is not None
    assert job.ended is not None
    first = job.first_token or job.ended
    return Answer(
        text=generation.text,
        model=model.name,
        finish_reason=generation.finish_reason,
        boxes=_boxes(job, model),
        usage=Usage(
            image_tokens=job.prompt.image_tokens,
            prompt_tokens=len(job.prompt),
            cached_tokens=generation.cached_tokens,
            completion_tokens=len(generation.tokens),
        ),
        timings=Timings(
            load_s=model.load_s,
            image_s=sum(sight.image_s for sight in job.sights) if job.sights else None,
            encode_s=sum(sight.encode_s for sight in job.sights) if job.sights else None,
            prefill_s=None if job.fed is None else first - job.fed,
            first_token_s=first - job.started if generation.tokens else None,
            decode_s=job.ended - first,
            total_s=job.ended - job.started,
        ),
        memory=Memory(
            peak_bytes=device.process_memory().peak_bytes,
            weights_bytes=model.weights_bytes,
            kv_bytes=kv_bytes,
            features_bytes=features_bytes,
        ),
        device=device.state(),
        notes=(*job.notes, *(note for note in (trouble, generation.note) if note)),
    )


def _boxes(job: Job, model: LoadedModel) -> tuple[Box, ...]:
    """The boxes that the text spells, where there is one picture whose they can be."""
    if len(job.prompt.images) != 1 or job.generation is None:
        return ()
    text = model.tokenizer.decode(job.generation.tokens, show_special=True)
    return boxes_in(text, job.prompt.images[0], model.family.boxes)
