"""`PerSeriesForecaster`: what models share that answer each series from its own rows, without training."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import InvalidInputError
from forecast_core.prediction import Prediction, QuantilePrediction
from forecast_core.predictor import Predictor
from forecast_core.series.seasonal import predict_at, predict_end

__all__ = ["PerSeriesForecaster"]


class PerSeriesForecaster(Predictor[Panel]):
    """Quantiles of each series by itself; where a series cannot be told of, what `series/naive` says.

    Subclasses write `_quantiles_of`.
    """

    @abstractmethod
    def _quantiles_of(self, windows: PanelWindows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Levels [level], values [n, horizon, target, level] in the target's unit, and which series
        [n, target] could not be told of, whose values are not read.
        """

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        if horizon is None:
            raise InvalidInputError("horizon", "is given here or in the model's configuration")
        items = np.arange(len(data.item_ids))
        windows = PanelWindows(data, None, horizon, np.full(len(items), data.known_rows - 1), items)
        levels, values, unknown = self._quantiles_of(windows)
        at = np.flatnonzero(unknown.any(axis=1))
        if len(at):
            naive = predict_end(data, season=1, horizon=horizon).take(at)
            _fill(values, at, unknown, naive.quantile(levels))
        return self._told(windows, levels, values, timestamps=data.future_timestamps(horizon))

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        levels, values, unknown = self._quantiles_of(windows)
        at = np.flatnonzero(unknown.any(axis=1))
        if len(at):
            _fill(values, at, unknown, predict_at(windows.take(at), season=1).quantile(levels))
        return self._told(windows, levels, values, timestamps=windows.timestamps())

    def _told(
        self, windows: PanelWindows, levels: np.ndarray, values: np.ndarray, *, timestamps: np.ndarray
    ) -> QuantilePrediction:
        return QuantilePrediction(
            levels=levels,
            values=values,
            steps=tuple(range(1, windows.horizon + 1)),
            timestamps=timestamps,
            target_names=windows.panel.target_names,
            item_ids=windows.item_ids,
        )


def _fill(values: np.ndarray, at: np.ndarray, unknown: np.ndarray, naive: np.ndarray) -> None:
    """Put naive values [len(at), horizon, target, level] where series of the windows `at` are unknown."""
    values[at] = np.where(unknown[at][:, None, :, None], naive, values[at])
