"""What networks of paths share: the form of their answer, the head that gives it, varied training windows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from forecast_traffic.trajectory.nn.tensors import PathBatch

__all__ = ["SCALE", "PathHead", "Paths", "histories", "varied"]

SCALE = 4.0
"""Metres that count as one inside a network."""


class Paths(NamedTuple):
    """In each window's own frame, metres: means [n, k, h, 2]; log_scales [n, k, h, 2] and correlation
    [n, k, h] of each ellipse; logits [n, k] of the modes; events [n, e] logits.
    """

    means: Tensor
    log_scales: Tensor
    correlation: Tensor
    logits: Tensor
    events: Tensor


class PathHead(nn.Module):
    """A token for each mode -> its path, as what it adds to going on at the present velocity."""

    def __init__(self, *, size: int, horizon: int, events: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.path = nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, horizon * 5))
        self.logit = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 1))
        self.happens = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, events))

    def forward(self, modes: Tensor, own: Tensor, past: Tensor) -> Paths:
        """modes [n, k, d]; own [n, d]: the road user's state; past [n, L, 2]: its known positions."""
        out = torch.unflatten(self.path(modes), -1, (self.horizon, 5))  # [n, k, h, 5]
        steps = torch.arange(1, self.horizon + 1, device=out.device)
        velocity = (past[:, -1] - past[:, -2])[:, None, None]  # [n, 1, 1, 2], metres a step
        return Paths(
            means=out[..., :2] * SCALE + velocity * steps[:, None],
            log_scales=out[..., 2:4].clamp(-6.0, 5.0),
            correlation=0.95 * torch.tanh(out[..., 4]),
            logits=self.logit(modes)[..., 0],
            events=self.happens(own),
        )


def histories(points: Tensor, known: Tensor) -> Tensor:
    """Points [..., L, 2] as inputs [..., L, 5]: position, last step, and whether it is known."""
    steps = torch.zeros_like(points)
    both = known[..., 1:] & known[..., :-1]
    steps[..., 1:, :] = (points[..., 1:, :] - points[..., :-1, :]) * both[..., None]
    return torch.cat([points / SCALE, steps, known[..., None].to(points.dtype)], -1)


def varied(batch: PathBatch, stretch: float) -> PathBatch:
    """The batch with each window mirrored or not, and stretched by up to e^stretch either way, at random."""
    shape, device = (len(batch.past), 1, 1), batch.past.device
    flip = torch.where(torch.rand(shape, device=device) < 0.5, -1.0, 1.0)
    size = torch.exp(stretch * (2.0 * torch.rand(shape, device=device) - 1.0))
    factor = torch.cat([size, flip * size], -1)  # [n, 1, 2]
    return batch._replace(
        past=batch.past * factor, others=batch.others * factor[:, None], future=batch.future * factor
    )
