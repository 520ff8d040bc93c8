"""Panels from tables: long frames (a row an item and time) and wide ones (a column an item)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forecast_core.data.frames import as_frame, number_column, require_columns, time_column
from forecast_core.data.freq import Freq
from forecast_core.data.panel import Panel
from forecast_core.errors import DataError, ShapeError

__all__ = ["check_span", "items_of", "panel_from_long", "panel_from_wide"]

_LARGE = 10_000_000  # cells of a grid that are allocated without a question
_SPARSE = 1_000  # steps of a larger grid for each row of the table, at most


def panel_from_long(
    frame: Any,
    *,
    timestamp: str,
    targets: tuple[str, ...],
    item_id: str | None,
    freq: str | Freq | None,
    past: tuple[str, ...],
    future: tuple[str, ...],
    static: tuple[str, ...],
    tz: str | None,
) -> Panel:
    """See `Panel.from_frame`."""
    table = as_frame(frame)
    require_columns(table, [timestamp], argument="timestamp")
    require_columns(table, targets, argument="target")
    require_columns(table, [item_id] if item_id is not None else [], argument="item_id")
    for argument, names in (
        ("past_covariates", past),
        ("future_covariates", future),
        ("static_covariates", static),
    ):
        require_columns(table, names, argument=argument)
    if not len(table) or not targets:
        raise ShapeError("frame", "has at least one row and one target column")
    stamps, zone = time_column(table, timestamp)
    item_ids, item = items_of(table, item_id, alone=targets[0])
    _check_order(stamps, item, item_ids)
    grid = Freq.parse(freq) if freq is not None else _infer(stamps, item)
    start = stamps.min()
    row = grid.offset(stamps, start)
    shape = (int(row.max()) + 1, len(item_ids))
    check_span(timestamp, stamps, rows=shape[0], cells=shape[0] * len(item_ids))

    def scatter(names: tuple[str, ...]) -> np.ndarray | None:
        if not names:
            return None
        out = np.full((*shape, len(names)), np.nan)
        for k, name in enumerate(names):
            column = number_column(table, name)
            infinite = np.isinf(column)
            if infinite.any():
                at = int(infinite.argmax())
                raise DataError(
                    name,
                    "is finite, or missing",
                    place=f"row {at} ({stamps[at]}, item {item_ids[item[at]]!r})",
                    got=column[at],
                )
            out[row, item, k] = column
        return out

    values = scatter(targets)
    assert values is not None
    return Panel(
        values=values,
        timestamps=grid.range(start, shape[0]),
        item_ids=item_ids,
        freq=grid,
        target_names=targets,
        past_covariates=scatter(past),
        past_covariate_names=past,
        future_covariates=scatter(future),
        future_covariate_names=future,
        static_covariates=_static(table, static, item, item_ids),
        static_covariate_names=static,
        tz=tz if tz is not None else zone,
    )


def panel_from_wide(
    frame: Any,
    *,
    timestamp: str,
    items: Sequence[str] | None,
    target: str,
    freq: str | Freq | None,
    tz: str | None,
) -> Panel:
    """See `Panel.from_wide`."""
    table = as_frame(frame)
    require_columns(table, [timestamp], argument="timestamp")
    names = tuple(items) if items is not None else tuple(c for c in table.columns if c != timestamp)
    require_columns(table, names, argument="items")
    if not len(table) or not names:
        raise ShapeError("frame", "has at least one row and one item column")
    stamps, zone = time_column(table, timestamp)
    _check_order(stamps, np.zeros(len(stamps), dtype=np.int64), ("frame",))
    grid = Freq.parse(freq) if freq is not None else Freq.infer(stamps)
    row = grid.offset(stamps, stamps[0])
    check_span(timestamp, stamps, rows=int(row[-1]) + 1, cells=(int(row[-1]) + 1) * len(names))
    values = np.full((int(row[-1]) + 1, len(names), 1), np.nan)
    for k, name in enumerate(names):
        values[row, k, 0] = number_column(table, name)
    return Panel(
        values=values,
        timestamps=grid.range(stamps[0], len(values)),
        item_ids=names,
        freq=grid,
        target_names=(target,),
        tz=tz if tz is not None else zone,
    )


def check_span(
    timestamp: str, stamps: np.ndarray, *, rows: int, cells: int, at: np.ndarray | None = None
) -> None:
    """Refuse a large grid that is almost empty: one of its times [n] far from the others, such as 1970.

    timestamp: name of the column; rows: steps that the times span; cells: of all that is to be allocated;
    at [n]: rows of the table that the times are of, where these are not all.
    """
    if cells <= _LARGE or rows <= _SPARSE * len(stamps):
        return
    seconds = stamps.astype(np.int64)
    far = int(np.abs(seconds - np.median(seconds)).argmax())
    raise DataError(
        timestamp,
        f"lies near the other times: {len(stamps)} rows would span {rows:,} steps",
        place=f"row {far if at is None else at[far]}",
        got=stamps[far],
        hint="drop the row, or give a longer freq",
    )


def items_of(table: Any, item_id: str | None, *, alone: str) -> tuple[tuple[Any, ...], np.ndarray]:
    """Item ids in order of first appearance, and the item of each row; `alone` where there is no column."""
    if item_id is None:
        return (alone,), np.zeros(len(table), dtype=np.int64)
    column = table.get_column(item_id)
    if column.null_count():
        row = int(np.asarray(column.is_null().to_numpy()).argmax())
        raise DataError(item_id, "has no missing item id", place=f"row {row}")
    ids = column.to_list()
    rank = {item: k for k, item in enumerate(dict.fromkeys(ids))}
    return tuple(rank), np.fromiter(map(rank.__getitem__, ids), dtype=np.int64, count=len(ids))


def _check_order(stamps: np.ndarray, item: np.ndarray, item_ids: Sequence[Any]) -> None:
    by_item = np.argsort(item, kind="stable")  # rows of an item, in the frame's order
    step = np.diff(stamps[by_item]).astype(np.int64)
    wrong = np.flatnonzero((step <= 0) & (np.diff(item[by_item]) == 0))
    if len(wrong):
        first = wrong[by_item[wrong + 1].argmin()]  # of the offending rows
        at, duplicate = int(by_item[first + 1]), step[first] == 0
        raise DataError(
            "timestamp",
            "increases strictly within an item",
            place=f"row {at}, item {item_ids[item[at]]!r}",
            got=f"{stamps[at]}, {'a duplicate' if duplicate else 'earlier than the row before'}",
            hint=_order_hint(duplicate, one_item=len(item_ids) == 1),
        )


def _order_hint(duplicate: bool, *, one_item: bool) -> str:
    fix = "aggregate or drop duplicates first" if duplicate else "sort the frame by time first"
    return f"{fix}, or name the column of items with item_id=" if one_item else fix


def _infer(stamps: np.ndarray, item: np.ndarray) -> Freq:
    longest = np.bincount(item).argmax()
    return Freq.infer(stamps[item == longest])


def _static(
    table: Any, names: tuple[str, ...], item: np.ndarray, item_ids: Sequence[Any]
) -> np.ndarray | None:
    if not names:
        return None
    out = np.empty((len(item_ids), len(names)))
    _, first = np.unique(item, return_index=True)
    for k, name in enumerate(names):
        column = number_column(table, name)
        out[:, k] = column[first]
        differs = np.flatnonzero(~((column == out[item, k]) | (np.isnan(column) & np.isnan(out[item, k]))))
        if len(differs):
            at = int(differs[0])
            raise DataError(
                name,
                "is constant within an item",
                place=f"row {at}, item {item_ids[item[at]]!r}",
                got=column[at],
            )
    return out
