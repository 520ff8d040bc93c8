"""Small, seeded sample data of task `graph`, for conformance checks and examples."""

from __future__ import annotations

import numpy as np

from forecast_core.data import Freq
from forecast_traffic.graph.panel import GraphPanel

__all__ = ["sample_graph"]


def sample_graph(
    seed: int = 0,
    *,
    rows: int = 240,
    items: int = 4,
    missing: float = 0.0,
    future_covariates: int = 0,
) -> GraphPanel:
    """Half-hourly speeds with a daily cycle on a ring of nodes; [rows, items, 1], in mph.

    missing: share of values left out. future_covariates: above 0, the panel has weather, its type and events,
    each with an effect. The graph, weather and events are the same whatever the seed: two seeds are two
    outcomes under one known future.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    freq = Freq.parse("30min")
    level, phase = fixed.uniform(40.0, 60.0, items), fixed.uniform(0.0, 1.0, items)
    slot = np.arange(rows)[:, None]
    noise = rng.normal(0.0, 1.5, (rows, items))
    noise[1:] += 0.5 * noise[:-1]
    values = level + 8.0 * np.sin(2.0 * np.pi * (slot / 48.0 + phase)) + noise
    held = {}
    if future_covariates:
        wet = np.repeat(fixed.random(rows // 6 + 1) < 0.25, 6)[:rows]
        rain = np.where(wet, fixed.gamma(2.0, 1.0, rows), 0.0)
        events = (fixed.random(rows) < 0.05).astype(np.int64)
        values += -5.0 * wet[:, None] - 6.0 * events[:, None]
        weather = np.stack([fixed.normal(12.0, 3.0, rows), rain, fixed.gamma(2.0, 2.0, rows)], axis=1)
        held = {"weather": weather, "weather_type": wet.astype(np.int64), "event_ids": events}
    if missing:
        values[rng.random(values.shape) < missing] = np.nan
    around = np.arange(items)
    edges = np.stack([around, (around + 1) % items]) if items > 1 else np.zeros((2, 0), dtype=np.int64)
    return GraphPanel(
        values[..., None],
        freq.range(np.datetime64("2024-01-01T00", "us"), rows),
        tuple(f"node-{k}" for k in range(items)),
        edges,
        freq=freq,
        **held,  # type: ignore[arg-type]
    )
