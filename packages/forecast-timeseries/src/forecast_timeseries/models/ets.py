"""`timeseries/ets`: exponential smoothing, its form chosen for each series, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from statsforecast.models import AutoETS

from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError, InvalidInputError
from forecast_timeseries.configs import ETSConfig
from forecast_timeseries.per_series import PerSeriesForecaster
from forecast_timeseries.smoothing import Smoothing

__all__ = ["ETS"]

_LEAST_ROWS = 10  # from the first observation to the last; fewer cannot carry a damped trend
_LEAST_ROWS_A_SEASON = 2
_LONGEST_SEASON = 24  # that exponential smoothing carries along itself
_ROWS, _SEASONS = 200, 10  # of a context, where nothing else is asked
_SMOOTHED = 5000  # rows that are smoothed, at most, once a long season is taken off
_LEAST_SPREAD = 1e-12  # of a prediction, as a share of the series where that is above 1
_UNIT = 2.0**-30  # of a series' spread, so that shifted and scaled series are fitted on equal numbers
_FLAT = 1e-12  # spread of a constant series, as a share of its values
_NARROW = 1e-3  # spread as a share of the level, below which an error in proportion says nothing else


class ETS(PerSeriesForecaster):
    """Exponential smoothing of each series alone, fitted when it is asked: the form with the least AICc.

    Only the last `context_length` rows are used. Gaps within them are filled along a straight line, which
    makes errors look smaller where many are; rows before the first observation are left out; rows missing
    at the end count as steps ahead. A series with fewer than ten rows left is answered as `series/naive`
    does.

    A season of at most 24 steps is a part of the form. A longer one is taken off first, as the same
    throughout the context (each place's mean distance from a centred moving average), and the last 5,000
    rows of the rest are smoothed; the spread is widened for what the season took of it, by (k + 1) / (k - 1)
    in variance for k seasons. With fewer than two seasons in the context there is none.

    Multiplicative errors and seasons are looked at where every value is positive and the spread is at least
    a thousandth of the level. Quantiles come from the fitted states, in closed form where errors and season
    are additive, else from simulated paths: in statsforecast's own intervals the width of a step ahead
    depends on how many more are asked for.

    Sources: Hyndman, Koehler, Ord & Snyder 2008, Forecasting with Exponential Smoothing; Hyndman &
    Athanasopoulos 2021, Forecasting: Principles and Practice, section 3.4 (classical decomposition).
    """

    config_class: ClassVar[type[ModelConfig]] = ETSConfig

    config: ETSConfig

    def _season(self, panel: Panel) -> int:
        season = self.config.seasonality or panel.freq.seasonality
        if season > _LONGEST_SEASON and self.config.form[2] == "M":
            raise InvalidInputError(
                "form",
                f"has no multiplicative season of more than {_LONGEST_SEASON} steps",
                got=f"{self.config.form} with a season of {season}",
                hint="choose form='ZZZ', or a shorter seasonality",
            )
        return season if self.config.form[2] != "N" else 1

    def _context_rows(self, data: Panel) -> int:
        return max(_LEAST_ROWS, _LEAST_ROWS_A_SEASON * self._season(data))

    def _quantiles_of(self, windows: PanelWindows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        panel, levels = windows.panel, np.array(self.config.quantile_levels)
        season = self._season(panel)
        length = self.config.context_length or max(_ROWS, _SEASONS * season)
        targets = len(panel.target_names)
        values = np.empty((len(windows), windows.horizon, targets, len(levels)))
        short = np.zeros((len(windows), targets), dtype=np.bool_)
        for k, (row, item) in enumerate(zip(windows.rows.tolist(), windows.items.tolist(), strict=True)):
            recent = panel.values[max(row + 1 - length, 0) : row + 1, item].astype(np.float64)
            for target in range(targets):
                series, late = _filled(recent[:, target])
                if len(series) < _LEAST_ROWS:
                    short[k, target] = True
                    continue
                try:
                    fitted = _fit(series, season=season, form=self.config.form, damped=self.config.damped)
                    values[k, :, target] = fitted.quantiles(levels, steps=late + windows.horizon)[late:]
                except _UnfittedError as error:
                    raise DataError(
                        "data",
                        f"can be smoothed by the form {self.config.form}",
                        place=f"{panel.target_names[target]} of {panel.item_ids[item]!r} up to "
                        f"{panel.timestamps[row]}",
                        got=str(error),
                        hint="choose another form, or a longer context_length",
                    ) from error
        return levels, values, short


class _UnfittedError(Exception):
    """No model could be fitted to a series."""


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A model of (series - season - shift) / scale; season [m]: that of the steps after the series."""

    smoothing: Smoothing
    season: np.ndarray
    shift: float
    scale: float

    def quantiles(self, levels: np.ndarray, *, steps: int) -> np.ndarray:
        """[step, level], in the series' unit."""
        found = self.smoothing.quantiles(levels, steps=steps) * self.scale + self.shift
        if not np.isfinite(found).all():
            raise _UnfittedError("a forecast beyond all bounds")
        ahead = self.season[np.arange(steps) % len(self.season)]
        quantiles: np.ndarray = found + ahead[:, None]
        return quantiles


def _filled(series: np.ndarray) -> tuple[np.ndarray, int]:
    """A series [time] from its first to its last observation, without gaps; rows after the last."""
    seen = np.flatnonzero(~np.isnan(series))
    if not len(seen):
        return series[:0], 0
    within = np.arange(seen[0], seen[-1] + 1)
    return np.interp(within, seen, series[seen]), len(series) - 1 - int(seen[-1])


def _pattern(series: np.ndarray, season: int) -> np.ndarray:
    """What each place in a season adds, [season], first that of the first row: the mean of what a centred
    moving average leaves of a series [time] of two seasons or more.
    """
    centred = series - series.mean()
    sums = np.cumsum(np.append(0.0, centred))
    average = (sums[season:] - sums[:-season]) / season  # [time - season + 1]
    if season % 2 == 0:
        average = (average[1:] + average[:-1]) / 2.0
    rows = np.arange(len(average)) + season // 2
    total = np.bincount(rows % season, weights=centred[rows] - average, minlength=season)
    added = total / np.bincount(rows % season, minlength=season)
    return np.asarray(added - added.mean())


def _fit(series: np.ndarray, *, season: int, form: str, damped: bool | None) -> _Fitted:
    """The model of a series [time] without gaps."""
    seasons = len(series) / season
    pattern, widened = np.zeros(1), 1.0
    if season > _LONGEST_SEASON and seasons >= _LEAST_ROWS_A_SEASON:
        found = _pattern(series, season)
        at = np.arange(len(series) + season) % season
        pattern = found[at[-season:]]
        series = (series - found[at[:-season]])[-_SMOOTHED:]
        widened = (seasons + 1.0) / (seasons - 1.0)
    if season > _LONGEST_SEASON or len(series) < max(_LEAST_ROWS_A_SEASON * season, season + _LEAST_ROWS):
        season = 1
    mean, std = float(series.mean()), float(series.std())
    if form[0] == "M" and series.min() <= 0:
        raise _UnfittedError("values that are not positive")
    flat = std <= _FLAT * np.abs(series).max()
    additive = form[0] == "A" or (form[0] == "Z" and (series.min() <= 0 or std < _NARROW * mean))
    shift = mean if flat or additive else 0.0
    scale = 1.0 if flat else std if additive else mean
    unit = _UNIT * (1.0 if flat else std)
    units = np.zeros_like(series) if flat else np.rint((series - shift) / unit) * (unit / scale)
    form = form if season > 1 else form[:2] + "N"
    try:
        with np.errstate(all="ignore"):
            fitted = AutoETS(season_length=season, model=form, damped=damped).fit(units).model_
    except Exception as error:  # the library raises nothing narrower
        raise _UnfittedError(str(error)) from error
    smoothing = Smoothing.of(fitted)
    least = _LEAST_SPREAD * (max(np.abs(series).max(), 1.0) / scale if smoothing.error == "A" else 1.0)
    variance = max(smoothing.variance * widened, least**2)
    return _Fitted(replace(smoothing, variance=variance), season=pattern, shift=shift, scale=scale)
