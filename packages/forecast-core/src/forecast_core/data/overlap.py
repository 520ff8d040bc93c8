"""That validation data is not what a model is fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.data.protocols import Data, Separable, Windows
from forecast_core.data.reading import known_timeline, source_of
from forecast_core.errors import LeakError

__all__ = ["refuse_overlap", "seen", "shares_series", "unseen"]


def refuse_overlap(data: Any, validation: Any, *, same: bool) -> None:
    """LeakError where `validation` is the `same` data, or rows of its series that end within it; of windows,
    where all targets of one are fitted on.

    Rows of `data` at its beginning, as context of those after, are no leak, nor are windows some of whose
    targets are fitted on: published protocols have such, where one part of all windows follows the other.
    """
    rule = "what is fitted on says nothing of how it will do; give validation rows of its own"
    if not isinstance(validation, Data):
        leaking = np.flatnonzero(seen(validation, data))
        if len(leaking):
            window = validation.take(leaking[:1])
            raise LeakError(
                f"validation: all targets of window {leaking[0]}, of {window.item_ids[0]!r} after "
                f"{window.origins[0]}, are fitted on; {rule}"
            )
        return
    if not isinstance(data, Data):
        return
    if same:
        raise LeakError(f"validation is the data that is fitted on; {rule}")
    if not shares_series(data, validation):
        return
    fitted, held = known_timeline(data), known_timeline(validation)
    if len(fitted) and len(held) and fitted[0] <= held[-1] <= fitted[-1]:
        raise LeakError(
            f"validation ends at {held[-1]}, within the data that is fitted on, which is from {fitted[0]} to "
            f"{fitted[-1]}; {rule}"
        )


def unseen(windows: Windows, data: Any) -> Windows:
    """The windows that have no target among those fitted on, of the same series at the same time.

    data: what is fitted on, of which every row is; or its windows, of which the targets are. Rows that
    validation has in common with it serve as context. Windows on no time grid are all kept, unless they are
    `Separable`.
    """
    if isinstance(windows, Separable):
        return windows.apart_from(data)
    spans = _in_order(windows, data)
    if spans is None:
        return windows
    begins, reached, after, until = spans
    before = np.searchsorted(begins, until) - 1  # the last span that begins before the window's end
    met = (before >= 0) & (reached[before] > after)
    return windows.take(np.flatnonzero(~met))


def seen(windows: Windows, data: Any) -> np.ndarray:
    """Whether all targets of each window are fitted on, of the same series at the same time, [n].

    data: as of `unseen`. Nothing is told of windows on no time grid, unless they are `Separable`.
    """
    if isinstance(windows, Separable):
        return windows.within(data)
    spans = _in_order(windows, data)
    if spans is None:
        return np.zeros(len(windows), dtype=bool)
    begins, reached, after, until = spans
    gaps = np.flatnonzero(begins[1:] > reached[:-1])  # between one stretch of spans and the next
    begins, reached = begins[np.append(0, gaps + 1)], reached[np.append(gaps, len(reached) - 1)]
    stretch = np.searchsorted(begins, after, side="right") - 1
    within: np.ndarray = (stretch >= 0) & (after < until) & (until <= reached[stretch])
    return within


def _in_order(windows: Windows, data: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """After what spans of rows that are fitted on begin, in order, and how far those up to each reach, [k];
    and after what the targets of windows come, and up to what, [n]. Numbers in order of series, then of time;
    None where there is nothing to compare.
    """
    origins, ends = windows.origins, windows.label_ends
    if origins is None or ends is None or not shares_series(data, windows):
        return None
    series = {item: k for k, item in enumerate(_series(windows))}
    of, begins, last = _spans(data, series, timeline=source_of(windows).timeline)
    if not len(of):
        return None
    times = np.unique(np.concatenate([origins, ends, begins, last]))

    def key(item: np.ndarray, time: np.ndarray) -> np.ndarray:
        return item * len(times) + np.searchsorted(times, time)

    order = np.argsort(key(of, begins), kind="stable")
    reached = np.maximum.accumulate(key(of, last)[order])
    mine = _positions(windows, series)
    return key(of, begins)[order], reached, key(mine, origins), key(mine, ends)


def _spans(
    data: Any, series: dict[Any, int], *, timeline: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series [n], and the times [n] after which, and up to which, its rows are fitted on; of a whole panel
    after that time of a `timeline` which comes before its first row.
    """
    if isinstance(data, Data):
        rows = known_timeline(data)
        of = np.array([series[item] for item in _series(data) if item in series], dtype=np.int64)
        row = int(np.searchsorted(timeline, rows[0]))
        before = timeline[row - 1] if row else rows[0] - np.timedelta64(1, "us")
        return of, np.full(len(of), before), np.full(len(of), rows[-1])
    assert data.origins is not None  # windows of series, of which all have a time
    assert data.label_ends is not None
    of = _positions(data, series)
    return of[of >= 0], data.origins[of >= 0], data.label_ends[of >= 0]


def _positions(windows: Any, series: dict[Any, int]) -> np.ndarray:
    """Series of each window [n], -1 for one that is not there; windows of a group are of one series."""
    _, first, group = np.unique(windows.groups, return_index=True, return_inverse=True)
    known = [series.get(item, -1) for item in windows.take(first).item_ids]
    return np.array(known, dtype=np.int64)[group]


def shares_series(data: Any, validation: Any) -> bool:
    """Whether both, or the data behind windows, hold rows of one series; False for data on no time grid."""
    return bool(_series(data) & _series(validation))


def _series(data: Any) -> set[Any]:
    source = source_of(data)
    ids = getattr(source, "item_ids", getattr(source, "node_ids", ()))
    return set(ids) if hasattr(source, "timestamps") else set()
