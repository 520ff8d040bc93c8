"""Every error the SDK raises on purpose.

All derive from `ForecastError`; each message names what is wrong, where, and what to do about it, in one
line, so that the command line can print it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ArtifactError",
    "ArtifactIntegrityError",
    "ArtifactVersionError",
    "CapabilityError",
    "ConfigError",
    "ConflictError",
    "DataError",
    "DeviceError",
    "DuplicateIdError",
    "ForecastError",
    "FrequencyError",
    "InvalidInputError",
    "LeakError",
    "MetricError",
    "MissingDependencyError",
    "MissingFutureError",
    "NotFittedError",
    "PluginError",
    "ShapeError",
    "UnknownIdError",
    "near_misses",
]


class ForecastError(Exception):
    """Root of all errors of the SDK."""


class InvalidInputError(ForecastError, ValueError):
    """An argument breaks a rule.

    argument: its name as the caller wrote it; rule: what it must satisfy; place: index, row, item or
    column where it is broken; got: what was found there; hint: what to do.
    """

    def __init__(
        self,
        argument: str,
        rule: str,
        *,
        place: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        self.argument, self.rule, self.place, self.got, self.hint = argument, rule, place, got, hint
        where = "" if place is None else f" at {place}"
        found = "" if got is None else f", got {got}"
        advice = "" if hint is None else f"; {hint}"
        super().__init__(f"{argument}{where}: {rule}{found}{advice}")


class ShapeError(InvalidInputError):
    """An array has the wrong shape or too few rows."""


class DataError(InvalidInputError):
    """Values, timestamps or columns of a data set break a rule (duplicates, order, infinity, ...)."""


class FrequencyError(DataError):
    """A frequency is unknown, or timestamps do not lie on its grid."""


class MissingFutureError(DataError):
    """Known-future covariates are needed past the end of the data and were not given."""


class ConflictError(ForecastError):
    """What is given contradicts what is held, such as another value for a row of a stream."""


class ConfigError(InvalidInputError):
    """A configuration field is unknown or its value is out of bounds."""


class DeviceError(ConfigError):
    """A device to compute on is unknown, or not on this machine."""


class MetricError(InvalidInputError):
    """A metric's name or argument is unknown, or the prediction cannot answer it."""


class LeakError(ForecastError):
    """Something that must be unseen (a row, group, window or label) has been seen."""


class CapabilityError(ForecastError):
    """The model or prediction cannot do what was asked of it, by its own declaration."""


class NotFittedError(ForecastError):
    """A model that needs fitting was used before `fit`."""


class UnknownIdError(ForecastError, LookupError):
    """No model, task, metric, loss or dataset has this id."""


class PluginError(ForecastError):
    """A plugin is broken: it fails at import, at a hook, or its specs break the rules."""


class DuplicateIdError(PluginError):
    """Two plugins claim one id or one name."""


class MissingDependencyError(ForecastError, ImportError):
    """An optional library is not installed; the message says what to install."""

    def __init__(self, library: str, *, purpose: str, install: str) -> None:
        self.library, self.install = library, install
        super().__init__(f"{purpose} needs {library}, which is not installed; run: {install}")


class ArtifactError(ForecastError):
    """A saved model cannot be written or read."""


class ArtifactIntegrityError(ArtifactError):
    """A saved model is truncated, altered, over its size caps, or holds foreign files."""


class ArtifactVersionError(ArtifactError):
    """A saved model comes from a newer version than this installation understands."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """A hint such as "did you mean 'lstm'?", or the list of what is known where nothing is near."""
    known = sorted(known)
    near = get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + (", ".join(known) if known else "none")
