"""Vectors of the windows that end at some bars."""

from __future__ import annotations

import numpy as np

from forecast_core.errors import PluginError
from forecast_finance.bar_windows import BarWindows
from forecast_finance.bars import Bars
from forecast_finance.embeddings.backends import CHANNELS, LOOKBACK, Embedder
from forecast_finance.embeddings.cache import EmbeddingCache, window_keys

__all__ = ["embed_rows"]

_CHUNK = 2048  # windows gathered at once


def embed_rows(
    bars: Bars, rows: np.ndarray, *, embedder: Embedder, cache: EmbeddingCache | None = None
) -> np.ndarray:
    """Vectors [n, 5 * width] of the 120 bars up to and with each of some rows [n] of the bars.

    Vectors that `cache` holds are not computed again, and new ones are put there. Raises ShapeError where a
    symbol has fewer bars, PluginError where the backend gives other shapes or numbers that are not finite.
    """
    width = embedder.width * len(CHANNELS)
    out = np.zeros((len(rows), width), dtype=np.float32)
    if not width:
        return out
    for begin in range(0, len(rows), _CHUNK):
        part = slice(begin, min(begin + _CHUNK, len(rows)))
        windows = BarWindows(bars, rows[part], len(bars.horizons)).contexts(LOOKBACK)
        if cache is None:
            out[part] = _embed(embedder, windows, width)
            continue
        keys = window_keys(windows)
        vectors, there = cache.get(embedder.digest, keys, width)
        if not there.all():
            vectors[~there] = _embed(embedder, windows[~there], width)
            cache.put(embedder.digest, keys[~there], vectors[~there])
        out[part] = vectors
    return out


def _embed(embedder: Embedder, windows: np.ndarray, width: int) -> np.ndarray:
    vectors = embedder.embed(windows)
    if vectors.shape != (len(windows), width) or not np.isfinite(vectors).all():
        raise PluginError(
            f"embedding backend {embedder.name!r} gave {vectors.shape} for {len(windows)} windows of width "
            f"{width}, or numbers that are not finite"
        )
    return vectors
