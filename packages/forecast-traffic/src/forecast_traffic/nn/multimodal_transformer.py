"""The network of `traffic/stmgt`: spatial-temporal multi-modal graph transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from forecast_core.losses import MixtureParameters
from forecast_traffic.nn.dropout import Dropout
from forecast_traffic.nn.edge_plan import EdgePlan
from forecast_traffic.nn.identity_mlp import ResidualLayer, last_observed
from forecast_traffic.nn.mixture_head import StepMixtureHead
from forecast_traffic.nn.space_time import Order, SpaceTimeBlock, WeatherView
from forecast_traffic.nn.tensors import NetworkBatch
from forecast_traffic.nn.time_encoding import HierarchicalTime
from forecast_traffic.nn.weather_attention import WeatherTokens

__all__ = ["MultimodalSizes", "MultimodalTransformer"]


@dataclass(frozen=True)
class MultimodalSizes:
    """What the data brings: nodes, slots of a day, channels, numbers and types of weather (0: none), kinds of
    event (0: none).
    """

    nodes: int
    slots: int
    channels: int
    weather: int
    weather_types: int
    events: int


class MultimodalTransformer(nn.Module):
    """Context in patches -> tokens that know their node and time -> space-time blocks -> a mixture a step.

    Tokens are [N, B, P, D], nodes first: attention along time and over roads both read them without a copy.
    What the tokens of a node say, and again which node and when, goes through residual layers; each step's
    mixture is made of that and of what is known of the step: its place in the horizon, its calendar and
    events, its weather.
    """

    source: Tensor
    destination: Tensor

    def __init__(
        self,
        sizes: MultimodalSizes,
        edge_index: Tensor,
        *,
        context_length: int,
        horizon: int,
        patch_length: int,
        hidden_size: int,
        head_size: int,
        head_layers: int,
        num_layers: int,
        heads: int,
        order: Order,
        road: bool,
        dense: bool,
        adaptive: bool,
        calendar: tuple[str, ...],
        dropout: float,
        compile_attention: bool,
        residual: bool,
        anchors: Tensor,
        mixture_weights: str,
    ) -> None:
        super().__init__()
        self.context_length, self.patch_length, self.residual = context_length, patch_length, residual
        tokens = context_length // patch_length
        self.nodes = sizes.nodes
        plan = EdgePlan.of(edge_index, nodes=sizes.nodes)
        self.register_buffer("source", plan.source, persistent=False)
        self.register_buffer("destination", plan.destination, persistent=False)
        self.read = nn.Linear(patch_length * 2 * sizes.channels, hidden_size)
        self.time = HierarchicalTime(hidden_size, slots=sizes.slots, calendar=calendar, events=sizes.events)
        self.node = nn.Parameter(torch.empty(sizes.nodes, 1, 1, hidden_size))
        nn.init.normal_(self.node, std=0.1)
        self.adaptive = None
        if adaptive:
            self.adaptive = nn.Parameter(torch.empty(sizes.nodes, 1, tokens, hidden_size))
            nn.init.normal_(self.adaptive, std=0.1)
        has_weather = sizes.weather > 0
        self.weather = (
            WeatherTokens(hidden_size, numbers=sizes.weather, types=sizes.weather_types, horizon=horizon)
            if has_weather
            else None
        )
        self.blocks = nn.ModuleList(
            [
                SpaceTimeBlock(
                    hidden_size,
                    heads=heads,
                    order=order,
                    road=road,
                    dense=dense,
                    weather=has_weather,
                    dropout=dropout,
                    compile_attention=compile_attention,
                )
                for _ in range(num_layers)
            ]
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.from_tokens = nn.Linear(tokens * hidden_size, head_size)
        self.from_node = nn.Parameter(torch.empty(sizes.nodes, 1, head_size))
        nn.init.normal_(self.from_node, std=0.1)
        self.from_now = nn.Linear(hidden_size, head_size, bias=False)
        self.layers = nn.Sequential(*(ResidualLayer(head_size, dropout) for _ in range(head_layers)))
        step_size = max(head_size // 2, 1)  # there are as many of these vectors as steps: the widest tensors
        self.to_steps = nn.Linear(head_size, step_size)
        self.from_step = nn.Linear(hidden_size, step_size, bias=False)
        self.from_weather = nn.Linear(hidden_size, step_size, bias=False) if has_weather else None
        self.place = nn.Parameter(0.02 * torch.randn(horizon, step_size))
        self.mix = nn.Linear(step_size, step_size)
        self.dropout = Dropout(dropout)
        self.head = StepMixtureHead(step_size, anchors=anchors, weights=mixture_weights)

    def forward(self, batch: NetworkBatch) -> MixtureParameters:
        """Mixtures [B, N, H, C, K] in scaled units."""
        return self.explained(batch)[0]

    def explained(self, batch: NetworkBatch) -> tuple[MixtureParameters, tuple[Tensor, ...]]:
        """The mixtures, and the weights of every weather attention [N, B, heads, P, H]."""
        x = self._tokens(batch)
        weather = None
        if self.weather is not None and batch.weather is not None:
            weather = WeatherView(*self.weather(batch.weather))
        plan = EdgePlan(self.source, self.destination, self.source, self.nodes)
        looked: tuple[Tensor, ...] = ()
        for block in self.blocks:
            x, weights = block(x, plan, weather)
            looked += weights
        now = self.from_now(self.time(batch.clock[:, self.context_length - 1]))  # [B, F]
        features = self.from_tokens(self.norm(x).flatten(2)) + self.from_node + now  # [N, B, F]
        features = self.to_steps(self.layers(features))  # [N, B, S]
        hidden = self._steps(features, batch.clock[:, self.context_length :], weather)
        base = last_observed(batch.context).transpose(0, 1) if self.residual else None  # [N, B, 1, C]
        mixture = self.head(hidden, base)
        return MixtureParameters(*(each.transpose(0, 1) for each in mixture)), looked

    def _tokens(self, batch: NetworkBatch) -> Tensor:
        b, t, n, _ = batch.context.shape
        patches = batch.context.permute(2, 0, 1, 3).reshape(n, b, t // self.patch_length, -1)
        when = self.time(batch.clock[:, self.patch_length - 1 : t : self.patch_length])  # [B, P, D]
        x: Tensor = self.read(patches) + when + self.node
        return x if self.adaptive is None else x + self.adaptive

    def _steps(self, features: Tensor, clock: Tensor, weather: WeatherView | None) -> Tensor:
        """features [N, B, S], clock [B, H, 4] -> [N, B, H, S]."""
        known = self.from_step(self.time(clock)) + self.place  # [B, H, S]
        if self.from_weather is not None and weather is not None:
            known = known + self.from_weather(weather.tokens) * weather.known[..., None]  # [N | 1, B, H, S]
        hidden = torch.nn.functional.gelu(features[:, :, None] + known)
        out: Tensor = hidden + torch.nn.functional.gelu(self.mix(self.dropout(hidden)))
        return out
