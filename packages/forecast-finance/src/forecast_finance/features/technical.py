"""The technical columns, through TA-Lib and sums over fixed windows."""

from __future__ import annotations

import numpy as np
import talib

__all__ = ["technical"]


def technical(values: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Fill `out` [12, n] with the technical features of one symbol's bars [n, 5]; returns ATR14 [n].

    NaN until a column has run in, and where its measure is not there: no volume in the window, bands of no
    width, for RSI no gains and losses (or averages of them that have died away to rounding), for ADX fewer
    than 14 bars since prices first had a direction; TA-Lib makes 0 of some of these. Sums over a fixed window
    are taken afresh for each bar, so that they never depend on where the bars begin.
    """
    opened, high, low, close, volume = np.ascontiguousarray(values.T)
    del opened
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    middle, deviation = talib.SMA(close, 20), talib.STDDEV(close, 20, 1.0)
    atr = talib.ATR(high, low, close, 14)
    moved = talib.ATR(close, close, close, 14)  # Wilder's average of gains and losses together
    directed = talib.PLUS_DI(high, low, close, 14) + talib.MINUS_DI(high, low, close, 14) > 0.0
    mean_volume = _rolling_sum(volume, 20) / 20.0
    typical = (high + low + close) / 3.0
    with np.errstate(divide="ignore", invalid="ignore"):
        out[0] = _known(talib.RSI(close, 14), moved > 1e-12 * close)
        out[1], out[2], out[3] = macd / close, signal / close, histogram / close
        out[4] = _known(0.5 + (close - middle) / (4.0 * deviation), deviation > 1e-9 * close)
        out[5] = atr / close
        out[6] = _known(talib.ADX(high, low, close, 14), np.cumsum(directed) >= 14)
        out[7] = _known(_obv_change(close, volume, 10) / mean_volume, mean_volume > 0)
        vwap = _rolling_sum(typical * volume, 20) / (20.0 * mean_volume)
        out[8] = _known(close / vwap - 1.0, mean_volume > 0)
        out[9] = close / talib.EMA(close, 9) - 1.0
        out[10] = close / talib.EMA(close, 21) - 1.0
        out[11] = _known(volume / mean_volume, mean_volume > 0)
    return np.asarray(atr)


def _known(column: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, column, np.nan)


def _rolling_sum(column: np.ndarray, length: int) -> np.ndarray:
    """Sum of the last `length` values [n], each taken anew; NaN before there are as many."""
    out = np.full(len(column), np.nan)
    if len(column) >= length:
        total = np.zeros(len(column) - length + 1)
        for lag in range(length):  # the same order of adding for every bar
            total += column[lag : lag + len(total)]
        out[length - 1 :] = total
    return out


def _obv_change(close: np.ndarray, volume: np.ndarray, length: int) -> np.ndarray:
    """Change of on-balance volume over `length` bars [n]; NaN for the first ones."""
    signed = np.sign(np.diff(close)) * volume[1:]
    return np.concatenate([[np.nan], _rolling_sum(signed, length)])[: len(close)]
