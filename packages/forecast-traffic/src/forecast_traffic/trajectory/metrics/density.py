"""Scores of two-dimensional distributions: density, ellipses, energy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from forecast_core.errors import CapabilityError
from forecast_core.metrics import ForecastMetric, Metric, Parameter
from forecast_core.metrics.base import given
from forecast_core.metrics.blocks import row_blocks
from forecast_core.metrics.case import Case
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory.metrics.displacement import in_the_plane

__all__ = ["DENSITY_METRICS", "density_levels", "log_densities", "squared_mahalanobis"]

_POINTS = 200  # that stand for the density's level sets, where there are several modes
_LEAST_POINTS = 8  # of each mode
_ENERGY_DRAWS = 50
_ENERGY_LAGS = 10


def squared_mahalanobis(prediction: PathMixturePrediction, points: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distance [..., n, h, k] of points [..., n, h, 2] to each mode's ellipse."""
    inverse, _ = _inverses(prediction)
    return _squared(points[..., None] - prediction.means.astype(np.float64), inverse)


def _squared(apart: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """apart [..., 2, k], inverse [..., 2, 2, k] to [..., k]."""
    x, y = apart[..., 0, :], apart[..., 1, :]
    a, b, c = inverse[..., 0, 0, :], inverse[..., 0, 1, :], inverse[..., 1, 1, :]
    squared: np.ndarray = a * x * x + 2.0 * b * x * y + c * y * y
    return squared


def _inverses(prediction: PathMixturePrediction) -> tuple[np.ndarray, np.ndarray]:
    """Inverse covariances [n, h, 2, 2, k] and log determinants [n, h, k]."""
    covariances = prediction.covariances.astype(np.float64)
    a, b, c = covariances[:, :, 0, 0], covariances[:, :, 0, 1], covariances[:, :, 1, 1]
    determinant = a * c - b * b
    inverse = np.empty_like(covariances)
    inverse[:, :, 0, 0], inverse[:, :, 1, 1] = c / determinant, a / determinant
    inverse[:, :, 0, 1] = inverse[:, :, 1, 0] = -b / determinant
    return inverse, np.log(determinant)


def log_densities(prediction: PathMixturePrediction, points: np.ndarray) -> np.ndarray:
    """Log density [..., n, h] per square metre of each step's distribution at points [..., n, h, 2]."""
    inverse, log_determinant = _inverses(prediction)
    squared = _squared(points[..., None] - prediction.means.astype(np.float64), inverse)
    weights = prediction.weights.astype(np.float64)[:, None]  # [n, 1, k]
    log_weights = np.log(weights, out=np.full(weights.shape, -np.inf), where=weights > 0)
    terms = log_weights - 0.5 * (squared + log_determinant) - math.log(2.0 * math.pi)
    peak = terms.max(-1, keepdims=True)
    summed: np.ndarray = peak[..., 0] + np.log(np.exp(terms - peak).sum(-1))
    return summed


def density_levels(
    prediction: PathMixturePrediction, targets: np.ndarray, *, points: int = _POINTS
) -> np.ndarray:
    """Probability [n, h] of the region where the density is higher than at the target; NaN where that is.

    A target lies inside the smallest region of probability q where its level is at most q. With one mode the
    region is the Mahalanobis ellipse and the level is 1 - exp(-d^2 / 2). With several it is the probability
    of the points of higher density (Hyndman 1996, Computing and graphing highest density regions), among
    about `points` that stand for equal parts of each mode: the same for a row whatever the others are.
    """
    if prediction.weights.shape[1] == 1:
        squared = squared_mahalanobis(prediction, targets)[..., 0]
        exact: np.ndarray = -np.expm1(-0.5 * squared)
        return exact
    levels = np.empty(targets.shape[:2])
    each = max(_LEAST_POINTS, -(-points // prediction.weights.shape[1]))
    for rows in row_blocks((len(targets), *prediction.means.shape[1:], each * prediction.weights.shape[1])):
        part = prediction.take(np.arange(len(targets))[rows])
        standing = _standing_points(part, each)  # [k, p, n, h, 2]
        at = log_densities(part, targets[rows])
        higher = (log_densities(part, standing) > at).mean(1)  # [k, n, h]
        level = np.einsum("knh,nk->nh", higher, part.weights.astype(np.float64))
        levels[rows] = np.where(np.isnan(at), np.nan, level)
    return levels


def _standing_points(prediction: PathMixturePrediction, each: int) -> np.ndarray:
    """Points [k, p, n, h, 2] that stand for `each` equal parts of every mode, on a sunflower's spiral."""
    part = np.arange(each) + 0.5
    radius, angle = np.sqrt(-2.0 * np.log1p(-part / each)), part * math.pi * (3.0 - math.sqrt(5.0))
    x, y = (radius * np.cos(angle))[:, None, None], (radius * np.sin(angle))[:, None, None]  # [p, 1, 1]
    means = np.moveaxis(prediction.means.astype(np.float64), -1, 0)[:, None]  # [k, 1, n, h, 2]
    covariances = np.moveaxis(prediction.covariances.astype(np.float64), -1, 0)[:, None]
    first = np.sqrt(covariances[..., 0, 0])  # Cholesky, [k, 1, n, h]
    slant = covariances[..., 0, 1] / first
    second = np.sqrt(np.maximum(covariances[..., 1, 1] - slant**2, 0.0))
    return np.stack([means[..., 0] + first * x, means[..., 1] + slant * x + second * y], -1)


def _mixture(case: Case) -> PathMixturePrediction:
    in_the_plane(case)
    if not isinstance(case.prediction, PathMixturePrediction):
        raise CapabilityError(f"a {case.prediction.kind} prediction has no density in the plane")
    return case.prediction


def _negative(case: Case, _: float | None) -> Iterator[np.ndarray]:
    prediction = _mixture(case)
    out = np.empty((*case.targets.shape[:2], 1))
    for rows in row_blocks(prediction.means.shape):
        part = prediction.take(np.arange(len(out))[rows])
        out[rows, :, 0] = -log_densities(part, case.targets[rows])
    yield out


def _inside(case: Case, coverage: float | None) -> Iterator[np.ndarray]:
    prediction = _mixture(case)
    levels = case.answer("density levels", lambda: density_levels(prediction, case.targets))
    yield np.where(np.isnan(levels), np.nan, levels <= given(coverage))[..., None]


def _energy(case: Case, _: float | None) -> Iterator[np.ndarray]:
    in_the_plane(case)
    prediction = case.prediction
    if prediction.kind == "point":
        yield np.linalg.norm(case.mean() - case.targets, axis=-1, keepdims=True)
        return
    out = np.empty((*case.targets.shape[:2], 1))
    for rows in row_blocks((len(out), out.shape[1], 2 * _ENERGY_DRAWS)):
        draws = prediction.take(np.arange(len(out))[rows]).sample(_ENERGY_DRAWS, seed=0)  # [s, n, h, 2]
        to_target = np.linalg.norm(draws - case.targets[rows], axis=-1).mean(0)
        lags = range(1, _ENERGY_LAGS + 1)
        between = [np.linalg.norm(draws - np.roll(draws, lag, 0), axis=-1).mean(0) for lag in lags]
        out[rows, :, 0] = to_target - 0.5 * np.mean(between, axis=0)
    yield out


DENSITY_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="path_nll",
        summary="mean negative log density of a step's position in the plane, in nats (nll: a coordinate)",
        needs="distribution",
        unit="nat",
        from_zero=False,
        statistics=_negative,
    ),
    ForecastMetric(
        name="ellipse_coverage",
        summary="share of positions in the smallest region of that probability: of one mode, the ellipse",
        needs="distribution",
        greater_is_better=None,
        parameter=Parameter(name="coverage", default=0.9, high=1.0),
        statistics=_inside,
    ),
    ForecastMetric(
        name="energy",
        summary="energy score of a step's position, from 50 seeded draws: CRPS in two dimensions",
        needs="distribution",
        unit="target",
        statistics=_energy,
    ),
)
