"""Bars as tensors: windows by position, normalised when a batch is gathered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batch", "WindowSource", "normalize_window"]

_LEAST_VOLATILITY = 1e-5
_VOLUME_BARS = 20


class Batch(NamedTuple):
    """bars [b, length, 5] normalised, context [b, context]; returns and up [b, horizon], the targets: returns
    in volatility * sqrt(h), and 1 where they are above 0 (b x 0 where there are none to learn from).
    """

    bars: Tensor
    context: Tensor
    returns: Tensor
    up: Tensor


def normalize_window(bars: Tensor) -> Tensor:
    """Prices and volume of a window free of their level, from the window alone; [b, length, 5] in float32.

    open, high, low, close: ln(price / last close) over the standard deviation (ddof 1) of the window's log
    returns; volume: ln(1 + volume / mean of the last 20 bars up to its own within the window), 0 where
    nothing was traded. bars [b, length, 5] in float64.
    """
    logs = bars[..., :4].log()
    close = logs[..., 3]
    spread = close.diff(dim=1).std(dim=1).clamp(min=_LEAST_VOLATILITY)
    prices = (logs - close[:, -1, None, None]) / spread[:, None, None]
    volume = bars[..., 4]
    total = torch.nn.functional.pad(volume.cumsum(dim=1), (1, 0))
    last = torch.arange(1, volume.shape[1] + 1, device=bars.device)
    first = (last - _VOLUME_BARS).clamp(min=0)
    mean = (total[:, last] - total[:, first]) / (last - first)
    relative = torch.where(mean > 0, volume / mean.clamp(min=1e-300), 0.0)
    return torch.cat([prices, relative.log1p()[..., None]], dim=-1).float()


class WindowSource:
    """Windows that end at some rows of all bars [row, 5]; a batch is one gather."""

    def __init__(
        self,
        values: np.ndarray,
        rows: np.ndarray,
        *,
        length: int,
        context: np.ndarray,
        returns: np.ndarray,
        up: np.ndarray,
        device: str,
    ) -> None:
        self._values = torch.tensor(values, device=device)  # a copy: bars are read-only
        self._rows = torch.from_numpy(rows.astype(np.int64)).to(device)
        self._back = torch.arange(1 - length, 1, device=device)
        self._context = torch.from_numpy(context.astype(np.float32)).to(device)
        self._returns = torch.from_numpy(returns.astype(np.float32)).to(device)
        self._up = torch.from_numpy(up.astype(np.float32)).to(device)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Tensor) -> Batch:
        """The windows at some positions [b]."""
        bars = self._values[self._rows[index, None] + self._back]  # [b, length, 5]
        return Batch(normalize_window(bars), self._context[index], self._returns[index], self._up[index])
