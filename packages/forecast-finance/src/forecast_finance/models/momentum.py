"""`finance/momentum`: part of the past return goes on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_core.prediction import ForecastPrediction
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import MomentumConfig
from forecast_finance.predicting import BarPredictor, gaussian_returns

__all__ = ["Momentum"]


class Momentum(BarPredictor):
    """Gaussian returns whose mean a bar is `strength` times that of the last `context_length` bars.

    Source: Moskowitz, Ooi and Pedersen (2012), Time series momentum.
    """

    config_class: ClassVar[type[ModelConfig]] = MomentumConfig

    config: MomentumConfig

    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        closes = windows.contexts(self.config.context_length)[..., 3]  # [n, context]
        returns = np.diff(np.log(closes), axis=1)
        ahead = np.array(windows.data.horizons[: windows.horizon])
        sigma = returns.std(axis=1, ddof=1)[:, None]
        drift = self.config.strength * returns.mean(axis=1)[:, None]
        return gaussian_returns(windows, drift * ahead, sigma * np.sqrt(ahead))
