"""Zones of price: fair value gaps and order blocks, from when they are known until they are gone.

A zone is stamped on the bar at whose close it is known. It ends on the first later bar that trades through
it, reaching its far edge (the lower one of a bullish zone, the upper one of a bearish), or when it is older
than `expiry` bars.
"""

from __future__ import annotations

import numpy as np

from forecast_finance.features.compiled import compiled

__all__ = ["fair_value_gaps", "live_zones", "order_blocks"]


@compiled
def fair_value_gaps(high: np.ndarray, low: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Gaps known at each bar [side, edge, n]: bullish and bearish, lower and upper edge; NaN where none.

    Bullish: the low of the bar is above the high two bars before; bearish: mirrored.
    """
    out = np.full((2, 2, len(high)), np.nan)
    for segment in range(len(offsets) - 1):
        for t in range(offsets[segment] + 2, offsets[segment + 1]):
            if low[t] > high[t - 2]:
                out[0, 0, t], out[0, 1, t] = high[t - 2], low[t]
            elif high[t] < low[t - 2]:
                out[1, 0, t], out[1, 1, t] = high[t], low[t - 2]
    return out


@compiled
def order_blocks(
    opened: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    offsets: np.ndarray,
    displacement: float,
) -> np.ndarray:
    """Order blocks known at each bar [side, edge, n]: bullish and bearish, lower and upper edge; NaN: none.

    Bullish: the last bearish candle before a bar that closes above the candle's high by `displacement`;
    bearish: the last bullish candle before a close that far below its low. A candle makes one block at most.
    """
    out = np.full((2, 2, len(high)), np.nan)
    for segment in range(len(offsets) - 1):
        falling, rising = -1, -1  # the last bearish and bullish candle that is no block yet
        for t in range(offsets[segment], offsets[segment + 1]):
            if falling >= 0 and close[t] > high[falling] * (1.0 + displacement):
                out[0, 0, t], out[0, 1, t] = low[falling], high[falling]
                falling = -1
            if rising >= 0 and close[t] < low[rising] * (1.0 - displacement):
                out[1, 0, t], out[1, 1, t] = low[rising], high[rising]
                rising = -1
            if close[t] < opened[t]:
                falling = t
            elif close[t] > opened[t]:
                rising = t
    return out


@compiled
def live_zones(
    zones: np.ndarray,
    high: np.ndarray,
    low: np.ndarray,
    close: np.ndarray,
    atr: np.ndarray,
    offsets: np.ndarray,
    expiry: int,
) -> np.ndarray:
    """Counts of live bullish and bearish zones, and the distance to the nearest in ATRs, [3, n].

    zones [side, edge, n] as they become known. Distance from the close: positive where the zone lies above,
    negative below, 0 inside; NaN where none is live.
    """
    n = len(close)
    out = np.zeros((3, n))
    stamps = np.empty((2, expiry + 1), dtype=np.int64)
    edges = np.empty((2, 2, expiry + 1))
    for segment in range(len(offsets) - 1):
        count = np.zeros(2, dtype=np.int64)
        for t in range(offsets[segment], offsets[segment + 1]):
            nearest = np.nan
            for side in range(2):
                kept = 0
                for k in range(count[side]):
                    bottom, top = edges[side, 0, k], edges[side, 1, k]
                    through = low[t] <= bottom if side == 0 else high[t] >= top
                    if through or t - stamps[side, k] > expiry:
                        continue
                    edges[side, 0, kept], edges[side, 1, kept] = bottom, top
                    stamps[side, kept] = stamps[side, k]
                    kept += 1
                if not np.isnan(zones[side, 0, t]):
                    edges[side, 0, kept], edges[side, 1, kept] = zones[side, 0, t], zones[side, 1, t]
                    stamps[side, kept] = t
                    kept += 1
                count[side] = kept
                out[side, t] = kept
                for k in range(kept):
                    distance = 0.0
                    if close[t] < edges[side, 0, k]:
                        distance = edges[side, 0, k] - close[t]
                    elif close[t] > edges[side, 1, k]:
                        distance = edges[side, 1, k] - close[t]
                    if not abs(distance) >= abs(nearest):  # also where there is none yet
                        nearest = distance
            out[2, t] = nearest / atr[t] if atr[t] > 0 else np.nan
    return out
