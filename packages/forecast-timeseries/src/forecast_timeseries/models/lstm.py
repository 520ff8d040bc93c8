"""`timeseries/lstm`: many series at once, several steps ahead, as quantiles, Gaussians or points."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from forecast_core.config import ModelConfig
from forecast_timeseries.configs import LSTMConfig
from forecast_timeseries.nn.forecaster import NetworkForecaster
from forecast_timeseries.nn.recurrent import LSTMNetwork
from forecast_timeseries.nn.tensors import Layout

__all__ = ["LSTM"]


class LSTM(NetworkForecaster):
    """Direct multi-step LSTM, one network for all items.

    Windows are drawn from every item and origin of the training rows that hold an observed target; if
    validation rows follow them, its windows reach back into the training rows for context. Items of a
    new panel are matched by id.

    Sources: Hochreiter & Schmidhuber 1997 (LSTM); Wen et al. 2017 (direct quantiles from a recurrent
    encoder); Kim et al. 2022 (normalisation of each instance).
    """

    config_class: ClassVar[type[ModelConfig]] = LSTMConfig

    config: LSTMConfig

    def _given(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        return self.config.lags, self.config.calendar

    def _build(self, layout: Layout, *, items: int, outputs: int) -> nn.Module:
        config = self.config
        return LSTMNetwork(
            layout,
            context_length=config.context_length,
            horizon=config.horizon,
            outputs=outputs,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            items=items,
            item_embedding=config.item_embedding,
            per_window=config.normalisation == "window",
            head_size=config.head_size,
            residual=config.residual,
        )
