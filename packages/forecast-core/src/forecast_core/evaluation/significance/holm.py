"""Holm's correction for many tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.errors import DataError, ShapeError

__all__ = ["holm"]


def holm(p_values: Any) -> np.ndarray:
    """P-values adjusted so that rejecting those <= size errs anywhere with probability at most size.

    p_values: [test]; of any dependence. NaN stands for a test that could not be made: it stays NaN and does
    not count. Returns [test]. The step-down method of Holm (1979): the k-th smallest of m is multiplied by
    m - k + 1, never falls below a smaller one's, and stops at 1. Raises ShapeError unless it is a list,
    DataError for values outside [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise ShapeError("p_values", "is one value a test, [test]", got=p.shape)
    outside = np.flatnonzero((p < 0) | (p > 1))
    if len(outside):
        raise DataError("p_values", "lie in [0, 1]", place=f"test {outside[0]}", got=p[outside[0]])
    order = np.argsort(p, kind="stable")[: int(np.sum(~np.isnan(p)))]  # NaN sorts last
    remaining = np.arange(len(order), 0, -1)
    adjusted = np.full(p.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * remaining), 1.0)
    return adjusted
