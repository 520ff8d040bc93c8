"""Simulated bars: a random walk with changing volatility, of which nothing can be predicted."""

from __future__ import annotations

import numpy as np

from forecast_finance.bars import Bars

__all__ = ["random_walk", "sample_bars"]


def sample_bars(seed: int = 0, *, items: int = 3, rows: int = 200) -> Bars:
    """Small daily bars for conformance checks."""
    return random_walk(seed, symbols=items, rows=rows)


def random_walk(
    seed: int = 0, *, symbols: int = 3, rows: int = 750, drift: float = 0.0, market: float = 0.5
) -> Bars:
    """Daily bars (weekdays) whose log closes are a random walk with clustered volatility.

    drift: mean log return a day. market: share of variance that all symbols have in common. Each day's
    return is independent of everything before it, so no honest model can tell its sign.
    """
    rng = np.random.default_rng(seed)
    days = np.busday_offset(np.datetime64("2010-01-04", "D"), np.arange(rows)).astype("datetime64[us]")
    volatility = 0.012 * np.exp(0.4 * _smooth(rng.standard_normal(rows)))  # [row]
    shared, own = rng.standard_normal(rows), rng.standard_normal((symbols, rows))
    shocks = np.sqrt(market) * shared + np.sqrt(1 - market) * own  # [symbol, row]
    close = 50.0 * np.exp(np.cumsum(drift + volatility * shocks, axis=1))
    gap = np.exp(0.3 * volatility * rng.standard_normal((symbols, rows)))
    before = np.concatenate([np.full((symbols, 1), 50.0), close[:, :-1]], axis=1)
    opened = before * gap
    reach = np.abs(rng.standard_normal((2, symbols, rows))) * volatility * 0.5
    high = np.maximum(opened, close) * np.exp(reach[0])
    low = np.minimum(opened, close) * np.exp(-reach[1])
    volume = np.round(1e6 * np.exp(0.5 * rng.standard_normal((symbols, rows))))
    values = np.stack([opened, high, low, close, volume], axis=-1)  # [symbol, row, 5]
    return Bars(
        symbols=tuple(f"S{k}" for k in range(symbols)),
        offsets=np.arange(symbols + 1) * rows,
        timestamps=np.tile(days, symbols),
        values=values.reshape(-1, 5),
        interval=np.timedelta64(86_400_000_000, "us"),
    )


def _smooth(noise: np.ndarray) -> np.ndarray:
    """An average of the last 20 values, of variance one."""
    kernel = np.ones(20) / np.sqrt(20)
    smoothed: np.ndarray = np.convolve(noise, kernel)[: len(noise)]
    return smoothed
