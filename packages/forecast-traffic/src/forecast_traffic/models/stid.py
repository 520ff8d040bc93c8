"""`traffic/stid`: spatio-temporal identity, a tiny MLP that is hard to beat."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from forecast_core.config import ModelConfig
from forecast_core.data import Freq
from forecast_traffic.configs import STIDConfig
from forecast_traffic.graph.clock import slots_of_day
from forecast_traffic.models.trained import TrainedNetwork
from forecast_traffic.nn.identity_mlp import IdentityMLP

__all__ = ["STID"]


class STID(TrainedNetwork):
    """Each node's context and learnt identities of node, time of day and weekday, through residual layers, to
    a mixture for every step; nodes are not read across, and the graph is not used.

    Source: Shao et al. (2022), Spatial-Temporal Identity: a simple yet effective baseline for multivariate
    time series forecasting; the mixture head is ours.
    """

    config_class: ClassVar[type[ModelConfig]] = STIDConfig

    config: STIDConfig

    def _build(self, anchors: Tensor) -> nn.Module:
        config = self.config
        return IdentityMLP(
            nodes=len(self._known.nodes),
            slots=slots_of_day(Freq.parse(self._known.freq)),
            channels=len(self._known.channels),
            context_length=config.context_length,
            horizon=config.horizon,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            weekdays=config.weekdays,
            residual=config.residual,
            anchors=anchors,
            mixture_weights=config.mixture_weights,
        )
