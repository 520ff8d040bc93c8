"""Checks that every kind of prediction makes on its arrays."""

from __future__ import annotations

import math

import numpy as np
from pydantic import JsonValue

from forecast_core.errors import InvalidInputError, ShapeError

__all__ = ["broadcasts", "check_dims", "check_finite", "check_json", "check_simplex", "tail_of"]

_TOLERANCE = 1e-5  # float32 softmax over many components


def check_dims(name: str, array: np.ndarray, axes: tuple[str, ...]) -> None:
    """The array has one axis for each name in `axes`, none of them empty but the first."""
    if array.ndim != len(axes) or 0 in array.shape[1:]:
        raise ShapeError(name, f"is [{', '.join(axes)}], no axis empty but the first", got=array.shape)


def tail_of(coverage: float) -> float:
    """The probability beyond either end of a central interval.

    InvalidInputError for a coverage outside (0, 1), or so near to 1 that float64 cannot tell.
    """
    number = isinstance(coverage, int | float | np.number)
    if not number or not (0 < coverage < 1 and 1.0 - (1.0 - float(coverage)) / 2.0 < 1.0):
        raise InvalidInputError("coverage", "lies strictly between 0 and 1", got=repr(coverage))
    return (1.0 - float(coverage)) / 2.0


def check_finite(name: str, array: np.ndarray) -> None:
    """No NaN and no infinity; the first one found is named by its index."""
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise InvalidInputError(name, "is finite", place=f"index {place}", got=array[place])


def check_simplex(name: str, array: np.ndarray) -> None:
    """Along the last axis: none negative, sum 1."""
    check_finite(name, array)
    if (array < 0).any():
        raise InvalidInputError(name, "has no negative entry", got=array.min())
    total = array.sum(-1)
    if not (np.abs(total - 1.0) <= _TOLERANCE).all():
        worst = total.reshape(-1)[np.abs(total - 1.0).argmax()]
        raise InvalidInputError(name, "sums to 1 along its last axis", got=worst)


def check_json(name: str, value: JsonValue) -> None:
    """Every number in a JSON value is finite, as JSON has no other."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInputError(name, "is finite, as JSON has no other numbers", got=value)
    if isinstance(value, dict):
        for key, inner in value.items():
            check_json(f"{name}[{key!r}]", inner)
    elif isinstance(value, list):
        for k, inner in enumerate(value):
            check_json(f"{name}[{k}]", inner)


def broadcasts(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Whether every axis equals that of `full` or is 1 (the first must be equal)."""
    return (
        len(shape) == len(full)
        and shape[0] == full[0]
        and all(a in (1, b) for a, b in zip(shape, full, strict=True))
    )
