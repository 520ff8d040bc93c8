"""Times as they are given, turned into one kind: UTC datetime64[us]."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from forecast_core.errors import DataError

__all__ = ["instant", "instants"]

# What numpy reads as ISO 8601 does; it takes 20240131 for a year, and knows "today".
_WITHOUT_ZONE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?", re.ASCII)


def instants(argument: str, values: Any) -> np.ndarray:
    """Times of any shape as datetime64[us] in UTC.

    values: datetime64, datetimes, dates or ISO 8601 texts (also 2024, 2024-01, 20240131); those with a zone
    are turned into UTC, those without are taken as UTC. Raises DataError, naming the first offender, where
    one is missing or no time.
    """
    array = np.asarray(values)
    if array.dtype.kind == "M":
        stamps = _microseconds(argument, array)
    elif array.dtype.kind in "OUT" or not array.size:
        stamps = _of_objects(argument, array)
    else:
        raise DataError(argument, "are times", got=f"dtype {array.dtype}")
    missing = np.isnat(stamps)
    if missing.any():
        raise DataError(argument, "has no missing time", place=f"row {int(missing.argmax())}")
    return stamps


def instant(argument: str, value: Any) -> np.datetime64:
    """One time as datetime64[us] in UTC; see `instants`."""
    stamps = instants(argument, value)
    if stamps.ndim:
        raise DataError(argument, "is one time", got=f"shape {stamps.shape}")
    return np.datetime64(stamps.item(), "us")


def _of_objects(argument: str, array: np.ndarray) -> np.ndarray:
    given = array.reshape(-1).tolist()
    if all(isinstance(value, str) and _WITHOUT_ZONE.fullmatch(value) for value in given):
        with suppress(ValueError):  # the row is told below
            return np.array(given, dtype="datetime64[us]").reshape(array.shape)
    stamps = np.empty(len(given), dtype="datetime64[us]")
    for row, value in enumerate(given):
        try:
            stamps[row] = _moment(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(
                argument, f"are times, as texts in ISO 8601 ({error})", place=f"row {row}", got=repr(value)
            ) from error
    return stamps.reshape(array.shape)


def _microseconds(argument: str, times: np.ndarray) -> np.ndarray:
    """datetime64 in microseconds; DataError for what lies outside the years they can tell."""
    stamps = times.astype("datetime64[us]", copy=False)
    if np.promote_types(times.dtype, stamps.dtype) == stamps.dtype:  # and so not finer, and not cut off
        lost = (stamps.astype(times.dtype) != times) & ~np.isnat(times)
        if lost.any():
            row = int(lost.reshape(-1).argmax())
            rule = "lie in the years -290307 to 294246"
            raise DataError(argument, rule, place=f"row {row}", got=times.reshape(-1)[row])
    return stamps


def _moment(value: Any) -> np.datetime64:
    if value is None or value != value:
        return np.datetime64("NaT", "us")
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return np.datetime64(value, "us")
    if isinstance(value, date):
        return np.datetime64(value, "us")
    if isinstance(value, np.datetime64):
        return np.datetime64(_microseconds("time", np.asarray(value)).item(), "us")
    raise TypeError(f"not a {type(value).__name__}")
