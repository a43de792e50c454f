"""The error tree. Every failure a user can cause or meet is one of these; anything else is our bug.

GalagoError
├── UsageError                a wrong option or argument (exit code 2)
│   └── SchemaError           a JSON Schema, regular expression or choice list that cannot be used
├── PictureError              a picture that cannot be read
│   └── FetchError            a picture that cannot be fetched from its URL
├── ModelError                a model that cannot be loaded
│   ├── ModelNotFoundError    no such name, folder or file
│   ├── ConfigError           config.json and its companions
│   └── WeightError           tensors: missing, extra, wrong shape or dtype, damaged file
├── FeaturesError             image features that belong to another model, or a damaged features file
├── OutOfMemoryError          what was asked for does not fit in the budget, the limit or the machine
├── ContextLengthError        the prompt does not fit the model's context
├── DeviceError               a device that is not there
├── GarbageError              the model produced non-finite numbers or an endless repetition
├── TrainingError             a training run that cannot start or go on
└── MissingDependencyError    an extra or the compiled extension is not installed
"""

from __future__ import annotations


class GalagoError(Exception):
    """What went wrong, with the value that was wrong; `hint` is the command or change that helps."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(GalagoError):
    """A wrong option or argument: nothing was done."""

    exit_code = 2


class SchemaError(UsageError):
    """A JSON Schema, regular expression or choice list that cannot constrain an answer."""


class PictureError(GalagoError):
    """A picture that cannot be read: not a picture, damaged, too large, missing."""


class FetchError(PictureError):
    """A picture that cannot be fetched: bad status, too slow, too long, too many redirects."""


class ModelError(GalagoError):
    """A model that cannot be loaded."""


class ModelNotFoundError(ModelError):
    """No model of that name, folder or file."""


class ConfigError(ModelError):
    """A configuration file that is missing, unreadable, unknown or contradictory."""


class WeightError(ModelError):
    """A tensor that is missing, unexpected, of a wrong shape or dtype, or a damaged weight file."""


class FeaturesError(GalagoError):
    """Image features of another model, another preprocessing, or a damaged features file."""


class OutOfMemoryError(GalagoError):
    """What was asked for does not fit in the memory that there is; the hint says what would."""


class ContextLengthError(GalagoError):
    """The prompt has more tokens than the model's context."""


class DeviceError(GalagoError):
    """A device that is not there: no GPU, or not so many."""


class GarbageError(GalagoError):
    """The model produced non-finite numbers or repeated itself without end."""


class TrainingError(GalagoError):
    """A training run that cannot start or go on."""


class MissingDependencyError(GalagoError):
    """An optional package, or the compiled extension, is not installed."""


class GalagoWarning(UserWarning):
    """Something was not as asked, and the answer is still right (a cache that cannot be written)."""
