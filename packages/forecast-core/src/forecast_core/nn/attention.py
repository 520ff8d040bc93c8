"""Multi-head attention with rotary positions, of a sequence to itself or to another one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.errors import InvalidInputError
from forecast_core.nn.rotary import rotary_angles, rotate

__all__ = ["RotaryAttention"]


class RotaryAttention(nn.Module):
    """softmax(q k / sqrt(d)) v over `heads` heads, q and k turned by their positions.

    forward(x [b, n, size], memory [b, m, size] | None) gives [b, n, size]; memory None: x itself. Positions
    are 0..n-1 and 0..m-1. causal: position i of x attends to positions up to i only (self-attention).
    Raises InvalidInputError unless size is a multiple of 2 * heads.
    """

    def __init__(self, size: int, *, heads: int, dropout: float = 0.0, causal: bool = False) -> None:
        super().__init__()
        if heads < 1 or size % (2 * heads):
            raise InvalidInputError("size", f"is a multiple of 2 * heads = {2 * heads}", got=size)
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.query, self.key, self.value, self.output = (nn.Linear(size, size) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        """What x [b, n, size] finds in memory [b, m, size]; [b, n, size]."""
        source = x if memory is None else memory
        query, key = self._turned(self.query(x)), self._turned(self.key(source))
        found = F.scaled_dot_product_attention(
            query,
            key,
            self._split(self.value(source)),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and memory is None,
        )  # [b, heads, n, size / heads]
        merged: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return merged

    def _split(self, x: Tensor) -> Tensor:
        batch, length, size = x.shape
        return x.view(batch, length, self.heads, size // self.heads).transpose(1, 2)  # [b, heads, n, d]

    def _turned(self, x: Tensor) -> Tensor:
        split = self._split(x)
        positions = torch.arange(split.shape[2], device=x.device)
        return rotate(split, *rotary_angles(positions, split.shape[-1], dtype=split.dtype))
