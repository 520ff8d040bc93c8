"""`series/seasonal-naive`: the value one season ago."""

from __future__ import annotations

from typing import Any, ClassVar

from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.series.configs import SeasonalNaiveConfig
from forecast_core.series.seasonal import predict_at, predict_end

__all__ = ["SeasonalNaive"]


class SeasonalNaive(Predictor[Panel]):
    """The last observed value at the same point of the season; variance grows by that of seasonal
    changes a season.

    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), 5.2 and 5.5.
    """

    config_class: ClassVar[type[ModelConfig]] = SeasonalNaiveConfig

    def _season(self, panel: Panel) -> int:
        return int(self.config.seasonality or panel.freq.seasonality)

    def _context_rows(self, data: Panel) -> int:
        return self._season(data) + 1

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        return predict_end(data, season=self._season(data), horizon=horizon)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        return predict_at(windows, season=self._season(windows.panel))
