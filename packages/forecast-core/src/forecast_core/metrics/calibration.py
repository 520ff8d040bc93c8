"""Calibration by the probability integral transform: P(outcome <= target) should be uniform."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from forecast_core.errors import CapabilityError
from forecast_core.metrics.base import ForecastMetric, Metric
from forecast_core.metrics.case import Case
from forecast_core.prediction import (
    ForecastPrediction,
    MixturePrediction,
    PathMixturePrediction,
    Prediction,
    SamplePrediction,
)

__all__ = ["CALIBRATION_METRICS", "pit_values"]

_LEVELS = tuple(k / 20 for k in range(1, 20))
_TIE = 1e-9  # a PIT on a level counts as reached, whatever its last digit


def pit_values(prediction: Prediction, targets: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Probability integral transform F(y) of each target, in [0, 1]; uniform for a calibrated forecast.

    targets, mask (True: observed), result [n, h, t]; NaN where nothing was observed. Where the distribution
    has an atom at y: half-way up its step. Of m draws: the mid-rank of the target among draws and target,
    (number below + half of the equal + 1/2) / (m + 1). CapabilityError where there is no distribution.
    """
    observed = ~np.isnan(targets) if mask is None else mask & ~np.isnan(targets)
    values = _pit(prediction, np.where(observed, targets, np.nan))
    return np.where(observed, values, np.nan)


@singledispatch
def _pit(prediction: Prediction, targets: np.ndarray) -> np.ndarray:
    if not isinstance(prediction, ForecastPrediction):
        raise CapabilityError(f"a {prediction.kind} prediction has no distribution function")
    before = np.nextafter(targets, -np.inf)
    middle: np.ndarray = 0.5 * (prediction.cdf(targets) + prediction.cdf(before))
    return middle


@_pit.register(MixturePrediction)
@_pit.register(PathMixturePrediction)
def _(prediction: MixturePrediction | PathMixturePrediction, targets: np.ndarray) -> np.ndarray:
    return prediction.cdf(targets)


@_pit.register
def _(prediction: SamplePrediction, targets: np.ndarray) -> np.ndarray:
    below = (prediction.values < targets).sum(0)  # [n, h, t]
    equal = (prediction.values == targets).sum(0)
    rank: np.ndarray = (below + 0.5 * equal + 0.5) / (len(prediction.values) + 1)
    return rank


def _reached(values: np.ndarray, scores: np.ndarray) -> Iterator[np.ndarray]:
    """For each level, whether the score of an observed value is at most the level."""
    missing = np.isnan(values)
    for level in _LEVELS:
        yield np.where(missing, np.nan, scores <= level + _TIE)


def _pit_of(case: Case) -> np.ndarray:
    return case.answer("pit", lambda: pit_values(case.prediction, case.targets))


def _below_levels(case: Case, _: float | None) -> Iterator[np.ndarray]:
    values = _pit_of(case)
    yield from _reached(values, values)


def _within_intervals(case: Case, _: float | None) -> Iterator[np.ndarray]:
    values = _pit_of(case)
    yield from _reached(values, np.abs(2.0 * values - 1.0))


def _mean_deviation(count: np.ndarray, *reached: np.ndarray) -> np.ndarray:
    total = np.zeros(np.shape(count))
    for level, number in zip(_LEVELS, reached, strict=True):
        total = total + np.abs(number / np.maximum(count, 1.0) - level)
    return np.where(np.asarray(count) > 0, total / len(_LEVELS), np.nan)


CALIBRATION_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="pit",
        summary="mean |share of PIT values up to u - u| over u = 0.05 to 0.95: how far from uniform",
        needs="distribution",
        statistics=_below_levels,
        finish=_mean_deviation,
    ),
    ForecastMetric(
        name="calibration_error",
        summary="mean |observed - nominal coverage| of central intervals over coverages 0.05 to 0.95",
        needs="distribution",
        statistics=_within_intervals,
        finish=_mean_deviation,
    ),
)
