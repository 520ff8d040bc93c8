"""Blocks that look along time and across the network, at once or one after the other."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_traffic.nn.dropout import Dropout
from forecast_traffic.nn.edge_plan import EdgePlan
from forecast_traffic.nn.shared_attention import SharedGATv2
from forecast_traffic.nn.weather_attention import WeatherAttention

__all__ = ["Order", "SpaceTimeBlock", "WeatherView"]

Order = Literal["parallel", "sequential"]


class WeatherView(NamedTuple):
    """Weather tokens [N | 1, B, H, D], and which are known [N | 1, B, H]."""

    tokens: Tensor
    known: Tensor


class _TimeAttention(nn.Module):
    """Attention along the tokens of each node: [N, B, P, D] -> the same."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        n, b, p, d = x.shape
        parts = self.read(x).view(n * b, p, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)  # [N*B, heads, P, d]
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        mixed = torch.softmax(scores, -1) @ value
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(n, b, p, d))
        return out


class _NodeAttention(nn.Module):
    """Attention of every node to every other, token by token: [N, B, P, D] -> the same."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        n, b, p, d = x.shape
        parts = self.read(x).view(n, b * p, 3, self.heads, d // self.heads).permute(2, 1, 3, 0, 4)
        query, key, value = (part.contiguous() for part in parts.unbind(0))  # [B*P, heads, N, d]
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.permute(2, 0, 1, 3).reshape(n, b, p, d))
        return out


class SpaceTimeBlock(nn.Module):
    """A spatial and a temporal branch, gated and added to their input, then a feed-forward layer; pre-norm.

    parallel: both branches read the same input. sequential: the spatial branch reads what the temporal one
    made of it. The spatial branch is GATv2 over the roads, dense attention over all nodes, or their sum;
    without either the block looks along time only. Each branch reads the weather through an attention of its
    own.
    """

    def __init__(
        self,
        size: int,
        *,
        heads: int,
        order: Order,
        road: bool,
        dense: bool,
        weather: bool,
        dropout: float,
        compile_attention: bool,
    ) -> None:
        super().__init__()
        self.order = order
        self.before_time, self.before_space, self.before_feed = (nn.LayerNorm(size) for _ in range(3))
        self.time = _TimeAttention(size, heads)
        self.road = (
            SharedGATv2(size, size // heads, heads, compile="auto" if compile_attention else False)
            if road
            else None
        )
        self.dense = _NodeAttention(size, heads) if dense else None
        self.time_gate = nn.Linear(size, size)
        self.space_gate = nn.Linear(size, size) if road or dense else None
        self.share = nn.Parameter(torch.ones(2))  # of the spatial and the temporal branch
        self.weather_time = WeatherAttention(size, heads) if weather else None
        self.weather_space = WeatherAttention(size, heads) if weather and (road or dense) else None
        self.feed = nn.Sequential(
            nn.Linear(size, 2 * size), nn.GELU(), Dropout(dropout), nn.Linear(2 * size, size)
        )
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, plan: EdgePlan, weather: WeatherView | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens [N, B, P, D] -> the same, and the weights of each weather attention [N, B, heads, P, H]."""
        in_time, weights = self._time(self.before_time(x), weather)
        if self.order == "sequential":
            x = x + self.dropout(in_time)
        in_space, more = self._space(self.before_space(x), plan, weather)
        if self.order == "parallel":
            in_space = in_time if in_space is None else in_space + in_time
        if in_space is not None:
            x = x + self.dropout(in_space)
        x = x + self.dropout(self.feed(self.before_feed(x)))
        return x, weights + more

    def _time(self, x: Tensor, weather: WeatherView | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        out, weights = _with_weather(self.time(x), self.weather_time, weather)
        return self.share[1] * torch.sigmoid(self.time_gate(out)) * out, weights

    def _space(
        self, x: Tensor, plan: EdgePlan, weather: WeatherView | None
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        if self.space_gate is None:
            return None, ()
        n, b, p, d = x.shape
        parts = []
        if self.road is not None:
            parts.append(self.road(x.reshape(n, b * p, d), plan).view(n, b, p, d))
        if self.dense is not None:
            parts.append(self.dense(x))
        out, weights = _with_weather(sum(parts[1:], parts[0]), self.weather_space, weather)
        return self.share[0] * torch.sigmoid(self.space_gate(out)) * out, weights


def _with_weather(
    x: Tensor, attention: WeatherAttention | None, weather: WeatherView | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if attention is None or weather is None:
        return x, ()
    read, weights = attention(x, weather.tokens, weather.known)
    return x + read, (weights,)
