"""Tracks as tensors, and batches of windows as gathers from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from forecast_traffic.trajectory.events import event_labels
from forecast_traffic.trajectory.neighbours import nearest
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["PathBatch", "PathSource"]

_STILL = 1e-6  # metres a step, below which there is no direction


class PathBatch(NamedTuple):
    """n windows in the frame of their own last motion: metres ahead of and left of the last known position.

    past [n, L, 2], known [n, L]; others [n, k, L, 2], others_known [n, k, L]: the nearest, 0 where unknown;
    future [n, h, 2] and events [n, e], NaN where not told. origin, heading [n, 2]: the frame in the world.
    """

    past: Tensor
    known: Tensor
    others: Tensor
    others_known: Tensor
    future: Tensor
    events: Tensor
    origin: Tensor
    heading: Tensor


class PathSource:
    """Index windows over flat rows; a batch is a gather of histories, of the others', and of what follows.

    labels [n, e]: events of all windows, none unless `labelled`.
    """

    def __init__(
        self,
        windows: TrackWindows,
        *,
        length: int,
        radius: float,
        limit: int,
        labelled: bool,
        device: str = "cpu",
    ) -> None:
        data = windows.data
        first, last = data.run_of_row
        self.length, self.horizon, self.labelled = length, windows.horizon, labelled

        def moved(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self._xy, self._first, self._last = moved(data.xy.copy()), moved(first.copy()), moved(last.copy())
        self._rows = moved(windows.rows.astype(np.int64))
        self._lengths = moved(np.minimum(windows.lengths, length).astype(np.int64))
        near = (
            nearest(data, windows.rows, radius=radius, limit=limit) if limit else np.zeros((len(windows), 0))
        )
        self._others = moved(near.astype(np.int64))
        events = event_labels(windows) if labelled else np.zeros((len(windows), 0))
        self.labels = events
        self._events = moved(events.astype(np.float32))
        self._back = torch.arange(length - 1, -1, -1, device=device)
        self._ahead = torch.arange(1, windows.horizon + 1, device=device)

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, index: Tensor) -> PathBatch:
        """The windows at some positions."""
        rows, lengths = self._rows[index], self._lengths[index]
        origin = self._xy[rows]  # [n, 2]
        move = origin - self._xy[torch.where(lengths > 1, rows - 1, rows)]
        size = torch.linalg.vector_norm(move, dim=-1, keepdim=True)
        axis = torch.tensor([1.0, 0.0], dtype=move.dtype, device=move.device)
        heading = torch.where(size > _STILL, move / size.clamp_min(_STILL), axis)

        def local(points: Tensor, seen: Tensor) -> Tensor:
            """Points [n, ..., 2] in each window's frame, 0 where not seen, in float32."""
            shape = (len(rows), *(1,) * (points.dim() - 2), 2)
            apart = points - origin.view(shape)
            cos, sin = heading.view(shape).unbind(-1)
            ahead = cos * apart[..., 0] + sin * apart[..., 1]
            left = cos * apart[..., 1] - sin * apart[..., 0]
            return (torch.stack([ahead, left], -1) * seen[..., None]).float()

        known = self._back < lengths[:, None]
        past = local(self._xy[(rows[:, None] - self._back).clamp_min(0)], known)
        others = self._others[index]  # [n, k]
        there = others.clamp_min(0)
        at = there[..., None] - self._back  # [n, k, L]
        others_known = (others >= 0)[..., None] & (at >= self._first[there][..., None])
        # A window told to look back less far does so for everybody.
        others_known &= known[:, None, :]
        around = local(self._xy[at.clamp_min(0)], others_known)
        future = self._future(rows, local)
        return PathBatch(past, known, around, others_known, future, self._events[index], origin, heading)

    def _future(self, rows: Tensor, local: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        if not self.labelled:
            return torch.zeros(len(rows), 0, 2, device=rows.device)
        at = rows[:, None] + self._ahead
        seen = at <= self._last[rows][:, None]
        points = local(self._xy[torch.minimum(at, self._last[rows][:, None])], seen)
        result: Tensor = torch.where(seen[..., None], points, torch.nan)
        return result
