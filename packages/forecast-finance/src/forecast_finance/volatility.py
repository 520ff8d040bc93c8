"""Volatility known at an origin: what returns are measured in."""

from __future__ import annotations

import numpy as np

from forecast_finance.bar_windows import BarWindows

__all__ = ["VOLATILITY_BARS", "volatility"]

VOLATILITY_BARS = 60
_LEAST = 1e-5  # of a log return a bar: prices that did not move may still


def volatility(windows: BarWindows) -> np.ndarray:
    """Standard deviation (ddof 1) of the log returns of the last 60 bars up to each origin, [n], a bar.

    Never below 1e-5. ShapeError where a symbol has fewer bars.
    """
    closes = windows.contexts(VOLATILITY_BARS)[..., 3]
    spread: np.ndarray = np.maximum(np.diff(np.log(closes), axis=1).std(axis=1, ddof=1), _LEAST)
    return spread
