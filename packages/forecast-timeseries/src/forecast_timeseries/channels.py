"""A panel as single series, one an (item, target): scaled, gaps filled, and gathered as windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from forecast_core.data import Panel
from forecast_core.data.calendar import calendar_features
from forecast_core.errors import DataError

__all__ = ["ChannelScaling", "Channels"]


@dataclass(frozen=True, eq=False)
class ChannelScaling:
    """Mean and standard deviation of each series, [channel]; channels are items by targets."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Self:
        """Of values [time, item, target]. A series without observations takes the averages of the others
        of its target; a constant one has the scale 1. DataError where a target was never observed.
        """
        observed = ~np.isnan(values)
        count = observed.sum(axis=0)  # [item, target]
        seen = count > 0
        if not seen.any(axis=0).all():
            raise DataError("data.values", "hold an observation of every target")
        filled = np.where(observed, values, 0.0).astype(np.float64)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        apart = np.where(observed, filled - mean, 0.0)
        scale = np.sqrt((apart**2).sum(axis=0) / np.maximum(count, 1))
        flat = scale <= 1e-12 * np.abs(mean)
        scale = np.where(flat, 1.0, scale)
        share = seen / seen.sum(axis=0)  # [item, target]
        mean = np.where(seen, mean, (mean * share).sum(axis=0))
        scale = np.where(seen, scale, (scale * share).sum(axis=0))
        return cls(mean=mean.reshape(-1), scale=scale.reshape(-1))  # [item*target]

    def take(self, channels: np.ndarray) -> ChannelScaling:
        """The scaling of the channels at some positions."""
        return ChannelScaling(mean=self.mean[channels], scale=self.scale[channels])


@dataclass(frozen=True, eq=False)
class Channels:
    """values [time, channel]: scaled, gaps filled with the last value before them, or with the first one
    where there is none. count [1 + time, channel]: observations before each row. first [channel]: row of
    the first observation. calendar [time, feature].
    """

    values: np.ndarray
    count: np.ndarray
    first: np.ndarray
    calendar: np.ndarray

    @classmethod
    def of(cls, panel: Panel, *, scaling: ChannelScaling, calendar: Sequence[str]) -> Self:
        """The channels of a panel's known rows, with the scaling of each."""
        known = panel.known_rows
        values = panel.values[:known].reshape(known, -1).astype(np.float64)  # [time, item*target]
        values = (values - scaling.mean) / scaling.scale
        observed = ~np.isnan(values)
        count = np.concatenate([np.zeros((1, values.shape[1]), dtype=np.int64), observed.cumsum(axis=0)])
        first = np.where(count[-1] > 0, observed.argmax(axis=0), known)
        if not observed.all():
            row = np.where(observed, np.arange(known)[:, None], 0)
            last = np.maximum(np.maximum.accumulate(row, axis=0), np.minimum(first, known - 1))
            values = np.take_along_axis(values, last, axis=0)
            values[:, first == known] = 0.0
        features = calendar_features(panel.timestamps[:known], calendar, tz=panel.tz)
        return cls(values=values, count=count, first=first, calendar=features)

    def contexts(self, rows: np.ndarray, channels: np.ndarray, *, length: int) -> np.ndarray:
        """Values [n, length] up to each row; the mean of training, 0, where nothing was observed by then."""
        at = rows[:, None] - np.arange(length - 1, -1, -1)
        values = self.values[at, channels[:, None]]
        return np.where((self.first[channels] <= rows)[:, None], values, 0.0)

    def complete(self, rows: np.ndarray, channels: np.ndarray, *, context: int, horizon: int) -> np.ndarray:
        """Whether every target and three quarters of the context were observed, [n]."""
        begin, end = self.count[rows + 1 - context, channels], self.count[rows + 1, channels]
        ahead = self.count[rows + 1 + horizon, channels] - end
        whole: np.ndarray = (ahead == horizon) & (4 * (end - begin) >= 3 * context)
        return whole
