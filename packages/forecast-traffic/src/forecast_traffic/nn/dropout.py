"""Dropout whose mask costs a CPU a fraction of torch's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Dropout"]

_LEVELS = 1 << 16  # that a piece of a random number tells apart


class Dropout(nn.Module):
    """Sets numbers to 0 with probability `rate`, in 0..1, and divides the others by 1 - rate, while training.

    On a CPU torch draws one random number an element, which takes longer than the layers around it; here
    each draw of 64 bits decides four elements, so that rates are whole numbers of 1/65536. Follows torch's
    generator, as `nn.Dropout` does.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = round(rate * _LEVELS)
        self.rate = self.threshold / _LEVELS

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if not self.training or not self.threshold:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        pieces = draws.view(torch.int16)[: x.numel()].view(x.shape)
        keep = pieces >= self.threshold - _LEVELS // 2
        return x * keep.to(x.dtype).mul_(1.0 / (1.0 - self.rate))

    def extra_repr(self) -> str:
        """The rate, as modules show it."""
        return f"{self.rate:.4g}"
