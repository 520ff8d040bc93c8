"""Checks of the numbers and choices that tracks are made from."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from forecast_core.arrays import frozen
from forecast_core.errors import DataError, InvalidInputError
from forecast_core.validation import numbers

__all__ = ["is_number", "one_of", "step_seconds", "whole_numbers"]


def is_number(value: Any) -> bool:
    """Whether a value is one real number, be it infinite; NaN is none."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and not np.isnan(value)


def step_seconds(argument: str, value: Any) -> float:
    """A number of seconds above 0; DataError for anything else."""
    if not (is_number(value) and 0 < value < np.inf):
        raise DataError(argument, "is a number of seconds above 0", got=repr(value))
    return float(value)


def one_of(argument: str, value: Any, choices: Any) -> None:
    """InvalidInputError unless the value is one of the texts of a Literal."""
    if not (isinstance(value, str) and value in get_args(choices)):
        rule = f"is {' or '.join(map(repr, get_args(choices)))}"
        raise InvalidInputError(argument, rule, got=repr(value))


def whole_numbers(argument: str, values: Any) -> np.ndarray:
    """Whole numbers of any shape as int64, read-only; DataError naming the first that is none."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        array = numbers(argument, values)
        flat = array.reshape(-1)
        wrong = np.flatnonzero(~np.isfinite(flat) | (flat != np.round(flat)))
        if len(wrong):
            raise DataError(argument, "are whole numbers", place=f"entry {wrong[0]}", got=flat[wrong[0]])
    return frozen(array.astype(np.int64, copy=False))
