"""Gated attention between the views of a photo, with fewer key than query heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DropPath", "GatedAttention", "GatedPooling"]


class GatedAttention(nn.Module):
    """Attention whose output is gated before it is projected: out = W_o (sigmoid(W_g x) * SDPA(q, k, v)).

    The gate comes from the same normed input as the queries. Keys and values have `key_heads` heads, shared
    by the query heads in groups. Views that are masked out are never attended to. Sources: Qiu et al. (2025),
    Gated attention for large language models; Ainslie et al. (2023), GQA.
    """

    def __init__(self, size: int, *, heads: int, key_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.key_heads, self.head_size = heads, key_heads, size // heads
        self.dropout = dropout
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, key_heads * self.head_size)
        self.value = nn.Linear(size, key_heads * self.head_size)
        self.gate = nn.Linear(size, size)
        self.project = nn.Linear(size, size)

    def forward(self, x: Tensor, *, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x: normed queries [n, q, size]; context: normed keys and values [n, k, size], default x; mask:
        which of them are there, bool [n, k]. Returns [n, q, size].
        """
        context = x if context is None else context
        n, queries, size = x.shape
        q = self.query(x).view(n, queries, self.heads, self.head_size).transpose(1, 2)
        k, v = (
            project(context).view(n, -1, self.key_heads, self.head_size).transpose(1, 2)
            for project in (self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
            enable_gqa=self.heads != self.key_heads,
        )
        attended = attended.transpose(1, 2).reshape(n, queries, size)
        out: Tensor = self.project(attended * torch.sigmoid(self.gate(x)))
        return out


class DropPath(nn.Module):
    """A residual branch left out of some samples in training (Huang et al. 2016, Stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """x [n, ...], each sample kept with probability 1 - rate and then divided by it."""
        if not self.training or not self.rate:
            return x
        kept = torch.rand(len(x), *(1 for _ in x.shape[1:]), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class GatedPooling(nn.Module):
    """One vector of many, and how much each counted: softmax_k w (tanh(V h_k) * sigmoid(U h_k)).

    Source: Ilse et al. (2018), Attention-based deep multiple instance learning, eq. 9.
    """

    def __init__(self, size: int, *, inner: int) -> None:
        super().__init__()
        self.signal, self.gate = nn.Linear(size, inner), nn.Linear(size, inner)
        self.score = nn.Linear(inner, 1, bias=False)

    def forward(self, x: Tensor, *, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x [n, view, size], mask bool [n, view] -> pooled [n, size] and weights [n, view] that sum to 1."""
        score = self.score(torch.tanh(self.signal(x)) * torch.sigmoid(self.gate(x)))[..., 0]
        if mask is not None:
            score = score.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(score, -1)
        return torch.einsum("nv,nvs->ns", weights, x), weights
