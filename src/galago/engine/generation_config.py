"""What a checkpoint says about writing answers: generation_config.json, every key of it.

The tokens that end an answer, and how tokens are drawn when the user does not say. Keys that change nothing
here are `UNUSED`; rules that Galago does not have must be at the value that switches them off (`OFF`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galago.errors import ConfigError, UsageError
from galago.files import read_json_object, shown
from galago.frozen import frozen
from galago.models.config import OWN_FILE
from galago.types import SamplingParams

DRAW = ("temperature", "top_k", "top_p", "min_p")
USED = ("eos_token_id", "do_sample", "repetition_penalty", *DRAW)
UNUSED = (
    "_from_model_config", "attn_implementation", "bos_token_id", "cache_config", "cache_implementation",
    "decoder_start_token_id", "max_length", "max_new_tokens", "max_time", "output_attentions",
    "output_hidden_states", "output_logits", "output_scores", "pad_token_id", "return_dict_in_generate",
    "transformers_version", "use_cache",
)  # fmt: skip
"""Known and unneeded: who asks says how long an answer may be, and no prompt is padded."""
OFF: Mapping[str, Any] = {
    "bad_words_ids": None, "begin_suppress_tokens": None, "constraints": None, "diversity_penalty": 0,
    "early_stopping": False, "encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1,
    "epsilon_cutoff": 0, "eta_cutoff": 0, "exponential_decay_length_penalty": None, "force_words_ids": None,
    "forced_bos_token_id": None, "forced_eos_token_id": None, "guidance_scale": 1, "length_penalty": 1,
    "low_memory": None, "min_length": 0, "min_new_tokens": None, "no_repeat_ngram_size": 0,
    "num_assistant_tokens": None, "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1,
    "penalty_alpha": None, "prompt_lookup_num_tokens": None, "remove_invalid_values": False,
    "renormalize_logits": False, "sequence_bias": None, "stop_strings": None, "suppress_tokens": None,
    "token_healing": False, "typical_p": 1, "watermarking_config": None,
}  # fmt: skip
"""Rules of other engines, with the value (or null) at which they change nothing."""


@frozen
class GenerationConfig:
    """The tokens that end an answer, and the checkpoint's own values for some of `SamplingParams`."""

    end_ids: tuple[int, ...]
    sampling: Mapping[str, Any]


def read_generation_config(folder: Path, vocabulary: int) -> GenerationConfig:
    """What the folder says; without generation_config.json the end tokens are those of config.json.

    Raises ConfigError naming the key that is unknown, not of this engine, or out of its range.
    """
    file = folder / "generation_config.json"
    values = read_json_object(file) if file.exists() else {}
    given = {key: value for key, value in values.items() if value is not None}
    for key, value in given.items():
        if key in OFF and value != OFF[key]:
            raise ConfigError(
                f"{file}: {key} is {shown(value)}, and Galago has no such rule",
                hint=f"remove {key!r} from the file if the answers may do without it",
            )
        if key not in OFF and key not in USED and key not in UNUSED:
            import difflib  # only a mistake needs it

            close = difflib.get_close_matches(key, (*USED, *UNUSED, *OFF), n=1)
            raise ConfigError(
                f"{file}: the key {shown(key)} is not known",
                hint=f"did you mean {close[0]!r}?" if close else f"remove {shown(key)} from the file",
            )
    return GenerationConfig(_end_ids(folder, given, vocabulary), _sampling(file, given))


def is_number(value: Any, *, whole: bool) -> bool:
    """Whether a value is a number that a float can be, whole where it must be."""
    is_one = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return is_one and abs(value) <= sys.float_info.max


def _sampling(file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as `SamplingParams` names them: without `do_sample` the likeliest token is taken."""
    sample = given.get("do_sample", False)
    if not isinstance(sample, bool):
        raise ConfigError(f"{file}: do_sample is {shown(sample)}; true or false is needed", hint=OWN_FILE)
    rules = {key: given[key] for key in ("repetition_penalty", *DRAW) if key in given}
    for key, value in rules.items():
        whole = key == "top_k"
        if not is_number(value, whole=whole):
            which = "whole" if whole else "finite"
            raise ConfigError(f"{file}: {key} is {shown(value)}; a {which} number is needed", hint=OWN_FILE)
    if rules.get("top_k") == 0:
        del rules["top_k"]  # as others say that there is no such rule
    try:
        SamplingParams(**rules)
    except UsageError as error:
        raise ConfigError(f"{file}: {error}", hint=OWN_FILE) from error
    if sample:
        return {"temperature": 1.0, **rules}
    return {key: value for key, value in rules.items() if key not in DRAW}


def _end_ids(folder: Path, given: Mapping[str, Any], vocabulary: int) -> tuple[int, ...]:
    file, found = folder / "generation_config.json", given.get("eos_token_id")
    if found is None:
        file = folder / "config.json"
        values = read_json_object(file)
        found = values.get("eos_token_id", (values.get("text_config") or {}).get("eos_token_id"))
    ids: list[Any] = found if isinstance(found, list) else [found]
    if not ids or not all(is_number(one, whole=True) and 0 <= one < vocabulary for one in ids):
        raise ConfigError(
            f"{file}: eos_token_id is {shown(found)}; ids of the {vocabulary} tokens are needed",
            hint="without it no answer would ever end",
        )
    return tuple(ids)
