"""The linear map as a graph for export: raw context in, Gaussians of every step in the same units out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from forecast_timeseries.nn.clock import clock_features

__all__ = ["RawLinear"]


class RawLinear(nn.Module):
    """Scaling, filling of gaps, the linear map and its spread, in float64.

    weights [1 + context + calendar, horizon], the intercept first; spread [item, target, horizon] in units of
    scale; mean, scale [item, target]; from_last: whether the last value is taken off the context;
    least_spread, resolution: bounds of sigma, in units of scale and as a share of the mean.
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
        mean: np.ndarray,
        scale: np.ndarray,
        calendar: tuple[str, ...],
        from_last: bool,
        least_spread: float,
        resolution: float,
    ) -> None:
        super().__init__()
        self.calendar, self.from_last, self.resolution = calendar, from_last, resolution
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
        level = context[..., -1:] if self.from_last else torch.zeros_like(context[..., -1:])
        read = context - level
        if local_time is not None:
            clock = clock_features(local_time, self.calendar)  # [n, 1, calendar]
            read = torch.cat([read, clock.expand(-1, read.shape[1], -1)], -1)
        ahead = read @ self.weights[1:] + self.weights[0] + level  # [n, target, horizon]
        means = ahead.transpose(1, 2) * scale + mean
        sigma = self.sigmas.index_select(0, item).transpose(1, 2) * scale  # [n, horizon, target]
        return means, torch.maximum(sigma, self.resolution * means.abs())


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
