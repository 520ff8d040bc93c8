"""Errors of a single number a step.

The absolute kind (mae, mape, smape, wape, mase) scores the median, which minimises it; the squared kind
(mse, rmse, rmsse, r2) and the bias score the mean. Of a point forecast both are its values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forecast_core.metrics.base import ForecastMetric, Metric, Parameter, ratio
from forecast_core.metrics.case import Case

__all__ = ["POINT_METRICS"]

_FLAT = 1e-12  # share of the second moment below which a variance is rounding


def _absolute(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield np.abs(case.median() - case.targets)


def _squared(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield (case.mean() - case.targets) ** 2


def _bias(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield case.mean() - case.targets


def _percentage(case: Case, _: float | None) -> Iterator[np.ndarray]:
    size = np.abs(case.targets)
    yield ratio(np.abs(case.median() - case.targets), size)


def _symmetric_percentage(case: Case, _: float | None) -> Iterator[np.ndarray]:
    error = np.abs(case.median() - case.targets)
    size = np.abs(case.median()) + np.abs(case.targets)
    yield np.where(size == 0, 0.0, ratio(error, size))


def _absolute_and_size(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield np.abs(case.median() - case.targets)
    yield np.abs(case.targets)


def _scaled(case: Case, seasonality: float | None) -> Iterator[np.ndarray]:
    yield np.abs(case.median() - case.targets) / case.scale(seasonality)


def _scaled_squared(case: Case, seasonality: float | None) -> Iterator[np.ndarray]:
    yield (case.mean() - case.targets) ** 2 / case.scale(seasonality, squared=True)


def _explained(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield (case.mean() - case.targets) ** 2
    observed = ~np.isnan(case.targets)
    centre = case.targets[observed].mean() if observed.any() else 0.0  # any shift does; this one keeps digits
    yield case.targets - centre
    yield (case.targets - centre) ** 2


def _root_mean(count: np.ndarray, total: np.ndarray) -> np.ndarray:
    root: np.ndarray = np.sqrt(ratio(total, count))
    return root


def _quotient(_: np.ndarray, total: np.ndarray, size: np.ndarray) -> np.ndarray:
    return ratio(total, size)


def _determination(
    count: np.ndarray, residual: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    spread = second - np.nan_to_num(ratio(first**2, count))
    return 1.0 - ratio(residual, np.where(spread > _FLAT * second, spread, 0.0))


_SEASONALITY = Parameter(name="seasonality", default=None, whole=True)

POINT_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="mae",
        summary="mean absolute error of the median",
        needs="median",
        unit="target",
        statistics=_absolute,
    ),
    ForecastMetric(
        name="mse",
        summary="mean squared error of the mean",
        needs="mean",
        unit="target^2",
        statistics=_squared,
    ),
    ForecastMetric(
        name="rmse",
        summary="root of the mean squared error of the mean",
        needs="mean",
        unit="target",
        statistics=_squared,
        finish=_root_mean,
    ),
    ForecastMetric(
        name="me",
        summary="mean of forecast minus target (bias): above 0 the mean forecast is too high",
        needs="mean",
        unit="target",
        greater_is_better=None,
        statistics=_bias,
    ),
    ForecastMetric(
        name="mape",
        summary="mean of |error| / |target| as a fraction; targets of 0, where it is undefined, do not count",
        needs="median",
        statistics=_percentage,
    ),
    ForecastMetric(
        name="smape",
        summary="mean of |error| / (|target| + |forecast|), from 0 to 1; 0 where both are 0",
        needs="median",
        statistics=_symmetric_percentage,
    ),
    ForecastMetric(
        name="wape",
        summary="sum of |error| / sum of |target|",
        needs="median",
        statistics=_absolute_and_size,
        finish=_quotient,
    ),
    ForecastMetric(
        name="mase",
        summary="mean of |error| / in-sample seasonal-naive MAE of the row's item; items of scale 0 do not "
        "count (Hyndman and Koehler 2006)",
        needs="median",
        parameter=_SEASONALITY,
        statistics=_scaled,
    ),
    ForecastMetric(
        name="rmsse",
        summary="root of the mean of error^2 / in-sample seasonal-naive MSE of the row's item; items of "
        "scale 0 do not count (Hyndman and Koehler 2006)",
        needs="mean",
        parameter=_SEASONALITY,
        statistics=_scaled_squared,
        finish=_root_mean,
    ),
    ForecastMetric(
        name="r2",
        summary="share of the variance explained by the mean, pooled; undefined where targets do not vary",
        needs="mean",
        greater_is_better=True,
        statistics=_explained,
        finish=_determination,
    ),
)
