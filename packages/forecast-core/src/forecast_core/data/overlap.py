"""That validation data is not what a model is fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.data.protocols import Data, Separable, Windows
from forecast_core.data.reading import known_timeline, source_of
from forecast_core.errors import LeakError

__all__ = ["refuse_overlap", "shares_series", "unseen"]


def refuse_overlap(data: Any, validation: Any, *, same: bool) -> None:
    """LeakError where `validation` is the `same` data, or rows of its series that end within it.

    Rows of `data` at its beginning, as context of those after, are no leak. Windows are left alone: which
    of a panel's rows they score is theirs to say.
    """
    if not isinstance(data, Data) or not isinstance(validation, Data):
        return
    rule = "what is fitted on says nothing of how it will do; give validation rows of its own"
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
    origins, ends = windows.origins, windows.label_ends
    if origins is None or ends is None or not shares_series(data, windows):
        return windows
    series = {item: k for k, item in enumerate(_series(windows))}
    of, begins, last = _spans(data, series)
    if not len(of):
        return windows
    times = np.unique(np.concatenate([origins, ends, begins, last]))

    def key(item: np.ndarray, time: np.ndarray) -> np.ndarray:  # in order of series, then of time
        return item * len(times) + np.searchsorted(times, time)

    order = np.argsort(key(of, begins), kind="stable")
    starts, of = key(of, begins)[order], of[order]
    latest = np.maximum.accumulate(key(of, last[order]))  # end of the spans of a series that began by then
    mine = _positions(windows, series)
    before = np.searchsorted(starts, key(mine, ends)) - 1  # the last span that begins before the window's end
    met = (before >= 0) & (of[before] == mine) & (latest[before] > key(mine, origins))
    return windows.take(np.flatnonzero(~met))


def _spans(data: Any, series: dict[Any, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Series [n], and the times [n] after which, and up to which, its rows are fitted on."""
    if isinstance(data, Data):
        rows = known_timeline(data)
        of = np.array([series[item] for item in _series(data) if item in series], dtype=np.int64)
        just_before = rows[0] - np.timedelta64(1, "us")
        return of, np.full(len(of), just_before), np.full(len(of), rows[-1])
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
