"""Trends of closed bars of higher timeframes."""

from __future__ import annotations

import numpy as np

from forecast_finance.features.compiled import compiled

__all__ = ["TIMEFRAMES", "closed_trend", "periods"]

TIMEFRAMES: tuple[tuple[str, int, int], ...] = (  # name, shortest and longest length in hours
    ("month", 28 * 24, 31 * 24),
    ("week", 7 * 24, 7 * 24),
    ("day", 24, 24),
    ("4h", 4, 4),
    ("1h", 1, 1),
)
_HOUR = 3_600_000_000  # microseconds


def periods(timestamps: np.ndarray, timeframe: str) -> np.ndarray:
    """Number of the calendar month, week (from Monday), day or hours in UTC that each time lies in, [n]."""
    if timeframe == "month":
        return timestamps.astype("datetime64[M]").astype(np.int64)
    since: np.ndarray = timestamps.astype("datetime64[us]").astype(np.int64)
    if timeframe == "week":
        week: np.ndarray = (since // (24 * _HOUR) + 3) // 7  # day 0 was a Thursday
        return week
    hours = {"day": 24, "4h": 4, "1h": 1}[timeframe]
    number: np.ndarray = since // (hours * _HOUR)
    return number


@compiled
def closed_trend(close: np.ndarray, period: np.ndarray, offsets: np.ndarray, own: bool) -> np.ndarray:
    """1, -1 or 0 by close and EMA9 and EMA21 of the bars closed by then [n]; NaN before 21 are.

    period [n]: bars with one number make up one bar of the timeframe, which is closed once a bar of another
    number has begun. own: every bar is one of the timeframe, closed as it stands. The averages begin with
    the mean of their first 9 and 21 closes, as TA-Lib's do.
    """
    out = np.full(len(close), np.nan)
    for segment in range(len(offsets) - 1):
        begin, end = offsets[segment], offsets[segment + 1]
        count = 0
        fast, slow, trend = 0.0, 0.0, np.nan
        for t in range(begin, end):
            if own:
                price = close[t]
            elif t > begin and period[t] != period[t - 1]:
                price = close[t - 1]
            else:
                out[t] = trend
                continue
            count += 1
            if count <= 9:
                fast += price / 9.0
            else:
                fast += 0.2 * (price - fast)
            if count <= 21:
                slow += price / 21.0
            else:
                slow += (price - slow) * 2.0 / 22.0
            if count >= 21:
                if price > fast and fast > slow:
                    trend = 1.0
                elif price < fast and fast < slow:
                    trend = -1.0
                else:
                    trend = 0.0
            out[t] = trend
    return out
