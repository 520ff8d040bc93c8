"""Bars from csv and parquet files, or from a folder of them."""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import narwhals as nw

from forecast_core.data.frames import as_frame, read_table
from forecast_core.errors import DataError
from forecast_finance.bars import Bars

__all__ = ["read_bars"]

_TABLES = (".csv", ".csv.gz", ".parquet", ".pq")


def read_bars(
    path: str | PathLike[str],
    *,
    symbol: str | None = "symbol",
    timestamp: str = "timestamp",
    volume: str = "volume",
    invalid: Literal["error", "drop"] = "error",
    sort: bool = False,
) -> Bars:
    """Bars of a table (csv, csv.gz, parquet), or of all tables in a folder, one below the other.

    symbol, timestamp, volume: columns, in lower or title case; symbols of a csv are read as they are written.
    sort: put rows in order of time first; files that are newest first need it. Raises DataError for a missing
    or unreadable file and for files of a folder whose columns or types differ, and whatever `Bars.from_frame`
    raises.
    """
    place = Path(path)
    files = [place]
    if place.is_dir():
        files = sorted(f for f in place.iterdir() if f.name.lower().endswith(_TABLES))
    if not files:
        raise DataError("path", "is a folder with csv or parquet files", got=str(place))
    symbols = () if symbol is None else (symbol, symbol.title())
    kept = {*symbols, timestamp, timestamp.title()}
    frames = [_floats(as_frame(read_table(file, text=symbols)), but=kept) for file in files]
    for file, frame in zip(files, frames, strict=True):
        _check_alike(file.name, frame, files[0].name, frames[0])
    table = frames[0] if len(frames) == 1 else nw.concat(frames)
    if sort:
        column = timestamp if timestamp in table.columns else timestamp.title()
        table = table.sort(column) if column in table.columns else table
    return Bars.from_frame(
        table.to_native(), symbol=symbol, timestamp=timestamp, volume=volume, invalid=invalid
    )


def _floats(table: nw.DataFrame[Any], *, but: Collection[str]) -> nw.DataFrame[Any]:
    """The table with numbers as float64, since whole ones may be fractions in the next; but some columns."""
    numbers = [name for name in table.columns if name not in but and table[name].dtype.is_numeric()]
    return table.with_columns(nw.col(*numbers).cast(nw.Float64)) if numbers else table


def _check_alike(name: str, table: nw.DataFrame[Any], first: str, other: nw.DataFrame[Any]) -> None:
    """DataError where a table has not the columns of the first one, or one of another type."""
    if table.columns != other.columns:
        raise DataError(
            "path", f"has the columns of {first} ({other.columns})", place=name, got=table.columns
        )
    for column, kind in other.schema.items():
        if table.schema[column] != kind:
            rule = f"has a column {column!r} of the type it has in {first} ({kind})"
            raise DataError("path", rule, place=name, got=str(table.schema[column]))
