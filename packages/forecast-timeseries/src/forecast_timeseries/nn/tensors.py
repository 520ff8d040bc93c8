"""A panel as two tensors, and batches of windows as one gather from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from forecast_core.data import Panel
from forecast_core.data.calendar import calendar_features
from forecast_timeseries.nn.scaling import PanelScaling

__all__ = ["Layout", "Scaled", "SeriesTensors", "WindowBatch", "WindowSource"]


@dataclass(frozen=True)
class Layout:
    """How many columns of each sort a panel's tensor has, in this order: targets, whether each target
    was observed, lagged targets, whether each of them was observed, past covariates, whether each of
    them was observed, future covariates; and the calendar's columns in the tensor of the clock.
    """

    targets: int
    lags: int
    past: int
    future: int
    calendar: int
    static: int

    @property
    def known_ahead(self) -> int:
        """Columns known for the horizon, the clock's apart: lagged targets and future covariates."""
        return 2 * self.targets * self.lags + self.future

    @property
    def width(self) -> int:
        """Columns of an item's tensor."""
        return 2 * self.targets + 2 * self.targets * self.lags + 2 * self.past + self.future


class WindowBatch(NamedTuple):
    """n windows: series [n, context + horizon, width], clock [n, context + horizon, calendar], items [n],
    static [n, s]. Missing numbers are 0, with 0 in the column that says whether they were observed.
    """

    series: Tensor
    clock: Tensor
    items: Tensor
    static: Tensor


class Scaled(NamedTuple):
    """Output in normalised units [n, horizon, target, out], and what turns it back to the units of the
    tensors: value = output * scale + shift, both [n, 1, target]; truth [n, horizon, target] and whether
    it was observed.
    """

    output: Tensor
    shift: Tensor
    scale: Tensor
    truth: Tensor
    observed: Tensor


class SeriesTensors:
    """A panel's scaled numbers as float32 tensors, laid out so that a window is one slice.

    series [item, time, width], clock [time, calendar]; both reach `extra` rows past the known end, where
    targets are unobserved, lags and future covariates as far as they are known, and the clock goes on.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        scaling: PanelScaling,
        lags: Sequence[int],
        calendar: Sequence[str],
        extra: int,
        device: str = "cpu",
    ) -> None:
        known = panel.known_rows
        self.rows = known + extra
        values = _padded(scaling.apply("targets", panel.values[:known]), self.rows, np.nan)
        columns = [values]
        for lag in lags:
            shifted = np.full_like(values, np.nan)
            shifted[lag:] = values[:-lag]
            columns.append(shifted)
        targets = values.shape[2]
        groups = [_with_mask(columns[0])]
        groups += [_with_mask(np.concatenate(columns[1:], axis=2))] if lags else []
        past = future = 0
        if panel.past_covariates is not None:
            past = panel.past_covariates.shape[2]
            groups.append(
                _with_mask(_padded(scaling.apply("past", panel.past_covariates[:known]), self.rows, np.nan))
            )
        if panel.future_covariates is not None:
            future = panel.future_covariates.shape[2]
            groups.append(
                _padded(scaling.apply("future", panel.future_covariates[: self.rows]), self.rows, 0.0)
            )
        static = panel.static_covariates
        if static is not None:
            static = scaling.apply("static", static)
        self.layout = Layout(
            targets, len(lags), past, future, len(calendar), 0 if static is None else static.shape[1]
        )
        joined = groups[0] if len(groups) == 1 else np.concatenate(groups, axis=2)
        stacked = joined.transpose(1, 0, 2)  # [item, time, width]
        times = panel.freq.range(panel.timestamps[0], self.rows)
        clock = calendar_features(times, calendar, tz=panel.tz)
        empty = np.zeros((len(panel.item_ids), 0))
        self.series = _tensor(stacked, device)
        self.clock = _tensor(clock, device)
        self.static = _tensor(empty if static is None else static, device)

    def source(self, rows: np.ndarray, items: np.ndarray, *, context: int, horizon: int) -> WindowSource:
        """Windows whose last known rows are `rows`, of `items`."""
        return WindowSource(self, rows, items, context=context, horizon=horizon)


class WindowSource:
    """Index windows over `SeriesTensors`; a batch is one gather from the series and one from the clock.

    Both tensors are seen as one long row a window, overlapping and not copied, so that gathering a window
    copies one stretch of memory.
    """

    def __init__(
        self, tensors: SeriesTensors, rows: np.ndarray, items: np.ndarray, *, context: int, horizon: int
    ) -> None:
        device = tensors.series.device
        self.layout = tensors.layout
        self.length, self.rows = context + horizon, tensors.rows
        self.static = tensors.static
        self.starts = torch.from_numpy(np.asarray(rows, dtype=np.int64) - context + 1).to(device)
        self.items = torch.from_numpy(np.asarray(items, dtype=np.int64)).to(device)
        self.series = _overlapping(tensors.series.flatten(0, 1), self.length)
        self.clock = _overlapping(tensors.clock, self.length)

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, index: Tensor) -> WindowBatch:
        """The windows at some positions."""
        starts, items = self.starts[index], self.items[index]
        series = self.series.index_select(0, items * self.rows + starts)  # [n, length * width]
        clock = self.clock.index_select(0, starts)  # [n, length * calendar]
        shape = (len(starts), self.length, -1)
        return WindowBatch(
            series.view(shape),
            clock.view(shape) if clock.shape[1] else clock.new_zeros((len(starts), self.length, 0)),
            items,
            self.static.index_select(0, items),
        )


def _overlapping(table: Tensor, length: int) -> Tensor:
    """[rows, width] -> [rows - length + 1, length * width], each row `length` rows of the table; a view."""
    rows, width = table.shape
    return table.as_strided((rows - length + 1, length * width), (max(width, 1), 1))


def _tensor(array: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


def _padded(array: np.ndarray, rows: int, fill: float) -> np.ndarray:
    out = np.full((rows, *array.shape[1:]), fill)
    out[: len(array)] = array
    return out


def _with_mask(array: np.ndarray) -> np.ndarray:
    observed = ~np.isnan(array)
    return np.concatenate([np.where(observed, array, 0.0), observed], axis=2)
