"""`series/naive`: the last observed value."""

from __future__ import annotations

from typing import Any, ClassVar

from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.series.configs import NaiveConfig
from forecast_core.series.seasonal import predict_at, predict_end

__all__ = ["Naive"]


class Naive(Predictor[Panel]):
    """Random walk: the last observed value; variance grows by that of one-step changes a step.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), 5.2 and 5.5.
    """

    config_class: ClassVar[type[ModelConfig]] = NaiveConfig

    def _context_rows(self, data: Panel) -> int:
        return 2

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        return predict_end(data, season=1, horizon=horizon)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        return predict_at(windows, season=1)
