"""Attention whose weights can be read: heads share their values, so one average weight says it all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_core.errors import InvalidInputError

__all__ = ["InterpretableAttention"]


class InterpretableAttention(nn.Module):
    """Queries and keys a head, one value for all, the heads' results averaged.

    forward(query [b, q, size], memory [b, m, size]) gives [b, q, size] and the weights [b, q, m], the mean
    over heads. causal: the last q places of memory are the queries' own, and each reads none after its own.
    InvalidInputError unless size is a multiple of heads. Source: Lim et al. (2021), Temporal fusion
    transformers, eqs. 13 to 16.
    """

    def __init__(self, size: int, *, heads: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        if heads < 1 or size % heads:
            raise InvalidInputError("size", f"is a multiple of heads = {heads}", got=size)
        self.heads, self.width, self.causal = heads, size // heads, causal
        self.query, self.key = nn.Linear(size, size), nn.Linear(size, size)
        self.value = nn.Linear(size, self.width)
        self.output = nn.Linear(self.width, size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What queries find in memory, and how much they look where."""
        (batch, n, _), m = query.shape, memory.shape[1]
        asked = self.query(query).view(batch, n, self.heads, self.width).transpose(1, 2)
        offered = self.key(memory).view(batch, m, self.heads, self.width).transpose(1, 2)
        scores = asked @ offered.transpose(-1, -2) / self.width**0.5  # [b, head, n, m]
        if self.causal:
            later = torch.ones(n, m, dtype=torch.bool, device=query.device).triu(m - n + 1)
            scores = scores.masked_fill(later, float("-inf"))
        weights = torch.softmax(scores, dim=-1).mean(dim=1)  # [b, n, m]
        found: Tensor = self.output(self.dropout(weights @ self.value(memory)))
        return self.dropout(found), weights
