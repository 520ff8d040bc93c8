"""Scores of quantiles and of central intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forecast_core.metrics.base import ForecastMetric, Metric, Parameter, given, ratio
from forecast_core.metrics.case import Case

__all__ = ["QUANTILE_METRICS"]

_NINE = tuple(k / 10 for k in range(1, 10))


def _loss(case: Case, level: float) -> np.ndarray:
    error = case.targets - case.quantile(level)
    loss: np.ndarray = np.maximum(level * error, (level - 1.0) * error)
    return loss


def _pinball(case: Case, level: float | None) -> Iterator[np.ndarray]:
    yield _loss(case, given(level))


def _weighted(case: Case, _: float | None) -> Iterator[np.ndarray]:
    quantiles = case.answer("deciles", lambda: case.prediction.quantile(_NINE))  # [n, h, t, 9]
    error = case.targets[..., None] - quantiles
    levels = np.array(_NINE)
    yield 2.0 * np.maximum(levels * error, (levels - 1.0) * error).mean(-1)
    yield np.abs(case.targets)


def _quotient(_: np.ndarray, total: np.ndarray, size: np.ndarray) -> np.ndarray:
    return ratio(total, size)


def _covered(case: Case, coverage: float | None) -> Iterator[np.ndarray]:
    lower, upper = case.interval(given(coverage))
    inside = (lower <= case.targets) & (case.targets <= upper)
    yield np.where(np.isnan(case.targets), np.nan, inside)


def _width(case: Case, coverage: float | None) -> Iterator[np.ndarray]:
    lower, upper = case.interval(given(coverage))
    yield np.where(np.isnan(case.targets), np.nan, upper - lower)


def _winkler(case: Case, coverage: float | None) -> Iterator[np.ndarray]:
    lower, upper = case.interval(given(coverage))
    missed = np.maximum(lower - case.targets, 0.0) + np.maximum(case.targets - upper, 0.0)
    yield upper - lower + 2.0 / (1.0 - given(coverage)) * missed


_COVERAGE = Parameter(name="coverage", default=0.9, high=1.0)

QUANTILE_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="pinball",
        summary="mean pinball loss max(level e, (level - 1) e), e = target - quantile (Koenker 1978)",
        needs="quantile",
        unit="target",
        parameter=Parameter(name="level", default=0.5, high=1.0),
        statistics=_pinball,
    ),
    ForecastMetric(
        name="wql",
        summary="weighted quantile loss: 2 x sum of pinball / sum of |target|, mean over levels 0.1 to 0.9",
        needs="quantile",
        statistics=_weighted,
        finish=_quotient,
    ),
    ForecastMetric(
        name="coverage",
        summary="share of targets within the central interval, ends included; best at its nominal coverage",
        needs="quantile",
        greater_is_better=None,
        parameter=_COVERAGE,
        statistics=_covered,
    ),
    ForecastMetric(
        name="width",
        summary="mean width of the central interval where targets were observed; smaller is sharper",
        needs="quantile",
        unit="target",
        greater_is_better=None,
        parameter=_COVERAGE,
        statistics=_width,
    ),
    ForecastMetric(
        name="interval_score",
        summary="mean of width + 2 / (1 - coverage) x distance of the target outside it (Winkler 1972)",
        needs="quantile",
        unit="target",
        parameter=_COVERAGE,
        statistics=_winkler,
    ),
)
