"""Files and frames into panels: csv and parquet, long or wide, and irregular rows onto a grid."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any, Literal

import narwhals as nw
import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.data.calendar import local_time
from forecast_core.data.frames import (
    as_frame,
    build_frame,
    id_column,
    number_column,
    read_table,
    require_columns,
    time_column,
)
from forecast_core.data.tables import check_span, items_of
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
    columns: str | Sequence[str],
    freq: str | Freq,
    how: Literal["sum", "mean", "last", "max", "min"],
    missing: Literal["nan", "zero"],
    item_id: str | None = None,
    tz: str | None = None,
    backend: str | None = None,
) -> Any:
    """Rows at any times gathered into periods of `freq`: a long frame, a row an (item, period).

    Every item runs without holes from its own first to its own last period. missing says what a period
    without rows is: "nan" unknown, or "zero" nothing happened; a period whose rows hold no value at all
    is NaN either way. Rows may come in any order; of equal times the later row counts as last.

    tz: the zone whose days, weeks and months are meant; default: that of the times. Where there is one,
    such periods are told by their local beginning, which names no zone, and shorter ones, counted in UTC,
    by a time in the zone. The result is what `Panel.from_frame` takes, items in order of appearance;
    backend: "pandas", "polars" or "pyarrow", default the first installed, whatever `frame` is of. Raises
    DataError naming a wrong column, an infinite value or a time far from the others, InvalidInputError for
    an unknown `how` or `missing`, or a zone that is no place, such as an offset.
    """
    if how not in ("sum", "mean", "last", "max", "min"):
        raise InvalidInputError("how", "is one of sum, mean, last, max, min", got=repr(how))
    if missing not in ("nan", "zero"):
        raise InvalidInputError("missing", "is 'nan' or 'zero'", got=repr(missing))
    table, grid = as_frame(frame), Freq.parse(freq)
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    require_columns(table, [timestamp], argument="timestamp")
    require_columns(table, names, argument="columns")
    require_columns(table, [item_id] if item_id is not None else [], argument="item_id")
    if not len(table):
        raise ShapeError("frame", "has at least one row")
    stamps, zone = time_column(table, timestamp)
    zone = tz if tz is not None else zone
    local = local_time(stamps, zone)
    by_clock = not grid.is_fixed or grid.unit in ("D", "W")
    ids, item = items_of(table, item_id, alone="")
    period = grid.floor(local if by_clock else stamps)
    order = np.lexsort((stamps, period, item))
    period, item = period[order], item[order]
    first_of_item = np.searchsorted(item, np.arange(len(ids)))
    last_of_item = np.append(first_of_item[1:], len(item)) - 1
    start = period[first_of_item]
    step = np.empty(len(period), dtype=np.int64)
    for k, (first, last) in enumerate(zip(first_of_item, last_of_item + 1, strict=True)):
        step[first:last] = grid.offset(period[first:last], start[k])  # an item's grid has its own start
    lengths = step[last_of_item] + 1
    emptiest = int((lengths / (last_of_item - first_of_item + 1)).argmax())
    rows = order[first_of_item[emptiest] : last_of_item[emptiest] + 1]
    total = int(lengths.sum())
    check_span(timestamp, stamps[rows], rows=int(lengths[emptiest]), cells=total, at=rows)
    base = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    slot = base[item] + step
    out: dict[str, Any] = {}
    if item_id is not None:
        out[item_id] = [i for i, n in zip(id_column(ids), lengths.tolist(), strict=True) for _ in range(n)]
    out[timestamp] = np.concatenate([grid.range(s, int(n)) for s, n in zip(start, lengths, strict=True)])
    empty = np.bincount(slot, minlength=total) == 0
    for name in names:
        values = number_column(table, name)
        if np.isinf(values).any():
            row = int(np.isinf(values).argmax())
            raise DataError(name, "is finite, or missing", place=f"row {row}", got=values[row])
        values = _reduce(values[order], slot, total, how)
        out[name] = np.where(empty, 0.0 if missing == "zero" else np.nan, values)
    made = build_frame(out, backend=backend)
    if by_clock or zone is None:
        return made
    times = nw.col(timestamp).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return as_frame(made).with_columns(times).to_native()


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
