"""From long frames to bars."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from forecast_core.data.frames import as_frame, number_column, require_columns, time_column
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_finance.bar_rules import FIELDS, DroppedRow, DropReport, broken_rules, order_faults

if TYPE_CHECKING:
    from forecast_finance.bars import Bars

__all__ = ["bars_from_frame"]

B = TypeVar("B", bound="Bars")

_log = logging.getLogger("forecast")

_ORDER, _ONCE = "has timestamps in order of time", "has each timestamp once"


def bars_from_frame(
    kind: type[B],
    frame: Any,
    *,
    symbol: str | None,
    timestamp: str,
    volume: str,
    invalid: Literal["error", "drop"],
    interval: np.timedelta64 | None,
    horizons: tuple[int, ...],
) -> B:
    """See `Bars.from_frame`."""
    if invalid not in ("error", "drop"):
        raise InvalidInputError("invalid", "is 'error' or 'drop'", got=repr(invalid))
    table = as_frame(frame)
    columns = [_column(table, name) for name in (*FIELDS[:4], volume)]
    stamp_column = _column(table, timestamp)
    symbol_column = None if symbol is None else _column(table, symbol)
    require_columns(table, [stamp_column], argument="timestamp")
    require_columns(table, [] if symbol_column is None else [symbol_column], argument="symbol")
    require_columns(table, columns, argument="frame")
    if not len(table):
        raise ShapeError("frame", "has at least one row")
    stamps, _ = time_column(table, stamp_column)
    names, of = _symbols(table, symbol_column)
    values = np.stack([number_column(table, name) for name in columns], axis=1)  # [n, 5]
    order = np.argsort(of, kind="stable")  # a symbol's rows together, in the frame's order
    stamps, values, of = stamps[order], values[order], of[order]
    if invalid == "error":
        _refuse(stamps, values, of, names, order)
        dropped = DropReport()
    else:
        kept, dropped = _keep(stamps, values, of, names, order)
        stamps, values, of = stamps[kept], values[kept], of[kept]
    present = np.bincount(of, minlength=len(names)) > 0
    if not present.all():
        gone = names[int((~present).argmax())]
        raise DataError("frame", "leaves a valid bar of each symbol", place=gone)
    return kind(
        symbols=names,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(of))]),
        timestamps=stamps,
        values=values,
        interval=_usual_step(stamps, of) if interval is None else interval,
        horizons=horizons,
        dropped=dropped,
    )


def _column(table: Any, name: str) -> str:
    """The column of that name, as it is or in title case."""
    return name if name in table.columns or name.title() not in table.columns else name.title()


def _symbols(table: Any, column: str | None) -> tuple[tuple[str, ...], np.ndarray]:
    if column is None:
        return ("series",), np.zeros(len(table), dtype=np.int64)
    series = table[column]
    if series.null_count():
        row = int(np.asarray(series.is_null().to_numpy()).argmax())
        raise DataError(column, "has no missing symbol", place=f"row {row}")
    told = [str(name) for name in series.to_list()]
    rank = {name: k for k, name in enumerate(dict.fromkeys(told))}
    return tuple(rank), np.fromiter(map(rank.__getitem__, told), dtype=np.int64, count=len(told))


def _refuse(
    stamps: np.ndarray, values: np.ndarray, of: np.ndarray, names: tuple[str, ...], order: np.ndarray
) -> None:
    """DataError for the first fault, in the frame's own row numbers."""
    earlier, equal = order_faults(stamps, of)
    for rule, broken in ((_ORDER, earlier), (_ONCE, equal), *broken_rules(values)):
        if broken.any():
            at = int(np.flatnonzero(broken)[order[broken].argmin()])
            several = len(names) == 1 and rule in (_ORDER, _ONCE)
            hint = {
                _ORDER: "sort the frame by time first",
                _ONCE: 'drop duplicates, or use invalid="drop"',
            }.get(rule, 'correct the row, or use invalid="drop" to leave it out')
            raise DataError(
                "frame",
                rule,
                place=f"row {order[at]} ({names[of[at]]}, {stamps[at]})",
                got=str(stamps[at]) if rule in (_ORDER, _ONCE) else values[at].tolist(),
                hint=hint + (", or name the column of symbols with symbol=" if several else ""),
            )


def _keep(
    stamps: np.ndarray, values: np.ndarray, of: np.ndarray, names: tuple[str, ...], order: np.ndarray
) -> tuple[np.ndarray, DropReport]:
    """Which rows obey all rules, and the report of the others; order of time cannot be mended by dropping.

    Of valid rows of one time the first is kept, whatever invalid ones stand before it.
    """
    kept, found = np.ones(len(of), dtype=np.bool_), list[DroppedRow]()
    if order_faults(stamps, of)[0].any():
        _refuse(stamps, values, of, names, order)

    def leave_out(rows: np.ndarray, rule: str) -> None:
        kept[rows] = False
        found.extend(DroppedRow(int(order[k]), names[of[k]], str(stamps[k]), rule) for k in rows.tolist())

    for rule, broken in broken_rules(values):
        leave_out(np.flatnonzero(broken & kept), rule)
    valid = np.flatnonzero(kept)
    leave_out(valid[order_faults(stamps[valid], of[valid])[1]], _ONCE)
    report = DropReport(tuple(sorted(found, key=lambda row: row.row)))
    if report.rows:
        _log.warning("left out %d of %d rows: %s", len(report), len(of), report.by_rule())
    return kept, report


def _usual_step(stamps: np.ndarray, of: np.ndarray) -> np.timedelta64:
    """The most frequent time between bars of a symbol; a day where no symbol has two."""
    step = np.diff(stamps)[np.diff(of) == 0]
    if not len(step):
        return np.timedelta64(86_400_000_000, "us")
    sizes, counts = np.unique(step, return_counts=True)
    return np.timedelta64(int(sizes.astype(np.int64)[counts.argmax()]), "us")
