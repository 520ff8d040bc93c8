"""Frames in and out: pandas, polars, pyarrow or anything narwhals reads; none of them is required."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np

from forecast_core.data.instants import instants
from forecast_core.errors import DataError, InvalidInputError, MissingDependencyError, near_misses

__all__ = [
    "as_frame",
    "build_frame",
    "id_column",
    "number_column",
    "read_table",
    "require_columns",
    "time_column",
]

_BACKENDS = ("pandas", "polars", "pyarrow")
_TABLE_BACKENDS = ("polars", "pyarrow", "pandas")  # in order of speed
_TABLES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", ".pq": "parquet"}

# Cells of a csv, in what the regular expressions of every library know.
_MISSING = r"(?i:|na|n/a|#n/a|<na>|-?nan|null|none)"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:[+-]?inf(?:inity)?)"
_WHOLE, _TRUTH = r"-?[0-9]{1,18}", r"(?i:true|false)"


def as_frame(frame: Any, *, argument: str = "frame") -> nw.DataFrame[Any]:
    """A narwhals frame of any eager data frame; InvalidInputError for anything else.

    DataError where two columns have one name.
    """
    try:
        table: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        got = type(frame).__name__
        raise InvalidInputError(argument, "is a pandas, polars or pyarrow frame", got=got) from error
    except nw.exceptions.DuplicateError as error:
        raise DataError(argument, f"has one column of each name ({' '.join(str(error).split())})") from error
    return table


def require_columns(frame: nw.DataFrame[Any], names: Sequence[str], *, argument: str) -> None:
    """DataError with near misses for the first name that is no column."""
    for name in names:
        if name not in frame.columns:
            raise DataError(
                argument,
                "is a column of the frame",
                got=repr(name),
                hint=near_misses(str(name), map(str, frame.columns)),
            )


def number_column(frame: nw.DataFrame[Any], name: str) -> np.ndarray:
    """A column as float64, missing values as NaN; DataError where it does not hold numbers."""
    column = frame.get_column(name)
    if len(column) and column.null_count() == len(column):  # of no type, or of any
        return np.full(len(column), np.nan)
    if not (column.dtype.is_numeric() or column.dtype == nw.Boolean):
        raise DataError(name, "holds numbers", got=str(column.dtype))
    return np.asarray(column.cast(nw.Float64).to_numpy(), dtype=np.float64)


def time_column(frame: nw.DataFrame[Any], name: str) -> tuple[np.ndarray, str | None]:
    """A column as UTC datetime64[us], and the time zone it came with.

    Texts are read as ISO 8601, in UTC unless they name an offset. DataError where a value is missing or
    no time.
    """
    column, zone = frame.get_column(name), None
    if column.dtype == nw.Unknown:
        column, zone = _zoned(column)
    elif isinstance(column.dtype, nw.Datetime):
        zone = column.dtype.time_zone
        if zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    elif column.dtype == nw.Date:
        column = column.cast(nw.Datetime("us"))
    if column.dtype not in (nw.Datetime, nw.String, nw.Object):
        raise DataError(name, "holds timestamps, dates or ISO 8601 texts", got=str(column.dtype))
    return instants(name, column.to_numpy()), zone


def _zoned(column: nw.Series[Any]) -> tuple[nw.Series[Any], str | None]:
    """A column in UTC and its zone, where pandas tells of one that narwhals cannot read ("_", "+")."""
    native: Any = column.to_native()
    zone = getattr(native.dtype, "tz", None)
    if zone is None:
        return column, None
    return nw.from_native(native.dt.tz_convert("UTC").dt.tz_localize(None), series_only=True), str(zone)


def id_column(item_ids: Sequence[int | str], *, each: int = 1) -> list[int | str]:
    """Every id `each` times; as texts where ids are of both kinds, since a column has one."""
    mixed = len({type(item) for item in item_ids}) > 1
    ids = map(str, item_ids) if mixed else item_ids
    return [item for item in ids for _ in range(each)]


def build_frame(columns: Mapping[str, Any], *, backend: str | None = None) -> Any:
    """A frame of the named library, or of the first of pandas, polars, pyarrow that is installed."""
    if backend is not None and backend not in _BACKENDS:
        raise InvalidInputError("backend", f"is one of {list(_BACKENDS)}", got=repr(backend))
    choice = backend or next((b for b in _BACKENDS if find_spec(b) is not None), None)
    if choice is None or find_spec(choice) is None:
        raise MissingDependencyError(
            choice or "pandas", purpose="to_frame", install=f"pip install {choice or 'pandas'}"
        )
    return nw.from_dict(dict(columns), backend=importlib.import_module(choice)).to_native()


def read_table(path: str | PathLike[str], *, text: Sequence[str] = (), backend: str | None = None) -> Any:
    """A frame of a csv (also gzipped) or parquet file, read by polars, pyarrow or pandas.

    All three read a csv alike: a column whose every cell is a number, true, false or missing (empty, NA,
    NaN, null, none) is one of numbers, any other one of texts, times too. text: columns to read as they are
    written, so that an id "007" stays one. backend: which library; default: the first installed.
    Raises DataError if the file is missing, of another type or cannot be parsed, MissingDependencyError if no
    library is there to read it.
    """
    file = Path(path)
    kind = next((kind for end, kind in _TABLES.items() if file.name.lower().endswith(end)), None)
    if kind is None:
        raise DataError("path", "ends in .csv, .csv.gz or .parquet", got=str(file))
    if not file.is_file():
        raise DataError("path", "is a file", got=str(file))
    if backend is not None and backend not in _TABLE_BACKENDS:
        raise InvalidInputError("backend", f"is one of {list(_TABLE_BACKENDS)}", got=repr(backend))
    choice: Any = backend or next((name for name in _TABLE_BACKENDS if find_spec(name) is not None), None)
    if choice is None or find_spec(choice) is None:
        raise MissingDependencyError(
            choice or "polars", purpose="reading tables", install=f"pip install {choice or 'polars'}"
        )
    try:
        if kind == "parquet":
            return nw.read_parquet(str(file), backend=choice).to_native()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Length of header")  # pandas would drop the cells beyond
            cells = nw.read_csv(str(file), backend=choice, **_untyped(choice, file))
    except Exception as error:  # each library has errors of its own
        raise DataError("path", f"holds a readable {kind} table ({error})", got=str(file)) from error
    return cells.with_columns(
        *(_text(name) if name in text else _typed(cells, name) for name in cells.columns)
    ).to_native()


def _untyped(backend: str, file: Path) -> dict[str, Any]:
    """What tells a library's csv reader to leave every cell as it is written."""
    if backend == "polars":
        return {"infer_schema": False}
    if backend == "pandas":
        return {"dtype": str, "keep_default_na": False, "index_col": False}
    import pyarrow
    from pyarrow import csv

    names = csv.open_csv(str(file)).schema.names
    return {"convert_options": csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()))}


def _typed(frame: nw.DataFrame[Any], name: str) -> nw.Series[Any] | nw.Expr:
    """A column of cells as whole numbers, truth values, numbers or texts."""
    cells = frame.get_column(name).fill_null("").str.strip_chars()

    def all_are(*kinds: str) -> bool:
        return bool(cells.str.contains(f"^(?:{'|'.join(kinds)})$").all())

    if not all_are(_NUMBER, _TRUTH, _MISSING):
        return _text(name)
    if all_are(_WHOLE):
        return cells.cast(nw.Int64)
    if all_are(_TRUTH):
        return cells.str.to_lowercase() == "true"
    if all_are(_NUMBER):
        return cells.cast(nw.Float64)
    for kind, number in (("(?i:true)", "1"), ("(?i:false)", "0"), (_MISSING, "nan")):
        cells = cells.str.replace_all(f"^(?:{kind})$", number)
    known = nw.when(~nw.col(name).is_nan()).then(nw.col(name))
    return cells.cast(nw.Float64).to_frame().select(known.alias(name)).get_column(name)


def _text(name: str) -> nw.Expr:
    """A column of cells as texts, missing where they are empty."""
    return nw.when(nw.col(name) != "").then(nw.col(name)).alias(name)
