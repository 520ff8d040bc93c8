"""What a tree sees of a series: one row a (window, step ahead), from values up to the window's origin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_core.data import Panel
from forecast_core.data.calendar import calendar_features
from forecast_timeseries.channels import ChannelScaling

__all__ = ["LagPlan", "LaggedSeries"]

_CHUNK = 65_536  # table rows made at once
_UNIT = 2.0**-20  # of a series' spread: values are whole multiples of it, so that sums are exact
_FARTHEST = 1e6  # spreads from the level; trees see no difference beyond


@dataclass(frozen=True)
class LagPlan:
    """Which columns a table has. lags: last values; means: lengths of trailing means; seasons: lengths in
    steps, of each the values at the target's phase in the last `repeats` seasons, and the mean of the
    last one's neighbours within `radius`; calendar: features of the target's time. Values are taken
    relative to the level, the mean of the last `lags` rows, and those of seasons ago to the mean of the
    `lags` rows then, too.
    """

    lags: int
    means: tuple[int, ...]
    seasons: tuple[int, ...]
    repeats: int
    radius: int
    calendar: tuple[str, ...]

    def names(self) -> tuple[str, ...]:
        """Columns of a table, in order; covariates come after these."""
        names = ["step", "level", *(f"lag_{k}" for k in range(self.lags)), *(f"mean_{n}" for n in self.means)]
        for season in self.seasons:
            names += [f"season_{season}_{k}" for k in range(1, self.repeats + 1)]
            names += [f"season_{season}_change_{k}" for k in range(1, self.repeats + 1)]
            names += [f"season_{season}_around"]
        names += [f"calendar_{name}" for name in self.calendar]
        return (*names, "item", "target")

    def reach(self, horizon: int) -> int:
        """Rows up to and with the origin that some column of a horizon depends on."""
        seasonal = [
            s * (-(-horizon // s) + self.repeats - 1) + max(self.lags, self.radius) for s in self.seasons
        ]
        return max(self.lags, *self.means, *seasonal, 1)


class LaggedSeries:
    """The series of a panel, one an (item, target), ready to be looked up: scaled, with running sums.

    codes [channel, 2]: position in training of each series' item and target. Values are rounded to a
    millionth of the series' spread, so that a mean is the same wherever the panel begins.
    """

    def __init__(self, panel: Panel, plan: LagPlan, *, scaling: ChannelScaling, codes: np.ndarray) -> None:
        known = panel.known_rows
        self.plan, self.codes, self.targets = plan, codes, len(panel.target_names)
        raw = panel.values[:known].reshape(known, -1).astype(np.float64)  # [time, channel]
        self.values = np.rint((raw - scaling.mean) / scaling.scale / _UNIT) * _UNIT
        observed = ~np.isnan(self.values)
        seen = np.where(observed, self.values, 0.0)
        whole = np.rint(_near(seen) / _UNIT).astype(np.int64)
        self._sum, self._count = _until(whole), _until(observed)
        beyond = seen - whole * _UNIT
        self._beyond = _until(beyond) if beyond.any() else None
        at = np.maximum.accumulate(np.where(observed, np.arange(known)[:, None], 0), axis=0)
        self._last = np.take_along_axis(seen, at, axis=0)
        self._past, self._future = panel.past_covariates, panel.future_covariates
        self._static = panel.static_covariates
        self._times, self._tz, self._freq = panel.timestamps, panel.tz, panel.freq

    def level(self, rows: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Mean of the values observed in the last `lags` rows, [n]; where there are none the last value
        before, or 0, the mean of training.
        """
        mean = self._trailing(rows, channels, self.plan.lags)
        return np.where(np.isnan(mean), self._last[rows, channels], mean)

    def change(self, rows: np.ndarray, channels: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """What the value some steps after each row differs by from the level, [n]; NaN where missing."""
        return _near(self.values[rows + steps, channels] - self.level(rows, channels))

    def table(self, rows: np.ndarray, channels: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Columns of each (row of the origin, channel, step ahead), all [n]: [n, column] in float32; after
        those of the plan past, future and static covariates.
        """
        covariates = (self._past, self._future, self._static)
        width = len(self.plan.names()) + sum(c.shape[-1] for c in covariates if c is not None)
        out = np.empty((len(rows), width), dtype=np.float32)
        for at in range(0, len(rows), _CHUNK):
            part = slice(at, at + _CHUNK)
            self._fill(out[part], rows[part], channels[part], steps[part])
        return out

    def _fill(self, out: np.ndarray, rows: np.ndarray, channels: np.ndarray, steps: np.ndarray) -> None:
        plan, column = self.plan, 0

        def put(values: np.ndarray) -> None:
            nonlocal column
            width = 1 if values.ndim == 1 else values.shape[1]
            out[:, column : column + width] = values.reshape(len(values), width)
            column += width

        level = self.level(rows, channels)
        put(steps)
        put(_near(level))
        back = rows[:, None] - np.arange(plan.lags)  # [n, lag]
        put(_near(self._at(back, channels[:, None]) - level[:, None]))
        for length in plan.means:
            put(_near(self._trailing(rows, channels, length) - level))
        for season in plan.seasons:
            seasons = -(-steps // season)[:, None] + np.arange(plan.repeats)  # [n, repeat], at least one
            back = season * seasons
            at = (rows + steps)[:, None] - back
            then = self._at(at, channels[:, None])
            origin = np.maximum(rows[:, None] - back, 0)
            put(_near(then - level[:, None]))
            put(_near(then - self._trailing(origin, channels[:, None], plan.lags)))
            begin, end = at[:, 0] - plan.radius, np.minimum(at[:, 0] + plan.radius, rows) + 1
            around = self._mean(np.maximum(begin, 0), np.maximum(end, 0), channels)
            put(_near(around - level))
        if plan.calendar:
            put(self._calendar(rows + steps))
        item = channels // self.targets
        put(self.codes[channels])
        if self._past is not None:
            put(self._past[rows, item])
        if self._future is not None:
            put(self._future[rows + steps, item])
        if self._static is not None:
            put(self._static[item])

    def _at(self, rows: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Values; NaN before the first row."""
        return np.where(rows >= 0, self.values[np.maximum(rows, 0), channels], np.nan)

    def _trailing(self, rows: np.ndarray, channels: np.ndarray, length: int) -> np.ndarray:
        """Mean of the values observed in the last `length` rows up to each; NaN where there are none."""
        return self._mean(np.maximum(rows + 1 - length, 0), rows + 1, channels)

    def _mean(self, begin: np.ndarray, end: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Mean of the observed values of rows begin..end - 1; NaN where there are none."""
        count = self._count[end, channels] - self._count[begin, channels]
        total = (self._sum[end, channels] - self._sum[begin, channels]) * _UNIT
        if self._beyond is not None:
            total = total + (self._beyond[end, channels] - self._beyond[begin, channels])
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _calendar(self, rows: np.ndarray) -> np.ndarray:
        """Features [n, feature] of rows, which may lie past the end."""
        distinct, where = np.unique(rows, return_inverse=True)
        times = self._freq.shift(self._times[0], distinct)
        return calendar_features(times, self.plan.calendar, tz=self._tz)[where]


def _near(units: np.ndarray) -> np.ndarray:
    near: np.ndarray = np.clip(units, -_FARTHEST, _FARTHEST)
    return near


def _until(values: np.ndarray) -> np.ndarray:
    """Sums of the rows before each, and of all, [1 + time, channel]."""
    sums: np.ndarray = values.cumsum(axis=0)
    return np.concatenate([np.zeros_like(sums[:1]), sums])
