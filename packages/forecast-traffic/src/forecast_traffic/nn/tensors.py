"""A graph panel as tensors, and batches of windows of the whole network as one gather from each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from forecast_traffic.graph.clock import clock
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.nn.scaling import NetworkScaling

__all__ = ["NetworkBatch", "NetworkTensors", "OriginSource", "WeatherBatch"]


class WeatherBatch(NamedTuple):
    """Weather of the horizon: values [B, H, W] or [B, H, N, W], scaled, 0 where unknown; kind [B, H] or
    [B, H, N], the type's id (-1 where unknown); known [B, H] or [B, H, N].
    """

    values: Tensor
    kind: Tensor
    known: Tensor


class NetworkBatch(NamedTuple):
    """B windows of the whole network, T rows of context and H ahead.

    context [B, T, N, 2C]: scaled values, 0 where missing, then 1 where observed and 0 where not. clock
    [B, T + H, 4]: slot of the day, weekday, week of the year, event. targets [B, H, N, C], scaled; observed
    [B, H, N, C]. weather: None where there is none.
    """

    context: Tensor
    clock: Tensor
    targets: Tensor
    observed: Tensor
    weather: WeatherBatch | None


class NetworkTensors:
    """A panel's known rows, scaled, as float32 [time, N, 2C]; clock and weather reach `extra` rows further.

    Weather and events that the panel does not hold so far ahead are unknown, and none.
    """

    def __init__(
        self, panel: GraphPanel, *, scaling: NetworkScaling, extra: int, device: str = "cpu"
    ) -> None:
        known = panel.known_rows
        self.rows = known + extra
        values = scaling.values(panel.values[:known])
        observed = panel.mask[:known]
        table = np.zeros((self.rows, *values.shape[1:-1], 2 * values.shape[-1]), dtype=np.float32)
        table[:known] = np.concatenate([np.where(observed, values, 0.0), observed], axis=2)
        self.values = torch.from_numpy(table).to(device)
        times = panel.freq.range(panel.timestamps[0], self.rows)
        events = _padded(np.zeros(len(panel)) if panel.event_ids is None else panel.event_ids, self.rows)
        whole = np.concatenate([clock(times, panel.freq, panel.calendar), events[:, None]], axis=1)
        self.clock = torch.from_numpy(whole.astype(np.int64)).to(device)
        self.weather: tuple[Tensor, Tensor, Tensor] | None = None
        if panel.weather is not None:
            self.weather = _weather(panel, scaling, rows=self.rows, device=device)

    def source(
        self, origins: np.ndarray, *, context: int, horizon: int, ahead: int | None = None
    ) -> OriginSource:
        """Windows whose last known rows are `origins` [n]; weather and events are known for `ahead` steps
        (default: the horizon).
        """
        return OriginSource(self, origins, context=context, horizon=horizon, ahead=ahead or horizon)


class OriginSource:
    """Index windows over `NetworkTensors`: a batch is one gather from each tensor.

    Values and clock are seen as one long row a window, overlapping and not copied, so that gathering a window
    copies one stretch of memory.
    """

    def __init__(
        self, tensors: NetworkTensors, origins: np.ndarray, *, context: int, horizon: int, ahead: int
    ) -> None:
        self.context, self.horizon, self.ahead = context, horizon, ahead
        starts = np.asarray(origins, dtype=np.int64) - context + 1
        self.starts = torch.from_numpy(starts).to(tensors.values.device)
        self.nodes, self.width = tensors.values.shape[1:]
        self.values = _overlapping(tensors.values.flatten(1), context + horizon)
        self.clock = _overlapping(tensors.clock, context + horizon)
        self.weather = tensors.weather

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, index: Tensor) -> NetworkBatch:
        """The windows at some positions."""
        starts = self.starts[index]
        n, length = len(starts), self.context + self.horizon
        values = self.values.index_select(0, starts).view(n, length, self.nodes, self.width)
        times = self.clock.index_select(0, starts).view(n, length, -1)
        later, channels = values[:, self.context :], self.width // 2
        if self.ahead < self.horizon:
            times = times.clone()
            times[:, self.context + self.ahead :, 3] = 0
        return NetworkBatch(
            values[:, : self.context],
            times,
            later[..., :channels],
            later[..., channels:] > 0,
            self._weather(starts),
        )

    def _weather(self, starts: Tensor) -> WeatherBatch | None:
        if self.weather is None:
            return None
        steps = torch.arange(self.horizon, device=starts.device)
        at = starts[:, None] + self.context + steps  # [B, H]
        values, kind, known = (each[at] for each in self.weather)
        within = (steps < self.ahead).view(-1, *[1] * (known.ndim - 2))  # [H] or [H, 1]
        known = known & within
        return WeatherBatch(values * known[..., None], kind, known)


def _weather(
    panel: GraphPanel, scaling: NetworkScaling, *, rows: int, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled values, type and whether known, by row."""
    assert panel.weather is not None
    values = scaling.weather(panel.weather)
    known = ~np.isnan(values).any(axis=-1)
    values = np.where(known[..., None], values, 0.0)
    kinds = np.full(known.shape, -1) if panel.weather_type is None else panel.weather_type
    arrays = (values.astype(np.float32), kinds.astype(np.int64), known)
    tensors = [torch.from_numpy(_padded(array, rows)).to(device) for array in arrays]
    return tensors[0], tensors[1], tensors[2]


def _padded(array: np.ndarray, rows: int) -> np.ndarray:
    """The first `rows` rows, and zeros where there are fewer."""
    out = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    out[: len(array)] = array[:rows]
    return out


def _overlapping(table: Tensor, length: int) -> Tensor:
    """[rows, width] -> [rows - length + 1, length * width], each row `length` rows of the table; a view."""
    rows, width = table.shape
    return table.as_strided((rows - length + 1, length * width), (width, 1))
