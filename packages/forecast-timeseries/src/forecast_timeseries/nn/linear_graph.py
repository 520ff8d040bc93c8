"""The linear map as a graph for export: raw context in, Gaussians of every step in the same units out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from forecast_timeseries.nn.clock import clock_features

__all__ = ["RawLinear"]


class RawLinear(nn.Module):
    """Scaling, filling of gaps, the linear maps and their spread, in float64.

    gaps [gap]: lengths of the gaps at the end of a context, rising, each of which stands for those up to it;
    for each weights [gap, 1 + context + calendar, horizon], the intercept first, and spread [gap, item,
    target, horizon] in units of scale. mean, scale [item, target]; from_last: whether the last value is taken
    off the context; least_spread, resolution: bounds of sigma, in units of scale and as a share of the mean.
    """

    weights: Tensor
    targets_mean: Tensor
    targets_scale: Tensor
    sigmas: Tensor

    def __init__(
        self,
        *,
        weights: np.ndarray,
        spread: np.ndarray,
        gaps: tuple[int, ...],
        mean: np.ndarray,
        scale: np.ndarray,
        calendar: tuple[str, ...],
        from_last: bool,
        least_spread: float,
        resolution: float,
    ) -> None:
        super().__init__()
        self.calendar, self.from_last, self.resolution = calendar, from_last, resolution
        self.gaps = gaps
        sigmas = np.maximum(spread, least_spread)
        arrays = {"weights": weights, "targets_mean": mean, "targets_scale": scale, "sigmas": sigmas}
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array, dtype=np.float64)))

    def forward(
        self, target: Tensor, item: Tensor, before: Tensor, local_time: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean and sigma [n, horizon, target] of what follows target [n, context, target]."""
        mean = self.targets_mean.index_select(0, item)[:, None]  # [n, 1, target]
        scale = self.targets_scale.index_select(0, item)[:, None]
        rows = torch.cat([before[:, None], target], 1)
        context = _filled((rows - mean) / scale)[:, 1:].transpose(1, 2)  # [n, target, context]
        clock = None
        if local_time is not None:
            clock = clock_features(local_time, self.calendar).expand(-1, context.shape[1], -1)
        age = (torch.cumsum((~torch.isnan(target)).long().flip(1), 1) == 0).sum(1)[
            ..., None
        ]  # [n, target, 1]
        ahead = self._ahead(context, clock, 0)
        sigma = self.sigmas[0].index_select(0, item)  # [n, target, horizon]
        for k in range(1, len(self.gaps)):
            older = age > self.gaps[k - 1]
            ahead = torch.where(older, self._ahead(context, clock, k), ahead)
            sigma = torch.where(older, self.sigmas[k].index_select(0, item), sigma)
        means = ahead.transpose(1, 2) * scale + mean
        sigma = sigma.transpose(1, 2) * scale  # [n, horizon, target]
        return means, torch.maximum(sigma, self.resolution * means.abs())

    def _ahead(self, context: Tensor, clock: Tensor | None, k: int) -> Tensor:
        """What follows contexts [n, target, context] that end in the k-th gap, [n, target, horizon]."""
        rows, gap = context.shape[2], self.gaps[k]
        if 0 < gap < rows:
            last = context[..., rows - gap - 1 : rows - gap]
            context = torch.cat([context[..., : rows - gap], last.repeat(1, 1, gap)], -1)
        level = context[..., -1:] if self.from_last else torch.zeros_like(context[..., -1:])
        read = context - level if clock is None else torch.cat([context - level, clock], -1)
        return read @ self.weights[k, 1:] + self.weights[k, 0] + level


def _filled(values: Tensor) -> Tensor:
    """Rows [n, row, target] with gaps as the last value before them, else the first one after, else 0."""
    values = values.transpose(1, 2)  # [n, target, row]
    rows, reach = values.shape[2], 1
    while reach < rows:  # each round looks back twice as far as the one before
        earlier = nn.functional.pad(values[..., :-reach], (reach, 0), value=float("nan"))
        values = torch.where(torch.isnan(values), earlier, values)
        reach *= 2
    first = (~torch.isnan(values)).long().argmax(-1, keepdim=True)
    values = torch.where(torch.isnan(values), values.gather(-1, first), values)
    values = torch.where(torch.isnan(values), torch.zeros_like(values), values)
    return values.transpose(1, 2)
