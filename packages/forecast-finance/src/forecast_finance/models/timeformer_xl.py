"""`finance/timeformer-xl`: a transformer over patches of bars with Gaussian returns and directions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import nn

from forecast_core.config import ModelConfig
from forecast_core.prediction import ForecastPrediction
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import TimeFormerConfig
from forecast_finance.network_models import NetworkPredictor, joined
from forecast_finance.nn.timeformer import TimeFormerNetwork, training_loss, validation_loss
from forecast_finance.predicting import gaussian_returns

__all__ = ["TimeFormerXL"]


class TimeFormerXL(NetworkPredictor):
    """Gaussian log returns; `aux["direction_probability"]` [n, horizon] is the direction head's.

    Sources: Nie et al. 2023 (patches); Su et al. 2021 (rotary positions); Bai et al. 2018 (causal
    convolutions); Lim et al. 2021 (gated residual networks); Seitzer et al. 2022 (beta-NLL); Kendall et al.
    2018 (weights of tasks).
    """

    config_class: ClassVar[type[ModelConfig]] = TimeFormerConfig

    config: TimeFormerConfig

    def _build(self, *, components: int, features: int, horizons: int) -> nn.Module:
        config = self.config
        return TimeFormerNetwork(
            context_sizes=(components, features) if components else (features,),
            horizons=horizons,
            size=config.size,
            heads=config.heads,
            layers=config.layers,
            feed_forward=config.feed_forward,
            patch=config.patch,
            dropout=config.dropout,
        )

    def _losses(self) -> tuple[Any, Any]:
        return training_loss, validation_loss

    def _answer(self, windows: BarWindows, outputs: list[Any], unit: np.ndarray) -> ForecastPrediction:
        steps = windows.horizon
        means = joined([out.means for out in outputs], steps=steps) * unit
        sigmas = joined([out.sigmas for out in outputs], steps=steps) * unit
        logits = joined([out.logits for out in outputs], steps=steps)
        probability = 1.0 / (1.0 + np.exp(-logits))
        return gaussian_returns(windows, means, sigmas, aux={"direction_probability": probability})
