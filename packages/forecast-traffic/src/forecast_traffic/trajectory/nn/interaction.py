"""The network of `trajectory/interaction-transformer`: a road user attends to those near it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from forecast_traffic.trajectory.nn.tensors import PathBatch

__all__ = ["InteractionNetwork", "Paths"]

_SCALE = 4.0  # metres that count as one


class Paths(NamedTuple):
    """means [n, k, h, 2]; log_scales [n, k, h, 2] and correlation [n, k, h] of each ellipse; logits [n, k] of
    the modes; events [n, e] logits.
    """

    means: Tensor
    log_scales: Tensor
    correlation: Tensor
    logits: Tensor
    events: Tensor


class Attention(nn.Module):
    """Queries look at tokens, some of them hidden, and are then transformed: a pre-norm transformer block."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query, self.pair = nn.Linear(size, size), nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)
        self.feed = nn.Sequential(
            nn.Linear(size, 2 * size), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * size, size)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor, seen: Tensor) -> Tensor:
        """queries [n, q, d]; tokens [n, t, d]; seen [n, t], at least one a row. Returns [n, q, d]."""
        q = torch.unflatten(self.query(self.before(queries)), -1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            torch.unflatten(part, -1, (self.heads, -1)).transpose(1, 2)
            for part in self.pair(tokens).chunk(2, -1)
        )  # [n, heads, t, d / heads]
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None, :])
        queries = queries + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        result: Tensor = queries + self.dropout(self.feed(self.after(queries)))
        return result


class InteractionNetwork(nn.Module):
    """History -> token; own token attends to those of the others; each mode's query attends to all of them.

    A mode's path is what it adds to going on at the present velocity. While training, windows are mirrored,
    and stretched by up to `stretch` either way, at random.
    """

    def __init__(
        self,
        *,
        length: int,
        horizon: int,
        modes: int,
        events: int,
        size: int,
        heads: int,
        layers: int,
        dropout: float,
        stretch: float,
    ) -> None:
        super().__init__()
        self.length, self.horizon, self.stretch = length, horizon, stretch
        width = 5 * length  # position, velocity and whether it is known
        self.own = nn.Sequential(nn.Linear(width, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.other = nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Linear(size, size))
        self.attend = nn.ModuleList(Attention(size, heads, dropout) for _ in range(layers))
        self.modes = nn.Parameter(torch.randn(modes, size) * 0.5)
        self.choose = Attention(size, heads, dropout)
        self.path = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, horizon * 5))
        self.logit = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 1))
        self.happens = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, events))

    def forward(self, batch: PathBatch) -> Paths:
        """Paths in each window's own frame, metres."""
        own = self.own(_history(batch.past, batch.known))[:, None]  # [n, 1, d]
        others = self.other(_history(batch.others, batch.others_known))  # [n, k, d]
        seen = torch.cat([torch.ones_like(batch.known[:, :1]), batch.others_known[..., -1]], 1)
        for block in self.attend:
            own = block(own, torch.cat([own, others], 1), seen)
        queries = own + self.modes
        queries = self.choose(queries, torch.cat([own, others], 1), seen)  # [n, modes, d]
        out = torch.unflatten(self.path(queries), -1, (self.horizon, 5))
        steps = torch.arange(1, self.horizon + 1, device=out.device)
        velocity = (batch.past[:, -1] - batch.past[:, -2])[:, None, None]  # [n, 1, 1, 2]
        means = out[..., :2] * _SCALE + velocity * steps[:, None]
        return Paths(
            means,
            out[..., 2:4].clamp(-6.0, 5.0),
            0.95 * torch.tanh(out[..., 4]),
            self.logit(queries)[..., 0],
            self.happens(own[:, 0]),
        )

    def varied(self, batch: PathBatch) -> PathBatch:
        """The batch with each window mirrored or not, and stretched; the same road users, seen otherwise."""
        n, device = len(batch.past), batch.past.device
        flip = torch.where(torch.rand(n, 1, 1, device=device) < 0.5, -1.0, 1.0)
        size = torch.exp(self.stretch * (2.0 * torch.rand(n, 1, 1, device=device) - 1.0))
        factor = torch.cat([size, flip * size], -1)  # [n, 1, 2]
        return batch._replace(
            past=batch.past * factor, others=batch.others * factor[:, None], future=batch.future * factor
        )


def _history(points: Tensor, known: Tensor) -> Tensor:
    """Points [..., L, 2] as one row of numbers [..., 5 L]: position, last step, and whether it is known."""
    steps = torch.zeros_like(points)
    both = known[..., 1:] & known[..., :-1]
    steps[..., 1:, :] = (points[..., 1:, :] - points[..., :-1, :]) * both[..., None]
    return torch.cat([points / _SCALE, steps, known[..., None].to(points.dtype)], -1).flatten(-2)
