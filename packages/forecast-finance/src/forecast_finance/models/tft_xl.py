"""`finance/tft-xl`: a temporal fusion transformer with quantiles of returns and directions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import nn

from forecast_core.config import ModelConfig
from forecast_core.prediction import ForecastPrediction, QuantilePrediction
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import TFTConfig
from forecast_finance.network_models import NetworkPredictor, joined
from forecast_finance.nn.tft import LEVELS, TFTNetwork, loss

__all__ = ["TFTXL"]


class TFTXL(NetworkPredictor):
    """P10, P50 and P90 of log returns, which cannot cross.

    aux: `direction_probability` [n, horizon]; `attention` [n, length] of the origin's bar to the window, and
    `variable_weights` [n, 5] (open, high, low, close, volume), both summing to 1. Source: Lim et al. 2021.
    """

    config_class: ClassVar[type[ModelConfig]] = TFTConfig

    config: TFTConfig

    def _build(self, *, components: int, features: int, horizons: int) -> nn.Module:
        config = self.config
        return TFTNetwork(
            context_size=components + features,
            horizons=horizons,
            embedding_size=config.embedding_size,
            size=config.size,
            heads=config.heads,
            layers=config.layers,
            dropout=config.dropout,
        )

    def _losses(self) -> tuple[Any, Any]:
        return loss, loss

    def _answer(self, windows: BarWindows, outputs: list[Any], unit: np.ndarray) -> ForecastPrediction:
        steps = windows.horizon
        quantiles = joined([out.quantiles for out in outputs], steps=steps) * unit[..., None]
        logits = joined([out.logits for out in outputs], steps=steps)
        return QuantilePrediction(
            item_ids=windows.item_ids,
            target_names=windows.data.target_names,
            steps=windows.data.horizons[:steps],
            levels=np.array(LEVELS),
            values=quantiles[:, :, None],
            aux={
                "direction_probability": 1.0 / (1.0 + np.exp(-logits)),
                "attention": joined([out.attention for out in outputs]),
                "variable_weights": joined([out.variables[:, -1] for out in outputs]),
            },
        )
