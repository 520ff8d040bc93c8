"""Small, seeded sample data of task `series`, for conformance checks and examples."""

from __future__ import annotations

import numpy as np

from forecast_core.data import Freq, Panel

__all__ = ["sample_panel"]


def sample_panel(
    seed: int = 0,
    *,
    rows: int = 240,
    items: int = 3,
    missing: float = 0.0,
    past_covariates: int = 0,
    future_covariates: int = 0,
    static_covariates: int = 0,
    drift: float = 0.0,
) -> Panel:
    """Hourly series with a daily cycle, a level of their own and noise; [rows, items, 1].

    missing: share of target values left out. Covariates move the target a little, so that a model may
    use them. drift: in the later half the level is 5 * drift higher and the noise 1 + drift times as wide.
    """
    rng = np.random.default_rng(seed)
    hours = np.arange(rows)
    level = rng.uniform(20.0, 60.0, items)
    phase = rng.uniform(0.0, 2.0 * np.pi, items)
    cycle = 10.0 * np.sin(2.0 * np.pi * hours[:, None] / 24.0 + phase)  # [time, item]
    later = drift * (hours[:, None] >= rows // 2)
    values = level + cycle + 5.0 * later + (1.0 + later) * rng.normal(0.0, 2.0, (rows, items))
    past = rng.normal(size=(rows, items, past_covariates))
    future = rng.normal(size=(rows, items, future_covariates))
    values += past.sum(-1) + future.sum(-1)
    if missing:
        values[rng.random(values.shape) < missing] = np.nan
    return Panel(
        values=values[..., None],
        timestamps=Freq.parse("h").range(np.datetime64("2024-01-01T00", "us"), rows),
        item_ids=tuple(f"item-{k}" for k in range(items)),
        freq=Freq.parse("h"),
        past_covariates=past if past_covariates else None,
        future_covariates=future if future_covariates else None,
        static_covariates=rng.normal(size=(items, static_covariates)) if static_covariates else None,
    )
