"""Files and frames into panels: csv and parquet, long or wide, and irregular rows onto a grid."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal

import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.data.frames import (
    as_frame,
    build_frame,
    number_column,
    read_table,
    require_columns,
    time_column,
)
from forecast_core.errors import DataError, InvalidInputError, ShapeError

__all__ = ["read_long", "read_wide", "resample"]


def read_long(
    path: str | PathLike[str],
    *,
    timestamp: str,
    target: str | Sequence[str],
    item_id: str | None = None,
    freq: str | Freq | None = None,
    past_covariates: Sequence[str] = (),
    future_covariates: Sequence[str] = (),
    static_covariates: Sequence[str] = (),
    tz: str | None = None,
) -> Panel:
    """A panel of a file with a row an (item, time); see `Panel.from_frame`. Item ids of a csv are texts."""
    return Panel.from_frame(
        read_table(path, text=() if item_id is None else (item_id,)),
        timestamp=timestamp,
        target=target,
        item_id=item_id,
        freq=freq,
        past_covariates=past_covariates,
        future_covariates=future_covariates,
        static_covariates=static_covariates,
        tz=tz,
    )


def read_wide(
    path: str | PathLike[str],
    *,
    timestamp: str,
    items: Sequence[str] | None = None,
    target: str = "target",
    freq: str | Freq | None = None,
    tz: str | None = None,
) -> Panel:
    """A panel of a file with a row a time and a column an item; see `Panel.from_wide`."""
    return Panel.from_wide(
        read_table(path), timestamp=timestamp, items=items, target=target, freq=freq, tz=tz
    )


def resample(
    frame: Any,
    *,
    timestamp: str,
    columns: Sequence[str],
    freq: str | Freq,
    how: Literal["sum", "mean", "last", "max", "min"],
    missing: Literal["nan", "zero"],
    item_id: str | None = None,
    backend: str | None = None,
) -> Any:
    """Rows at any times gathered into periods of `freq`: a long frame, a row an (item, period).

    Every item runs without holes from its own first to its own last period. missing says what a period
    without rows is: "nan" unknown, or "zero" nothing happened; a period whose rows hold no value at all
    is NaN either way. Rows may come in any order; of equal times the later row counts as last. The
    result is what `Panel.from_frame` takes. Raises DataError naming a wrong column, InvalidInputError
    for an unknown `how` or `missing`.
    """
    if how not in ("sum", "mean", "last", "max", "min"):
        raise InvalidInputError("how", "is one of sum, mean, last, max, min", got=repr(how))
    if missing not in ("nan", "zero"):
        raise InvalidInputError("missing", "is 'nan' or 'zero'", got=repr(missing))
    table, grid = as_frame(frame), Freq.parse(freq)
    require_columns(table, [timestamp], argument="timestamp")
    require_columns(table, list(columns), argument="columns")
    if not len(table):
        raise ShapeError("frame", "has at least one row")
    stamps, _ = time_column(table, timestamp)
    ids, item = _items(table, item_id)
    order = np.lexsort((stamps, item))
    period, item = grid.floor(stamps)[order], item[order]
    first_of_item = np.searchsorted(item, np.arange(len(ids)))
    start = period[first_of_item]
    step = np.empty(len(period), dtype=np.int64)
    for k in range(len(ids)):  # an item's grid has its own start
        own = slice(first_of_item[k], first_of_item[k + 1] if k + 1 < len(ids) else None)
        step[own] = grid.offset(period[own], start[k])
    last_of_item = np.append(first_of_item[1:], len(item)) - 1
    lengths = step[last_of_item] + 1
    base = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    slot = base[item] + step
    out: dict[str, Any] = (
        {} if item_id is None else {item_id: [i for i, n in zip(ids, lengths, strict=True) for _ in range(n)]}
    )
    out[timestamp] = np.concatenate([grid.range(s, int(n)) for s, n in zip(start, lengths, strict=True)])
    empty = np.bincount(slot, minlength=int(lengths.sum())) == 0
    for name in columns:
        values = _reduce(number_column(table, name)[order], slot, int(lengths.sum()), how)
        out[name] = np.where(empty, 0.0 if missing == "zero" else np.nan, values)
    return build_frame(out, backend=backend)


def _items(table: Any, item_id: str | None) -> tuple[list[Any], np.ndarray]:
    if item_id is None:
        return [None], np.zeros(len(table), dtype=np.int64)
    require_columns(table, [item_id], argument="item_id")
    if table[item_id].null_count():
        raise DataError(item_id, "has no missing item id")
    ids, item = np.unique(np.asarray(table[item_id].to_numpy()), return_inverse=True)
    return ids.tolist(), item


def _reduce(values: np.ndarray, slot: np.ndarray, slots: int, how: str) -> np.ndarray:
    """Values of each slot in one, [slots]; NaN where it has none; `slot` is sorted."""
    seen = ~np.isnan(values)
    values, slot = values[seen], slot[seen]
    count = np.bincount(slot, minlength=slots)
    out = np.full(slots, np.nan)
    if not len(values):
        return out
    if how in ("sum", "mean"):
        total = np.bincount(slot, weights=values, minlength=slots)
        return np.where(count > 0, total / (np.maximum(count, 1) if how == "mean" else 1.0), np.nan)
    begins = np.flatnonzero(np.append(True, np.diff(slot) > 0))
    if how == "last":
        reduced = values[np.append(begins[1:], len(values)) - 1]
    else:
        reduced = (np.maximum if how == "max" else np.minimum).reduceat(values, begins)
    out[slot[begins]] = reduced
    return out
