"""`timeseries/patch-transformer`: attention between patches of a series, the same for every series."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from forecast_core.config import ModelConfig
from forecast_timeseries.configs import PatchTransformerConfig
from forecast_timeseries.nn.forecaster import NetworkForecaster
from forecast_timeseries.nn.patches import PatchTransformerNetwork
from forecast_timeseries.nn.tensors import Layout

__all__ = ["PatchTransformer"]


class PatchTransformer(NetworkForecaster):
    """Transformer encoder over overlapping patches of the context, channel independent.

    It sees nothing but a series' own values, so that all items and targets are predicted by one network,
    in any order, each on the scale of its window.

    Sources: Nie et al. 2023, A Time Series is Worth 64 Words (PatchTST); Kim et al. 2022, Reversible
    Instance Normalization.
    """

    config_class: ClassVar[type[ModelConfig]] = PatchTransformerConfig

    config: PatchTransformerConfig

    def _build(self, layout: Layout, *, items: int, outputs: int) -> nn.Module:
        config = self.config
        return PatchTransformerNetwork(
            layout,
            context_length=config.context_length,
            horizon=config.horizon,
            outputs=outputs,
            patch_length=config.patch_length,
            patch_stride=config.patch_stride,
            model_size=config.model_size,
            num_heads=config.num_heads,
            num_layers=config.num_layers,
            feedforward_size=config.feedforward_size,
            dropout=config.dropout,
            per_window=config.normalisation == "window",
        )
