"""`timeseries/drift`: the last value and its average change."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError, InvalidInputError
from forecast_core.prediction import MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_timeseries.channels import check_size
from forecast_timeseries.configs import DriftConfig

__all__ = ["Drift"]

_LEAST_SPREAD = 1e-12  # of a prediction, as a share of its mean where that is above 1


class Drift(Predictor[Panel]):
    """Random walk with drift: a line through the first and last observation, drawn on.

    h steps after the last of T observations the variance is s^2 h (1 + h / (T - 1)), with s^2 that of
    one-step changes about the drift. Over a gap of g rows the change counts as the sum of g steps. A series
    with fewer than three observations takes the others' average s^2, one with none also their average
    forecast.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), 5.2 and 5.5.
    """

    config_class: ClassVar[type[ModelConfig]] = DriftConfig

    def _context_rows(self, data: Panel) -> int:
        return 3

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        if horizon is None:
            raise InvalidInputError("horizon", "is given here or in the model's configuration")
        items = np.arange(len(data.item_ids))
        return _draw_on(
            data,
            np.full(len(items), data.known_rows - 1),
            items,
            steps=tuple(range(1, horizon + 1)),
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(horizon),
        )

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        return _draw_on(
            windows.panel,
            windows.rows,
            windows.items,
            steps=tuple(range(1, windows.horizon + 1)),
            item_ids=windows.item_ids,
            timestamps=windows.timestamps(),
        )


def _draw_on(
    panel: Panel, rows: np.ndarray, items: np.ndarray, *, steps: tuple[int, ...], **identity: Any
) -> MixturePrediction:
    """Lines drawn on after each (row, item), from rows up to it only."""
    origins, at = np.unique(rows, return_inverse=True)
    values = panel.values[: int(origins[-1]) + 1].astype(np.float64)  # [time, item, target]
    check_size(values)
    observed = ~np.isnan(values)
    count = observed.cumsum(axis=0)
    index = np.where(observed, np.arange(len(values))[:, None, None], -1)
    last = np.maximum.accumulate(index, axis=0)
    first = observed.argmax(axis=0)  # [item, target]
    before = np.concatenate([np.full((1, *values.shape[1:]), -1), last[:-1]])
    steps_since = np.where(observed & (before >= 0), index - before, 0)
    level = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    change = np.zeros_like(values)
    change[1:] = np.where(steps_since[1:] > 0, values[1:] - level[:-1], 0.0)
    squares = (change**2 / np.maximum(steps_since, 1)).cumsum(axis=0)

    level, last, count, squares = (each[origins] for each in (level, last, count, squares))  # [o, item, t]
    span = np.where(count > 1, last - first, 1)
    begin = np.take_along_axis(values, first[None], axis=0)
    drift = np.where(count > 1, (level - begin) / span, 0.0)
    variance = np.maximum(squares - drift**2 * span, 0.0) / np.maximum(count - 2, 1)
    variance = np.where(count > 2, variance, _others(variance, count > 2, panel, origins)[:, None])

    ahead = (origins[:, None, None] - last)[:, None] + np.array(steps)[:, None, None]  # [o, h, item, t]
    means = level[:, None] + drift[:, None] * ahead
    spread = variance[:, None] * ahead * (1.0 + ahead / span[:, None])
    seen = np.broadcast_to(count[:, None] > 0, means.shape)
    if not seen.all():
        expected = _others(means, seen, panel, origins)[:, :, None]  # [o, h, 1, t]
        apart = _others((means - expected) ** 2, seen, panel, origins)[:, :, None]
        typical = _others(spread, seen, panel, origins)[:, :, None]
        means, spread = np.where(seen, means, expected), np.where(seen, spread, apart + typical)
    sigmas = np.maximum(np.sqrt(spread), _LEAST_SPREAD * np.maximum(np.abs(means), 1.0))
    return MixturePrediction(
        weights=np.ones((len(rows), 1, 1, 1)),
        means=means[at, :, items][..., None],  # [n, h, t, 1]
        sigmas=sigmas[at, :, items][..., None],
        steps=steps,
        target_names=panel.target_names,
        **identity,
    )


def _others(values: np.ndarray, good: np.ndarray, panel: Panel, origins: np.ndarray) -> np.ndarray:
    """Averages [origin, ..., target] over those items [origin, ..., item, target] that are good."""
    count = good.sum(axis=-2)
    if not count.all():
        row = int(origins[np.argwhere(count == 0)[0][0]])
        raise DataError(
            "data", "holds a series with three observations", place=f"up to {panel.timestamps[row]}"
        )
    average: np.ndarray = np.where(good, values, 0.0).sum(axis=-2) / count
    return average
