"""Networks over windows as graphs for export: raw numbers in, the forecast in the same units out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from forecast_core.exporting import WINDOW, Graph, GraphOutput
from forecast_timeseries.configs import NetworkConfig
from forecast_timeseries.inputs import Inputs
from forecast_timeseries.known import Known
from forecast_timeseries.nn.clock import clock_features
from forecast_timeseries.nn.heads import parameters
from forecast_timeseries.nn.scaling import PanelScaling
from forecast_timeseries.nn.tensors import Layout, WindowBatch

__all__ = ["RawNetwork", "network_graph"]


def network_graph(
    network: nn.Module,
    *,
    config: NetworkConfig,
    layout: Layout,
    known: Known,
    scaling: PanelScaling,
    lags: Sequence[int],
    calendar: Sequence[str],
    tz: JsonValue,
) -> Graph:
    """The graph of a fitted network. Its inputs reach `max(lags)` rows further back than the context.

    tz: zone of training, whose clock is read for data that names none.
    """
    inputs = Inputs(
        known,
        context=config.context_length,
        horizon=config.horizon,
        level=scaling.shift["targets"],
        spread=scaling.scale["targets"],
        reach=max(lags, default=0),
        times=config.context_length if calendar else 0,
        times_ahead=config.horizon if calendar else 0,
        tz=tz,
    )
    module = RawNetwork(
        copy.deepcopy(network).cpu(),
        config=config,
        layout=layout,
        scaling=scaling,
        lags=tuple(lags),
        calendar=tuple(calendar),
    )
    facts = inputs.facts()
    if config.head == "quantile":
        facts["quantile_levels"] = list(config.quantile_levels)
    return Graph(
        module=module.eval(),
        inputs=inputs.described(),
        outputs=_outputs(config.head),
        feed=inputs.feed,
        facts=facts,
        arrays=scaling.state(),
    )


def _outputs(head: str) -> tuple[GraphOutput, ...]:
    axes = (WINDOW, "step", "target")
    if head == "quantile":
        return (GraphOutput("quantiles", "quantiles of each step", (*axes, "level")),)
    if head == "gaussian":
        mean = GraphOutput("mean", "mean of each step's Gaussian", axes)
        return mean, GraphOutput("sigma", "standard deviation of each step's Gaussian", axes)
    return (GraphOutput("point", "forecast of each step", axes),)


class RawNetwork(nn.Module):
    """A network with its scaling, masks, lags and calendar before it and its units after it."""

    targets_shift: Tensor
    targets_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        config: NetworkConfig,
        layout: Layout,
        scaling: PanelScaling,
        lags: tuple[int, ...],
        calendar: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.network, self.layout, self.head = network, layout, config.head
        self.lags, self.calendar = lags, calendar
        self.length, self.horizon = config.context_length + config.horizon, config.horizon
        for part in scaling.shift:
            self.register_buffer(f"{part}_shift", torch.from_numpy(np.array(scaling.shift[part])))
            self.register_buffer(f"{part}_scale", torch.from_numpy(np.array(scaling.scale[part])))

    def forward(
        self,
        target: Tensor,
        item: Tensor,
        past_covariates: Tensor | None = None,
        future_covariates: Tensor | None = None,
        static_covariates: Tensor | None = None,
        local_time: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Parameters of each step [n, horizon, target, ...] in the units of the data, float64."""
        shift = self.targets_shift.index_select(0, item)[:, None]  # [n, 1, target]
        scale = self.targets_scale.index_select(0, item)[:, None]
        values = self._until_the_end((target - shift) / scale)  # [n, reach + context + horizon, target]
        reach = max(self.lags, default=0)
        seen = [values[:, reach - lag :][:, : self.length] for lag in (0, *self.lags)]
        groups = [*_with_mask(seen[0])]
        if self.lags:
            groups += _with_mask(torch.cat(seen[1:], 2))
        if past_covariates is not None:
            groups += _with_mask(self._until_the_end(self._scaled("past", past_covariates)))
        if future_covariates is not None:
            groups.append(_with_mask(self._scaled("future", future_covariates))[0])
        n = target.shape[0]
        clock = target.new_zeros((n, self.length, 0), dtype=torch.float32)
        if local_time is not None:
            clock = clock_features(local_time, self.calendar).float()
        static = target.new_zeros((n, 0), dtype=torch.float32)
        if static_covariates is not None:
            static = self._scaled("static", static_covariates).float()
        batch = WindowBatch(torch.cat(groups, 2).float(), clock, item, static)
        location, *spread = parameters(self.head, self.network(batch), steps=self.horizon)
        found = [location.double() * scale[..., None] + shift[..., None]]
        found += [each.double() * scale[..., None] for each in spread]
        return tuple(found if self.head == "quantile" else [each[..., 0] for each in found])

    def _scaled(self, part: str, values: Tensor) -> Tensor:
        shift: Any = getattr(self, f"{part}_shift")
        scaled: Tensor = (values - shift) / getattr(self, f"{part}_scale")
        return scaled

    def _until_the_end(self, values: Tensor) -> Tensor:
        """[n, rows, c] -> [n, rows + horizon, c], unknown over the horizon."""
        return nn.functional.pad(values, (0, 0, 0, self.horizon), value=float("nan"))


def _with_mask(values: Tensor) -> list[Tensor]:
    """Values with 0 where missing, and 1 where observed, [n, rows, c] each."""
    observed = ~torch.isnan(values)
    return [torch.where(observed, values, torch.zeros_like(values)), observed.to(values.dtype)]
