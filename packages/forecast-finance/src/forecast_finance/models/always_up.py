"""`finance/always-up`: prices rise, whatever happened; the base that every accuracy is held to."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_core.prediction import ForecastPrediction
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import AlwaysUpConfig
from forecast_finance.predicting import BarPredictor, gaussian_returns

__all__ = ["AlwaysUp"]

_LEAST_DRIFT = 1e-3  # in standard deviations of one bar: up, if only just


class AlwaysUp(BarPredictor):
    """Gaussian returns with the mean and spread of the last bars, the mean never below a trace above 0.

    Over h bars: h times the mean, sqrt(h) times the standard deviation of one bar.
    """

    config_class: ClassVar[type[ModelConfig]] = AlwaysUpConfig

    config: AlwaysUpConfig

    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        closes = windows.contexts(self.config.context_length)[..., 3]  # [n, context]
        returns = np.diff(np.log(closes), axis=1)
        ahead = np.array(windows.data.horizons[: windows.horizon])
        sigma = returns.std(axis=1, ddof=1)[:, None]
        drift = np.maximum(returns.mean(axis=1)[:, None], np.maximum(_LEAST_DRIFT * sigma, 1e-9))
        return gaussian_returns(windows, drift * ahead, sigma * np.sqrt(ahead))
