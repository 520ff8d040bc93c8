"""A panel as single series, one an (item, target): scaled, gaps filled, and gathered as windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from forecast_core.data import Panel
from forecast_core.data.calendar import calendar_features
from forecast_core.errors import DataError

__all__ = ["ChannelScaling", "Channels", "check_size", "completed"]

_LARGEST = 1e150


@dataclass(frozen=True, eq=False)
class ChannelScaling:
    """Mean and standard deviation of each series, [channel]; channels are items by targets."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, *, spans: np.ndarray) -> Self:
        """Of values [time, item, target] in the rows and items of `spans` [rows, item]; see `completed` for
        series that never change there. DataError where a target was never observed, or a value is too large.
        """
        values = values[: len(spans)]
        check_size(values)
        observed = ~np.isnan(values) & spans[..., None]
        count = observed.sum(axis=0)  # [item, target]
        seen = count > 0
        if not seen.any(axis=0).all():
            raise DataError("data.values", "hold an observation of every target")
        filled = np.where(observed, values, 0.0).astype(np.float64)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        apart = np.where(observed, filled - mean, 0.0)
        scale = np.sqrt((apart**2).sum(axis=0) / np.maximum(count, 1))
        varies = scale > 1e-12 * np.abs(mean)
        mean, scale = completed(mean, scale, seen=seen, varies=varies)
        return cls(mean=mean.reshape(-1), scale=scale.reshape(-1))  # [item*target]

    def take(self, channels: np.ndarray) -> ChannelScaling:
        """The scaling of the channels at some positions."""
        return ChannelScaling(mean=self.mean[channels], scale=self.scale[channels])


@dataclass(frozen=True, eq=False)
class Channels:
    """values [time, channel]: scaled, gaps filled with the last value before them, or with the first one
    where there is none. count [1 + time, channel]: observations before each row. first [channel]: row of
    the first observation. age [time, channel]: rows since the last one. calendar [time, feature].
    """

    values: np.ndarray
    count: np.ndarray
    first: np.ndarray
    age: np.ndarray
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
        age = np.broadcast_to(0, values.shape)
        if not observed.all():
            rows = np.arange(known)[:, None]
            last = np.maximum.accumulate(np.where(observed, rows, 0), axis=0)
            age = np.where(first <= rows, rows - last, known)
            values = np.take_along_axis(values, np.maximum(last, np.minimum(first, known - 1)), axis=0)
            values[:, first == known] = 0.0
        features = calendar_features(panel.timestamps[:known], calendar, tz=panel.tz)
        return cls(values=values, count=count, first=first, age=age, calendar=features)

    def contexts(self, rows: np.ndarray, channels: np.ndarray, *, length: int, gap: int = 0) -> np.ndarray:
        """Values [n, length] up to each row, the last `gap` of them taken for missing; the mean of training,
        0, where nothing was observed by then.
        """
        at = rows[:, None] - np.maximum(np.arange(length - 1, -1, -1), gap)
        values = self.values[at, channels[:, None]]
        return np.where((self.first[channels] <= rows)[:, None], values, 0.0)

    def complete(self, rows: np.ndarray, channels: np.ndarray, *, context: int, horizon: int) -> np.ndarray:
        """Whether every target and three quarters of the context were observed, [n]."""
        begin, end = self.count[rows + 1 - context, channels], self.count[rows + 1, channels]
        ahead = self.count[rows + 1 + horizon, channels] - end
        whole: np.ndarray = (ahead == horizon) & (4 * (end - begin) >= 3 * context)
        return whole


def check_size(values: np.ndarray) -> None:
    """DataError for a value [time, item, target] whose square is no number."""
    large = np.abs(values) > _LARGEST
    if large.any():
        place = tuple(np.argwhere(large)[0].tolist())
        rule = f"lie within {-_LARGEST:g}..{_LARGEST:g}, so that their squares are numbers"
        raise DataError("data.values", rule, place=f"index {place}", got=values[place])


def completed(
    shift: np.ndarray, scale: np.ndarray, *, seen: np.ndarray, varies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of all series, each [item, target], from those of the series that vary.

    A series that was seen but never changed is scaled by as large a share of its value as the others of its
    target are of theirs, by all of it at most; where its value is 0, by their average. One that was not seen
    takes the averages of the others. Where none varies the share is 1, and so is the scale of a series at 0.
    """

    def average(values: np.ndarray, among: np.ndarray) -> np.ndarray:  # [target]
        share = among / np.maximum(among.sum(axis=0), 1)
        found: np.ndarray = (np.where(among, values, 0.0) * share).sum(axis=0)
        return found

    size, spread = average(np.abs(shift), varies), average(scale, varies)
    share = np.divide(spread, size, out=np.ones_like(size), where=(size > spread))
    flat = share * np.abs(shift)
    flat = np.where(flat > 0.0, flat, np.where(spread > 0.0, spread, 1.0))
    scale = np.where(varies, scale, flat)
    return np.where(seen, shift, average(shift, seen)), np.where(seen, scale, average(scale, seen))
