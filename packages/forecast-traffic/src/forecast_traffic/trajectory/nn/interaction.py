"""The network of `trajectory/interaction-transformer`: a road user attends to those near it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_traffic.trajectory.nn.paths import PathHead, Paths, histories
from forecast_traffic.trajectory.nn.tensors import PathBatch

__all__ = ["InteractionNetwork"]


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
    """History -> token; own token attends to those of the others; a query for each mode attends to all."""

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
    ) -> None:
        super().__init__()
        self.own = nn.Sequential(nn.Linear(5 * length, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.other = nn.Sequential(nn.Linear(5 * length, size), nn.GELU(), nn.Linear(size, size))
        self.attend = nn.ModuleList(Attention(size, heads, dropout) for _ in range(layers))
        self.modes = nn.Parameter(torch.randn(modes, size) * 0.5)
        self.choose = Attention(size, heads, dropout)
        self.head = PathHead(size=size, horizon=horizon, events=events)

    def forward(self, batch: PathBatch) -> Paths:
        """Paths of all modes."""
        own = self.own(histories(batch.past, batch.known).flatten(-2))[:, None]  # [n, 1, d]
        others = self.other(histories(batch.others, batch.others_known).flatten(-2))  # [n, k, d]
        seen = torch.cat([torch.ones_like(batch.known[:, :1]), batch.others_known[..., -1]], 1)
        for block in self.attend:
            own = block(own, torch.cat([own, others], 1), seen)
        queries = self.choose(own + self.modes, torch.cat([own, others], 1), seen)  # [n, modes, d]
        paths: Paths = self.head(queries, own[:, 0], batch.past)
        return paths
