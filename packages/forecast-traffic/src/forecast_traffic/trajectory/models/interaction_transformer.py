"""`trajectory/interaction-transformer`: several ways to go on, given those near."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import InteractionTransformerConfig
from forecast_traffic.trajectory.events import EVENTS
from forecast_traffic.trajectory.models.learned import NetworkPredictor
from forecast_traffic.trajectory.nn.interaction import InteractionNetwork

__all__ = ["InteractionTransformer"]


class InteractionTransformer(NetworkPredictor):
    """Attention from a road user to the nearest others, and from a query for each mode to all of them.

    Sources: Vaswani et al. 2017 (attention); Varadarajan et al. 2021, MultiPath++ (learned mode queries);
    Rupprecht et al. 2017 (winner takes all).
    """

    config_class: ClassVar[type[ModelConfig]] = InteractionTransformerConfig

    config: InteractionTransformerConfig

    @property
    def radius(self) -> float:
        """Metres within which others are seen."""
        return self.config.radius

    @property
    def limit(self) -> int:
        """Others that are seen."""
        return self.config.neighbours

    def _build(self) -> nn.Module:
        config = self.config
        return InteractionNetwork(
            length=self.longest_history,
            horizon=config.horizon,
            modes=config.modes,
            events=len(EVENTS),
            size=config.hidden_size,
            heads=config.num_heads,
            layers=config.num_layers,
            dropout=config.dropout,
        )
