"""The network of `trajectory/lstm`: an LSTM reads the history, a head draws the paths."""

from __future__ import annotations

import torch
from torch import nn

from forecast_traffic.trajectory.nn.paths import PathHead, Paths, histories
from forecast_traffic.trajectory.nn.tensors import PathBatch

__all__ = ["RecurrentNetwork"]


class RecurrentNetwork(nn.Module):
    """History -> LSTM -> last state; the state with each mode's own vector -> that mode's path."""

    def __init__(self, *, horizon: int, modes: int, events: int, size: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.modes = nn.Parameter(torch.randn(modes, size) * 0.5)
        self.mix = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))
        self.head = PathHead(size=size, horizon=horizon, events=events)

    def forward(self, batch: PathBatch) -> Paths:
        """Paths of all modes."""
        read = histories(batch.past, batch.known)  # [n, L, 5], unknown points 0 and marked so
        _, (state, _) = self.lstm(read)
        own = self.dropout(state[-1])  # [n, d]
        mixed = own[:, None] + self.modes
        paths: Paths = self.head(mixed + self.mix(mixed), own, batch.past)
        return paths
