"""The continuous ranked probability score, exact for every kind of prediction in core.

CRPS(F, y) = integral of (F(x) - 1[x >= y])^2 dx, in the target's unit; lower is better.
Source: Gneiting and Raftery (2007), Strictly proper scoring rules, eq. 20.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from forecast_core import normal
from forecast_core.errors import CapabilityError
from forecast_core.metrics.base import ForecastMetric, Metric
from forecast_core.metrics.blocks import row_blocks
from forecast_core.metrics.case import Case
from forecast_core.prediction import (
    ForecastPrediction,
    MixturePrediction,
    PathMixturePrediction,
    PointPrediction,
    Prediction,
    QuantilePrediction,
    SamplePrediction,
)

__all__ = ["CRPS_METRICS", "crps_mixture", "crps_values"]

_LEVELS = (np.arange(99) + 0.5) / 99  # midpoints, for kinds that answer quantiles only


@singledispatch
def crps_values(prediction: Prediction, targets: np.ndarray) -> np.ndarray:
    """CRPS of each element; targets and result [n, h, t] in the target's unit, NaN where the target is.

    Point: the absolute error, to which the score of a one-point distribution reduces. Mixture: closed form;
    path mixtures a coordinate at a time. Quantile: closed form of the whole distribution, tails included.
    Sample: the score of the draws as they are (every pair counted, also each draw with itself), not of the
    distribution they were drawn from. Other kinds: twice the mean pinball loss at 99 midpoint levels, or
    what they register with `crps_values.register`. CapabilityError for class predictions.
    """
    if not isinstance(prediction, ForecastPrediction):
        raise CapabilityError(f"a {prediction.kind} prediction has no CRPS")
    total = np.zeros(prediction.shape)
    for levels in np.split(_LEVELS, 9):
        error = targets[..., None] - prediction.quantile(levels)  # [n, h, t, q]
        total += np.maximum(levels * error, (levels - 1.0) * error).sum(-1)
    return 2.0 * total / len(_LEVELS)


@crps_values.register
def _(prediction: PointPrediction, targets: np.ndarray) -> np.ndarray:
    error: np.ndarray = np.abs(prediction.values.astype(np.float64) - targets)
    return error


@crps_values.register(MixturePrediction)
@crps_values.register(PathMixturePrediction)
def _(prediction: MixturePrediction | PathMixturePrediction, targets: np.ndarray) -> np.ndarray:
    weights, means, sigmas = prediction._parameters()
    out = np.empty(targets.shape)
    for rows in row_blocks(means.shape):
        out[rows] = crps_mixture(weights[rows], means[rows], sigmas[rows], targets[rows])
    return out


@crps_values.register
def _(prediction: SamplePrediction, targets: np.ndarray) -> np.ndarray:
    out = np.empty(targets.shape)
    draws = np.moveaxis(prediction.values, 0, -1)  # [n, h, t, s]
    count = draws.shape[-1]
    rank = np.arange(1 - count, count, 2, dtype=np.float64)  # [s]
    for rows in row_blocks(draws.shape):
        ordered = np.sort(draws[rows].astype(np.float64), axis=-1)
        ordered -= ordered[..., count // 2, None]  # distances alone matter; small numbers keep digits
        # sum_ij |x_i - x_j| / 2 = sum_i (2 i - s - 1) x_(i)
        spread = (ordered * rank).sum(-1) / count**2
        out[rows] = np.abs(draws[rows] - targets[rows][..., None]).mean(-1) - spread
    return out


@crps_values.register
def _(prediction: QuantilePrediction, targets: np.ndarray) -> np.ndarray:
    levels = prediction.levels.astype(np.float64)
    out = np.empty(targets.shape)
    for rows in row_blocks(prediction.values.shape):
        out[rows] = _crps_linear(levels, prediction.values[rows].astype(np.float64), targets[rows])
    return out


def crps_mixture(weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray, y: np.ndarray) -> np.ndarray:
    """CRPS of Gaussian mixtures; parameters [..., k], y [...], result [...].

    sum_i w_i A(y - mu_i, s_i) - 1/2 sum_ij w_i w_j A(mu_i - mu_j, sqrt(s_i^2 + s_j^2)), where
    A(d, s) = E|N(d, s^2)| = d (2 Phi(d/s) - 1) + 2 s phi(d/s). Source: Grimit et al. (2006), eq. 4.
    """
    score: np.ndarray = (weights * _mean_distance(y[..., None] - means, sigmas)).sum(-1)
    score -= (weights**2 * sigmas).sum(-1) / math.sqrt(math.pi)  # pairs of a component with itself
    for i in range(means.shape[-1] - 1):  # pairs i < j, which count twice
        later = slice(i + 1, None)
        spread = np.hypot(sigmas[..., i, None], sigmas[..., later])
        distance = _mean_distance(means[..., i, None] - means[..., later], spread)
        score -= weights[..., i] * (weights[..., later] * distance).sum(-1)
    return score


def _mean_distance(shift: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    z = shift / sigma
    distance: np.ndarray = shift * (2.0 * normal.cdf(z) - 1.0) + 2.0 * sigma * normal.pdf(z)
    return distance


def _crps_linear(levels: np.ndarray, values: np.ndarray, y: np.ndarray) -> np.ndarray:
    """CRPS of a distribution function that is linear between the quantiles, with exponential tails.

    levels [q], values [..., q], y [...]. Between quantiles F^2 left of y and (1 - F)^2 right of it are
    squares of lines; in the tails they are sums of exponentials.
    """
    low, high = values[..., :-1], values[..., 1:]  # [..., q - 1]
    a, b = levels[:-1], levels[1:]
    at = np.clip(y[..., None], low, high)
    width = np.where(high > low, high - low, 1.0)
    f = a + (b - a) * (at - low) / width  # F at y, or at the end of the segment next to it
    left = (at - low) * (a * a + a * f + f * f)
    right = (high - at) * ((1.0 - f) ** 2 + (1.0 - f) * (1.0 - b) + (1.0 - b) ** 2)
    inner = (left + right).sum(-1) / 3.0
    scale_low = (values[..., 1] - values[..., 0]) / math.log(levels[1] / levels[0])
    scale_high = (values[..., -1] - values[..., -2]) / math.log((1.0 - levels[-2]) / (1.0 - levels[-1]))
    below = _tail(values[..., 0] - y, scale_low, mass=float(levels[0]))
    above = _tail(y - values[..., -1], scale_high, mass=float(1.0 - levels[-1]))
    score: np.ndarray = inner + below + above
    return score


def _tail(beyond: np.ndarray, scale: np.ndarray, *, mass: float) -> np.ndarray:
    """Share of the score from a tail of mass m and scale b, y lying d beyond its beginning (d <= 0: before).

    Before y the squared tail integrates to m^2 b / 2; a y inside it adds d - 2 m b (1 - exp(-d / b)).
    """
    inside = np.maximum(beyond, 0.0)
    with np.errstate(over="ignore"):  # a tail far narrower than the distance is over at y
        decay = np.exp(-inside / np.where(scale > 0, scale, 1.0))
    share: np.ndarray = mass * mass * scale / 2.0 + inside - 2.0 * mass * scale * (1.0 - decay)
    return share


def _crps(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield crps_values(case.prediction, case.targets)


CRPS_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="crps",
        summary="continuous ranked probability score; of a point forecast its absolute error",
        needs="distribution",
        unit="target",
        statistics=_crps,
    ),
)
