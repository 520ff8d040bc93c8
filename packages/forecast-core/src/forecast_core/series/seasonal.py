"""Seasonal repetition for many origins at once: what both naive baselines do."""

from __future__ import annotations

import numpy as np

from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError, InvalidInputError
from forecast_core.prediction import MixturePrediction

__all__ = ["predict_at", "predict_end"]

_RESOLUTION = 1e-12


def predict_end(panel: Panel, *, season: int, horizon: int | None) -> MixturePrediction:
    """The `horizon` steps after the last known row of every item."""
    if horizon is None:
        raise InvalidInputError("horizon", "is given here or in the model's configuration")
    items = np.arange(len(panel.item_ids))
    rows = np.full(len(items), panel.known_rows - 1)
    means, sigmas = _repeat(panel, rows, items, season=season, horizon=horizon)
    return MixturePrediction(
        item_ids=panel.item_ids,
        steps=tuple(range(1, horizon + 1)),
        timestamps=panel.future_timestamps(horizon),
        target_names=panel.target_names,
        weights=np.ones((len(items), 1, 1, 1)),
        means=means[..., None],
        sigmas=sigmas[..., None],
    )


def predict_at(windows: PanelWindows, *, season: int) -> MixturePrediction:
    """The horizon of every window, each from the rows up to its origin."""
    means, sigmas = _repeat(
        windows.panel, windows.rows, windows.items, season=season, horizon=windows.horizon
    )
    return MixturePrediction(
        item_ids=windows.item_ids,
        steps=tuple(range(1, windows.horizon + 1)),
        timestamps=windows.timestamps(),
        target_names=windows.panel.target_names,
        weights=np.ones((len(windows), 1, 1, 1)),
        means=means[..., None],
        sigmas=sigmas[..., None],
    )


def _repeat(
    panel: Panel, rows: np.ndarray, items: np.ndarray, *, season: int, horizon: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means and sigmas [n, horizon, target] after each (row, item), from rows up to it only.

    Step h repeats the last observed value of its phase; its variance is that of seasonal changes times
    the number of seasons ahead. An item without any observation yet is expected where the others are, with
    their spread.
    """
    values = panel.values[: int(rows.max()) + 1].astype(np.float64)
    last = _last_of_phase(values, season)  # [time, item, target], row of the last observation
    ahead = np.arange(1, horizon + 1)
    seasons = (ahead - 1) // season + 1  # [h]
    source = rows[:, None] + ahead - seasons * season  # [n, h], the same phase within the last season
    column = np.broadcast_to(items[:, None], source.shape)
    row = np.where(source[..., None] >= 0, last[np.maximum(source, 0), column], -1)  # [n, h, t]
    # A phase never seen yet falls back on the last value observed at all.
    recent = _last_of_phase(values, 1)[rows, items]  # [n, t]
    row = np.where(row >= 0, row, recent[:, None, :])
    target = np.arange(values.shape[2])
    means = values[np.maximum(row, 0), column[..., None], target]  # [n, h, t]
    sigma = _spread(values, season)[rows, items]  # [n, t]
    unseen = recent < 0  # [n, t]
    new = unseen.any(1)  # windows of an item that nobody has seen yet
    if new.any():
        level, apart = _newcomer(panel, values, rows[new])
        means[new] = np.where(unseen[new][:, None], level[:, None], means[new])
        sigma[new] = np.where(unseen[new], np.hypot(sigma[new], apart), sigma[new])
    if np.isnan(sigma).any():
        n = int(np.argwhere(np.isnan(sigma))[0][0])
        raise DataError(
            "data",
            "holds two observations in a row or a season apart, to tell the spread",
            place=f"up to {panel.timestamps[int(rows[n])]}",
        )
    # A series that never changed still needs a width: what float64 can tell apart at its level.
    sigma = np.maximum(sigma, _RESOLUTION * np.maximum(np.abs(means).max(axis=1), 1.0))
    return means, sigma[:, None, :] * np.sqrt(seasons)[None, :, None]


def _newcomer(panel: Panel, values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is expected of an item before its first observation, at `rows` [n]: mean and standard deviation
    of the last values of the other items, [n, target] each. DataError where nobody has one.
    """
    last = _last_of_phase(values, 1)[rows]  # [n, item, target]
    count = (last >= 0).sum(1)
    if not count.all():
        n = int(np.argwhere(count == 0)[0][0])
        raise DataError(
            "data", "holds an observed value to repeat", place=f"up to {panel.timestamps[int(rows[n])]}"
        )
    item, target = np.arange(values.shape[1])[:, None], np.arange(values.shape[2])
    known = np.where(last >= 0, values[np.maximum(last, 0), item, target], 0.0)
    mean = known.sum(1) / count
    variance = (np.where(last >= 0, known - mean[:, None], 0.0) ** 2).sum(1) / count
    return mean, np.sqrt(variance)


def _last_of_phase(values: np.ndarray, season: int) -> np.ndarray:
    """For each row the latest row up to it, a whole number of seasons back, that was observed; else -1."""
    time = len(values)
    cycles = -(-time // season)
    index = np.where(np.isnan(values), -1, np.arange(time)[:, None, None])
    padded = np.full((cycles * season, *values.shape[1:]), -1)
    padded[:time] = index
    by_phase = padded.reshape(cycles, season, *values.shape[1:])
    latest: np.ndarray = np.maximum.accumulate(by_phase, axis=0).reshape(padded.shape)[:time]
    return latest


def _spread(values: np.ndarray, season: int) -> np.ndarray:
    """Root mean square of seasonal changes observed up to each row, [time, item, target].

    An item without any takes the average of the others; before the first of them all, one-step changes
    stand in; NaN where there are none of those either.
    """
    change = np.full_like(values, np.nan)
    change[season:] = values[season:] - values[:-season]
    observed = ~np.isnan(change)
    count = np.cumsum(observed, axis=0)
    total = np.cumsum(np.where(observed, change**2, 0.0), axis=0)
    pooled_count, pooled = count.sum(1, keepdims=True), total.sum(1, keepdims=True)
    shared = np.sqrt(np.where(pooled_count > 0, pooled / np.maximum(pooled_count, 1), np.nan))
    spread = np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), shared)
    if season > 1 and np.isnan(spread).any():
        spread = np.where(np.isnan(spread), _spread(values, 1), spread)
    return spread
