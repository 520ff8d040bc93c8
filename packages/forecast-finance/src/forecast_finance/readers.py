"""Bars from csv and parquet files, or from a folder of them."""

from __future__ import annotations

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

    symbol, timestamp, volume: columns, in lower or title case. sort: put rows in order of time first; files
    that are newest first need it. Raises DataError for a missing or unreadable file, and whatever
    `Bars.from_frame` raises.
    """
    place = Path(path)
    files = sorted(f for f in place.iterdir() if f.name.endswith(_TABLES)) if place.is_dir() else [place]
    if not files:
        raise DataError("path", "is a folder with csv or parquet files", got=str(place))
    frames = [_floats(as_frame(read_table(file))) for file in files]
    for file, frame in zip(files, frames, strict=True):
        if frame.columns != frames[0].columns:
            rule = f"has the columns of {files[0].name} ({frames[0].columns})"
            raise DataError("path", rule, place=file.name, got=frame.columns)
    table = frames[0] if len(frames) == 1 else nw.concat(frames)
    if sort:
        column = timestamp if timestamp in table.columns else timestamp.title()
        table = table.sort(column) if column in table.columns else table
    return Bars.from_frame(
        table.to_native(), symbol=symbol, timestamp=timestamp, volume=volume, invalid=invalid
    )


def _floats(table: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """The table with all numbers as float64: whole numbers in one file may be fractions in the next."""
    numbers = [name for name in table.columns if table[name].dtype.is_numeric()]
    return table.with_columns(nw.col(*numbers).cast(nw.Float64)) if numbers else table
