"""Who is near: for some rows, the rows of the same scene and frame within a radius."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["counts_within", "nearest"]

_PAIRS = 2_000_000  # looked at at once


def nearest(data: Tracks, rows: np.ndarray, *, radius: float, limit: int) -> np.ndarray:
    """Rows [n, limit] of the nearest others within `radius` metres at that moment; -1 where there are fewer.

    rows [n]: positions in the flat rows of `data`. Nearest first; ties by row.
    """
    out = np.full((len(rows), limit), -1, dtype=np.int64)
    for at, one, other, apart in _pairs(data, rows, radius):
        order = np.lexsort((other, apart, one))
        one, other = one[order], other[order]
        begins = np.searchsorted(one, np.arange(at.stop - at.start))
        rank = np.arange(len(one)) - begins[one]
        kept = rank < limit
        out[at.start + one[kept], rank[kept]] = other[kept]
    return out


def counts_within(data: Tracks, rows: np.ndarray, *, radius: float) -> np.ndarray:
    """How many others there are within `radius` metres at the same moment [n]."""
    out = np.zeros(len(rows), dtype=np.int64)
    for at, one, _, _ in _pairs(data, rows, radius):
        out[at] = np.bincount(one, minlength=at.stop - at.start)
    return out


def _pairs(
    data: Tracks, rows: np.ndarray, radius: float
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of rows: the slice of `rows`, and of each near pair the place in the block, the other row, and
    the distance.
    """
    frames = data.frames - data.frames.min()
    moment = data.scene_of_row * (int(frames.max()) + 1) + frames
    sorted_rows = np.argsort(moment, kind="stable")
    ordered = moment[sorted_rows]
    begins = np.searchsorted(ordered, moment[rows])
    counts = np.searchsorted(ordered, moment[rows], side="right") - begins
    ends = np.cumsum(counts)
    start = 0
    while start < len(rows):
        before = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, side="right")))
        count = counts[start:stop]
        one = np.repeat(np.arange(stop - start), count)
        place = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
        other = sorted_rows[np.repeat(begins[start:stop], count) + place]
        here = rows[start:stop][one]
        apart = np.linalg.norm(data.xy[other] - data.xy[here], axis=1)
        near = (apart <= radius) & (other != here)
        yield slice(start, stop), one[near], other[near], apart[near]
        start = stop
