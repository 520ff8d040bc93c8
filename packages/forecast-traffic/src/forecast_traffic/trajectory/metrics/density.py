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

_DRAWS = 200  # of the density's level sets, where there are several modes
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
    prediction: PathMixturePrediction, targets: np.ndarray, *, draws: int = _DRAWS
) -> np.ndarray:
    """Probability [n, h] of the region where the density is higher than at the target; NaN where that is.

    A target lies inside the smallest region of probability q where its level is at most q. With one mode the
    region is the Mahalanobis ellipse and the level is 1 - exp(-d^2 / 2); with several it is the share of
    seeded draws of higher density (Hyndman 1996, Computing and graphing highest density regions).
    """
    if prediction.weights.shape[1] == 1:
        squared = squared_mahalanobis(prediction, targets)[..., 0]
        exact: np.ndarray = -np.expm1(-0.5 * squared)
        return exact
    levels = np.empty(targets.shape[:2])
    for rows in row_blocks((len(targets), *prediction.means.shape[1:], draws)):
        part = prediction.take(np.arange(len(targets))[rows])
        drawn = log_densities(part, part.sample(draws, seed=0))  # [s, n, h]
        at = log_densities(part, targets[rows])
        levels[rows] = np.where(np.isnan(at), np.nan, (drawn > at).mean(0))
    return levels


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
