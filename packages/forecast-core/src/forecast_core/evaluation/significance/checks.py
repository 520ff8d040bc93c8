"""What losses must be before they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError

__all__ = ["loss_differences", "loss_table", "rounding_error"]


def loss_differences(loss_a: Any, loss_b: Any) -> tuple[np.ndarray, float]:
    """loss_a - loss_b, [origin], NaN where either is missing; and the rounding error it may hold.

    Raises ShapeError for other than two equally long series, DataError for infinity or no numbers.
    """
    a, b = _series("loss_a", loss_a), _series("loss_b", loss_b)
    if len(a) != len(b):
        raise ShapeError("loss_b", f"has as many origins as loss_a ({len(a)})", got=len(b))
    return a - b, rounding_error(a, b)


def loss_table(losses: Mapping[str, Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the models, and their losses [origin, model]; NaN where one is missing.

    Raises InvalidInputError for no model, ShapeError for unequal lengths, DataError for infinity.
    """
    if not losses:
        raise InvalidInputError("losses", "hold at least one model")
    columns = [_series(f"losses[{name!r}]", values) for name, values in losses.items()]
    first, *others = losses
    for name, column in zip(others, columns[1:], strict=True):
        if len(column) != len(columns[0]):
            rule = f"has as many origins as losses[{first!r}] ({len(columns[0])})"
            raise ShapeError(f"losses[{name!r}]", rule, got=len(column))
    return tuple(losses), np.stack(columns, axis=1)


def rounding_error(*losses: np.ndarray) -> float:
    """The size up to which a difference between such losses may be rounding alone."""
    largest = max((float(np.abs(x[~np.isnan(x)]).max(initial=0.0)) for x in losses), default=0.0)
    return 16.0 * float(np.finfo(np.float64).eps) * largest


def _series(argument: str, values: Any) -> np.ndarray:
    series = np.asarray(values)
    if series.ndim != 1:
        raise ShapeError(argument, "is one loss an origin, [origin]", got=series.shape)
    if series.dtype.kind not in "fiub":
        raise DataError(argument, "holds numbers", got=series.dtype)
    series = series.astype(np.float64)
    infinite = np.flatnonzero(np.isinf(series))
    if len(infinite):
        raise DataError(argument, "is finite", place=f"origin {infinite[0]}", got=series[infinite[0]])
    return series
