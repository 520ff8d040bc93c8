"""Market structure: swings when they are confirmed, and the closes that break them."""

from __future__ import annotations

import numpy as np

from forecast_finance.features.compiled import compiled

__all__ = ["breaks_of_structure", "confirmed_swings"]


@compiled
def confirmed_swings(
    high: np.ndarray, low: np.ndarray, offsets: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a swing high, and a swing low, is confirmed at each bar, two masks [n].

    True at t: bar t - length holds the highest high (lowest low) of t - 2 length .. t; equal ones count.
    """
    highs, lows = np.zeros(len(high), dtype=np.bool_), np.zeros(len(low), dtype=np.bool_)
    for segment in range(len(offsets) - 1):
        begin, end = offsets[segment], offsets[segment + 1]
        for t in range(begin + 2 * length, end):
            p = t - length
            is_high, is_low = True, True
            for k in range(t - 2 * length, t + 1):
                if high[k] > high[p]:
                    is_high = False
                if low[k] < low[p]:
                    is_low = False
                if not (is_high or is_low):
                    break
            highs[t], lows[t] = is_high, is_low
    return highs, lows


@compiled
def breaks_of_structure(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, atr: np.ndarray, offsets: np.ndarray, length: int
) -> np.ndarray:
    """Distances to the last confirmed swings, and breaks, [6, n].

    Rows: from the close up to the last swing high, and from the last swing low up to the close, in ATRs (NaN
    before there is one); bullish and bearish breaks of structure; bullish and bearish changes of character.
    A close beyond the last confirmed swing breaks it, once: with the trend (or where there is none yet) it is
    a break of structure, against it a change of character; either sets the trend.
    """
    n = len(high)
    out = np.zeros((6, n))
    out[:2] = np.nan
    confirmed_high, confirmed_low = confirmed_swings(high, low, offsets, length)
    for segment in range(len(offsets) - 1):
        begin, end = offsets[segment], offsets[segment + 1]
        top, bottom = np.nan, np.nan
        top_stands, bottom_stands = False, False
        trend = 0
        for t in range(begin, end):
            if confirmed_high[t]:
                top, top_stands = high[t - length], True
            if confirmed_low[t]:
                bottom, bottom_stands = low[t - length], True
            if top_stands and close[t] > top:
                top_stands = False
                out[4 if trend < 0 else 2, t] = 1.0
                trend = 1
            elif bottom_stands and close[t] < bottom:
                bottom_stands = False
                out[5 if trend > 0 else 3, t] = 1.0
                trend = -1
            if atr[t] > 0:
                out[0, t] = (top - close[t]) / atr[t]
                out[1, t] = (close[t] - bottom) / atr[t]
    return out
