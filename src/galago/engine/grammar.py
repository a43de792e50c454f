"""Constraints on an answer: a JSON Schema, a regular expression or a list of choices.

llguidance does the parsing and is imported only when a constraint is asked for. A constraint says which
tokens may come, takes the one that came, and tells the tokens that then must follow, so that they need no
decoding step each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galago.errors import ConfigError, SchemaError, UsageError
from galago.frozen import frozen


@frozen
class ConstraintSpec:
    """What an answer must be: exactly one of the three is set.

    `schema` is a JSON Schema whose value is written on one line as `json.dumps` does; `regex` must match the
    whole answer, in the syntax of Rust's regex crate; `choices` are the only possible answers.
    """

    schema: str | None = None
    regex: str | None = None
    choices: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        schema: Mapping[str, Any] | None = None,
        regex: str | None = None,
        choices: Sequence[str] | None = None,
    ) -> ConstraintSpec | None:
        """The constraint of a request, None when there is none.

        Raises UsageError when more than one is given, SchemaError for one that no answer could satisfy by its
        form.
        """
        given = [n for n, v in (("schema", schema), ("regex", regex), ("choices", choices)) if v is not None]
        if not given:
            return None
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other", hint="give one of them")
        if choices is not None and not _are_texts(choices):
            raise SchemaError(f"choices are {choices!r}; a non-empty list of non-empty strings is needed")
        if regex is not None and not isinstance(regex, str):
            raise SchemaError(f"regex is {regex!r}; a text is needed")
        if schema is None:
            return cls(regex=regex, choices=None if choices is None else tuple(choices))
        if not isinstance(schema, Mapping):
            raise SchemaError(f"a JSON Schema is an object, not {type(schema).__name__}")
        try:
            return cls(schema=json.dumps(schema, ensure_ascii=False))
        except (TypeError, ValueError) as error:
            raise SchemaError(f"the schema is not JSON: {error}") from error


class GrammarCompiler:
    """Makes constraints for one tokenizer; its table of token bytes is built once, at the first constraint.

    `tokenizer_json` gives the text of a tokenizer.json, `vocabulary` the number of logits, `end_ids` the
    tokens that end an answer. Not safe for two threads at once.
    """

    def __init__(self, tokenizer_json: Callable[[], str], vocabulary: int, end_ids: Sequence[int]) -> None:
        self._tokenizer_json, self._vocabulary, self._end_ids = tokenizer_json, vocabulary, list(end_ids)
        self._tokenizer: Any = None

    def compile(self, spec: ConstraintSpec) -> Constraint:
        """A fresh constraint at its start.

        Raises SchemaError naming what cannot be used, ConfigError for a tokenizer whose bytes are not known.
        """
        import llguidance

        if self._tokenizer is None:
            try:
                self._tokenizer = llguidance.LLTokenizer(
                    self._tokenizer_json(), n_vocab=self._vocabulary, eos_token=self._end_ids
                )
            except ValueError as error:
                raise ConfigError(f"the tokenizer cannot be used for constrained answers: {error}") from error
        what, grammar = _grammar(llguidance.LLMatcher, spec)
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise SchemaError(f"the {what} cannot be used: {_reason(matcher.get_error())}")
        return Constraint(matcher, self._vocabulary, what)


class Constraint:
    """The state of one constrained answer. `vocabulary` is V, the number of logits."""

    def __init__(self, matcher: Any, vocabulary: int, what: str) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._what = what

    def allowed(self) -> NDArray[np.bool_]:
        """Which tokens may come next, [V]; an end token only where the text so far is complete.

        Raises SchemaError when the grammar turns out too complex to follow, or no token can go on with it.
        """
        bias = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8)[: self._vocabulary]
        self._check()
        mask: NDArray[np.bool_] = bias != 0
        return mask

    def accept(self, token: int) -> None:
        """Take the token that came; it must have been allowed."""
        taken = self._matcher.consume_token(token)
        self._check()
        assert taken, token

    def forced(self) -> list[int]:
        """The tokens that must follow now, taken as accepted; empty where there is a choice."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        for token in tokens:
            self.accept(token)
        return tokens

    def possible(self, tokens: Sequence[int]) -> int:
        """How many of these tokens could follow one after the other; takes none of them."""
        return int(self._matcher.validate_tokens(list(tokens)))

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if not self._matcher.is_error():
            return
        why = _reason(self._matcher.get_error())
        if why.startswith("NoExtension"):
            why = "this model's vocabulary cannot write it"
        raise SchemaError(f"the {self._what} cannot be followed: {why}")


def _are_texts(choices: Any) -> bool:
    is_list = isinstance(choices, Sequence) and not isinstance(choices, str) and len(choices) > 0
    return is_list and all(isinstance(choice, str) and choice for choice in choices)


def _grammar(matcher: Any, spec: ConstraintSpec) -> tuple[str, str]:
    """What to call the constraint in messages, and its grammar."""
    if spec.schema is not None:
        # One spelling of whitespace: a model cannot lose itself in blanks, and more tokens are forced.
        options = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        try:
            return "schema", matcher.grammar_from_json_schema(spec.schema, overrides=options)
        except ValueError as error:
            raise SchemaError(f"the schema cannot be used: {_reason(str(error))}") from error
    if spec.regex is not None:
        return "regular expression", matcher.grammar_from_regex(spec.regex)
    assert spec.choices is not None
    alternatives = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in spec.choices)
    return "choice list", matcher.grammar_from_lark(f"start: {alternatives}")


def _reason(message: str) -> str:
    """The line that says what is wrong: a parser's drawing of the place comes before its `error:` line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    stated = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (stated or lines or ["unknown reason"])[0][:200]
