"""The series of a window of bars that are embedded."""

from __future__ import annotations

import numpy as np

__all__ = ["channel_series"]


def channel_series(windows: np.ndarray) -> np.ndarray:
    """Five series [n, channel, lookback - 1] of bars [n, lookback, 5], free of price and volume levels.

    return: ln(close / close before); gap: ln(open / close before); upper: ln(high / close); lower:
    ln(low / close); volume: ln(1 + volume / the window's mean volume), 0 where nothing was traded. Raw prices
    would nearly coincide once they are binned: a bin of T5 is 0.73 % of the mean absolute value wide.
    """
    logs = np.log(windows[..., :4])  # [n, lookback, open high low close]
    close = logs[..., 3]
    volume = windows[..., 4]
    mean = volume.mean(axis=1, keepdims=True)
    relative = np.log1p(np.divide(volume, mean, out=np.zeros_like(volume), where=mean > 0))
    series = np.stack(
        [
            np.diff(close, axis=1),
            logs[:, 1:, 0] - close[:, :-1],
            (logs[..., 1] - close)[:, 1:],
            (logs[..., 2] - close)[:, 1:],
            relative[:, 1:],
        ],
        axis=1,
    )
    return series
