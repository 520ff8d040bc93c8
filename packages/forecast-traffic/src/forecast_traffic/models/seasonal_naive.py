"""`traffic/seasonal-naive`: the value a day or a week ago."""

from __future__ import annotations

from typing import Any, ClassVar

from forecast_core.config import ModelConfig
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.series.seasonal import predict_at, predict_end
from forecast_traffic.configs import SeasonalNaiveConfig
from forecast_traffic.graph.clock import slots_of_day
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["SeasonalNaive"]


class SeasonalNaive(Predictor[GraphPanel]):
    """Each step repeats the value one period ago, with the spread of such repetitions so far.

    A time of the period that was never observed yet takes the last value observed at all.
    Source: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), 5.2 and 5.5.
    """

    config_class: ClassVar[type[ModelConfig]] = SeasonalNaiveConfig

    config: SeasonalNaiveConfig

    def _context_rows(self, data: GraphPanel) -> int:
        return self._season(data) + 1

    def _predict(self, data: GraphPanel, *, horizon: int | None) -> Prediction:
        return predict_end(data.series, season=self._season(data), horizon=horizon)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, GraphWindows)
        return predict_at(windows.series, season=self._season(windows.panel))

    def _season(self, panel: GraphPanel) -> int:
        return slots_of_day(panel.freq) * (7 if self.config.period == "week" else 1)
