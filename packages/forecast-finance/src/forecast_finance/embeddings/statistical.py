"""Embeddings that need no download: statistics of the window, and none at all."""

from __future__ import annotations

import hashlib

import numpy as np

from forecast_finance.embeddings.backends import CHANNELS, LOOKBACK
from forecast_finance.embeddings.channels import channel_series

__all__ = ["STATISTICS", "NoEmbedder", "StatisticalEmbedder"]

STATISTICS = (
    "mean",
    "deviation",
    "skewness",
    "kurtosis",
    "minimum",
    "maximum",
    "autocorrelation_1",
    "autocorrelation_5",
    "mean_5",
    "mean_20",
    "deviation_20",
    "trend",
)
"""Of each channel over the window. Level statistics but the first two are in standard deviations of it."""

_VERSION = "statistical-1"


class StatisticalEmbedder:
    """Moments, extremes, autocorrelations and recent parts of each of the five channels of the window.

    A vector depends on its window alone. skewness and kurtosis are those of Fisher (kurtosis 0 for a
    Gaussian); mean_5 and mean_20 are means of the last values, deviation_20 their spread over the window's;
    trend is the correlation with time. A channel that does not vary has zeros for what is scaled by its
    spread.
    """

    name = "statistical"
    width = len(STATISTICS)

    def __init__(self) -> None:
        told = repr((_VERSION, LOOKBACK, CHANNELS, STATISTICS))
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Vectors [n, 5 * 12] of bars [n, 120, 5]."""
        series = channel_series(windows)  # [n, channel, time]
        mean = series.mean(axis=-1)
        centred = series - mean[..., None]
        deviation = np.sqrt((centred**2).mean(axis=-1))
        varies = deviation > 1e-12
        z = centred / np.where(varies, deviation, 1.0)[..., None]
        z = np.where(varies[..., None], z, 0.0)
        time = np.linspace(-1.0, 1.0, series.shape[-1])
        columns = [
            mean,
            deviation,
            (z**3).mean(axis=-1),
            np.where(varies, (z**4).mean(axis=-1) - 3.0, 0.0),
            z.min(axis=-1),
            z.max(axis=-1),
            (z[..., 1:] * z[..., :-1]).mean(axis=-1),
            (z[..., 5:] * z[..., :-5]).mean(axis=-1),
            z[..., -5:].mean(axis=-1),
            z[..., -20:].mean(axis=-1),
            z[..., -20:].std(axis=-1),
            (z * time).mean(axis=-1) / time.std(),
        ]
        vectors = np.stack(columns, axis=-1)  # [n, channel, statistic]
        return vectors.reshape(len(windows), -1).astype(np.float32)


class NoEmbedder:
    """An embedding of no dimensions."""

    name = "none"
    width = 0
    digest = hashlib.sha256(b"none").hexdigest()

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Vectors [n, 0]."""
        return np.zeros((len(windows), 0), dtype=np.float32)
