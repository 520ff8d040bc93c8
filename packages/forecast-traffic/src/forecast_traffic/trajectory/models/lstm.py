"""`trajectory/lstm`: several ways to go on, given one's own history."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import LSTMConfig
from forecast_traffic.trajectory.events import EVENTS
from forecast_traffic.trajectory.models.learned import NetworkPredictor
from forecast_traffic.trajectory.nn.recurrent import RecurrentNetwork

__all__ = ["LSTM"]


class LSTM(NetworkPredictor):
    """An LSTM over the history and a head for each mode; others are not seen.

    Source: Hochreiter & Schmidhuber 1997, Long short-term memory.
    """

    config_class: ClassVar[type[ModelConfig]] = LSTMConfig

    config: LSTMConfig

    def _build(self) -> nn.Module:
        config = self.config
        return RecurrentNetwork(
            horizon=config.horizon,
            modes=config.modes,
            events=len(EVENTS),
            size=config.hidden_size,
            dropout=config.dropout,
        )
