"""Corrections of quantiles from errors: order statistics by group and step, and how they follow drift."""

from __future__ import annotations

import math

import numpy as np

from forecast_core.errors import DataError

__all__ = ["group_offsets", "interquartile_ranges", "track"]


def group_offsets(errors: np.ndarray, of: np.ndarray, levels: np.ndarray, *, groups: int) -> np.ndarray:
    """Conformal corrections [group + 1, horizon, target, level]; the last is of all windows together.

    errors [n, horizon, target, level], NaN where unobserved; of [n]: group of each window. The correction
    of level q is the ceil((n + 1) q)-th smallest of n errors, of a level below one half the
    floor((n + 1) q)-th. Raises DataError where some group and step has too few errors for a level.
    """
    parts = [_order_statistics(errors[of == k], levels, f"group {k}") for k in range(groups)]
    return np.stack([*parts, _order_statistics(errors, levels, "all windows")])


def _order_statistics(errors: np.ndarray, levels: np.ndarray, place: str) -> np.ndarray:
    count = (~np.isnan(errors[..., 0])).sum(0)  # [h, t]
    needed = max(math.ceil(round(1 / min(level, 1 - level), 9)) - 1 for level in levels.tolist())
    if count.min() < needed:
        raise DataError(
            "calibration",
            f"holds at least {needed} observed windows a group and step for levels "
            f"{levels[0]:g}..{levels[-1]:g}",
            place=place,
            got=int(count.min()),
        )
    ordered = np.sort(errors, axis=0)  # NaN last
    out = np.empty(errors.shape[1:])
    for q, level in enumerate(levels.tolist()):
        rank = np.round((count + 1) * level, 9)  # 0.95 * 20 is 19, whatever binary says
        at = (np.ceil(rank) if level >= 0.5 else np.floor(rank)).astype(np.intp) - 1  # [h, t]
        out[..., q] = np.take_along_axis(ordered[..., q], at[None], axis=0)[0]
    return out


def interquartile_ranges(errors: np.ndarray, of: np.ndarray, *, groups: int) -> np.ndarray:
    """Spread of the errors of the middle level, [group + 1, horizon, target]: the unit of `track`."""
    middle = errors[..., errors.shape[-1] // 2]

    def spread(some: np.ndarray) -> np.ndarray:
        low, high = np.nanquantile(some, (0.25, 0.75), axis=0)
        width: np.ndarray = high - low
        return width

    return np.stack([*(spread(middle[of == k]) for k in range(groups)), spread(middle)])


def track(
    offsets: np.ndarray,
    errors: np.ndarray,
    rows: np.ndarray,
    origins: np.ndarray,
    *,
    levels: np.ndarray,
    rates: np.ndarray,
) -> np.ndarray:
    """Corrections after the windows' outcomes, one step of pinball-loss descent an origin.

    offsets [group + 1, h, t, q]; errors [n, h, t, q]; rows [n]: group of each window; rates
    [group + 1, h, t]. An outcome above its quantile moves level q up by rate * q, one below it down by
    rate * (1 - q); outcomes of one group at one origin count as their mean.
    """
    offsets = offsets.copy()
    groups = len(offsets)
    times, at = np.unique(origins, return_inverse=True)
    for k in range(len(times)):
        now = np.flatnonzero(at == k)
        error, row = errors[now], rows[now]
        push = levels - (error <= offsets[row])  # [n, h, t, q]
        seen = ~np.isnan(error)
        push = np.where(seen, push, 0.0)
        total, count = np.zeros_like(offsets), np.zeros_like(offsets)
        np.add.at(total, row, push)
        np.add.at(count, row, seen)
        if groups > 1:  # all together, for groups that calibration did not hold
            everyone = np.where(seen, levels - (error <= offsets[-1]), 0.0)
            total[-1], count[-1] = everyone.sum(0), seen.sum(0)
        offsets += rates[..., None] * np.where(count > 0, total / np.maximum(count, 1), 0.0)
    return offsets
