"""Weights of an ensemble, fitted on predictions of data its members were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from forecast_core.errors import DataError, MissingDependencyError
from forecast_core.prediction import ClassPrediction, ForecastPrediction, PointPrediction, Prediction

__all__ = ["fit_weights"]

_DRAWS = 50  # equally likely values that stand for a member's distribution
_CELLS = 20_000  # observed values that weights are fitted on at most
_AT_ONCE = 2_000


def fit_weights(
    parts: Sequence[Prediction], targets: np.ndarray, mask: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Weights [member] on the simplex with the best mean score of the pooled prediction.

    Forecasts: CRPS, which is a convex quadratic of the weights: sum_k w_k E|X_k - y|
    - 1/2 sum_kl w_k w_l E|X_k - X_l|; each member's distribution enters as 50 equally likely quantiles, and
    at most 20,000 observed values count, drawn by `seed`. Points, which are averaged: the squared error.
    Classes: the log score. Needs scipy. Raises DataError where nothing was observed.
    """
    members = len(parts)
    if members == 1:
        return np.ones(1)
    if all(isinstance(part, ClassPrediction) for part in parts):
        return _by_log_score(cast(Sequence[ClassPrediction], parts), targets, mask)
    seen = np.flatnonzero(mask.reshape(-1))
    if not len(seen):
        raise DataError("validation", "holds observed targets to fit weights on")
    if len(seen) > _CELLS:
        seen = np.sort(np.random.default_rng(seed).choice(seen, _CELLS, replace=False))
    truth = targets.reshape(-1)[seen].astype(np.float64)  # [cell]
    forecasts = cast(Sequence[ForecastPrediction], parts)
    if all(isinstance(part, PointPrediction) for part in parts):
        values = np.stack([part.mean().reshape(-1)[seen] for part in forecasts], -1)  # [cell, member]
        linear, quadratic = -2 * truth @ values / len(seen), 2 * values.T @ values / len(seen)
    else:
        levels = (np.arange(_DRAWS) + 0.5) / _DRAWS
        draws = [part.quantile(levels).reshape(-1, _DRAWS)[seen] for part in forecasts]  # [cell, draw]
        linear = np.array([np.abs(own - truth[:, None]).mean() for own in draws])
        quadratic = -np.array([[_distance(a, b) for b in draws] for a in draws])
    size = float(np.abs(quadratic).max()) or 1.0

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        return float(linear @ w + 0.5 * w @ quadratic @ w) / size, (linear + quadratic @ w) / size

    return _on_simplex(loss, members)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of |A - B| over cells and all pairs of draws; a, b: [cell, draw]."""
    total = 0.0
    for k in range(0, len(a), _AT_ONCE):
        total += float(np.abs(a[k : k + _AT_ONCE, :, None] - b[k : k + _AT_ONCE, None, :]).sum())
    return float(total / (len(a) * a.shape[1] * b.shape[1]))


def _by_log_score(parts: Sequence[ClassPrediction], targets: np.ndarray, mask: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(mask)
    if not len(rows):
        raise DataError("validation", "holds known classes to fit weights on")
    labels = targets[rows].astype(np.intp)
    given = np.stack(
        [part.probabilities[rows, labels].astype(np.float64) for part in parts], -1
    )  # [row, member]
    given = np.maximum(given, 1e-12)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = given @ w
        return -float(np.log(mixed).mean()), -(given / mixed[:, None]).mean(0)

    return _on_simplex(loss, len(parts))


def _on_simplex(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], members: int) -> np.ndarray:
    """Minimise a convex function given with its gradient; weights below a thousandth become 0."""
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise MissingDependencyError(
            "scipy", purpose="fitting weights", install="pip install 'forecast-core[evaluate]'"
        ) from error
    found = minimize(
        loss,
        np.full(members, 1.0 / members),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-10, "maxiter": 500},
    )
    weights = np.where(found.x < 1e-3, 0.0, found.x)
    fitted: np.ndarray = weights / weights.sum()
    return fitted
