"""Weather of the horizon as tokens, and attention of traffic to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_traffic.nn.tensors import WeatherBatch

__all__ = ["WeatherAttention", "WeatherTokens"]


class WeatherTokens(nn.Module):
    """Weather of H steps -> tokens [N | 1, B, H, D] and which are known [N | 1, B, H].

    A token is an embedding of the weather's type, an MLP of its numbers, and its place in the horizon.
    """

    def __init__(self, size: int, *, numbers: int, types: int, horizon: int) -> None:
        super().__init__()
        self.intensity = nn.Sequential(nn.Linear(numbers, size), nn.GELU(), nn.Linear(size, size))
        self.kind = nn.Embedding(types + 1, size) if types else None  # the first one is unknown, -1
        self.place = nn.Parameter(0.02 * torch.randn(horizon, size))

    def forward(self, weather: WeatherBatch) -> tuple[Tensor, Tensor]:
        """Tokens and whether each is known."""
        tokens = self.intensity(weather.values)
        if self.kind is not None:
            tokens = tokens + self.kind(weather.kind + 1)
        if tokens.ndim == 4:  # by node: [B, H, N, D]
            return tokens.permute(2, 0, 1, 3) + self.place, weather.known.permute(2, 0, 1)
        return tokens[None] + self.place, weather.known[None]


class WeatherAttention(nn.Module):
    """Traffic tokens [N, B, P, D] read weather tokens [N | 1, B, H, D]; beside the weather there is a token
    that stands for none of it, so weights on weather may be small, and are 0 where all of it is unknown.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.nothing = nn.Parameter(torch.zeros(size))
        self.out = nn.Linear(size, size)

    def forward(self, traffic: Tensor, weather: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """What is read [N, B, P, D], and the weights [N, B, heads, P, H] on weather; the rest is on none."""
        query = self.query(traffic).unflatten(-1, (self.heads, -1)).transpose(2, 3)  # [N, B, heads, P, d]
        nothing = self.nothing.expand(*weather.shape[:2], 1, -1)
        key = self.key(torch.cat([weather, nothing], 2)).unflatten(-1, (self.heads, -1)).transpose(2, 3)
        value = self.value(weather).unflatten(-1, (self.heads, -1)).transpose(2, 3)  # [1, B, heads, H, d]
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # [N, B, heads, P, H + 1]
        hidden = torch.cat([~known, torch.zeros_like(known[..., :1])], -1)[:, :, None, None]
        weights = torch.softmax(scores.masked_fill(hidden, float("-inf")), -1)[..., :-1]
        read = (weights @ value).transpose(2, 3).flatten(3)  # [N, B, P, D]
        return self.out(read), weights
