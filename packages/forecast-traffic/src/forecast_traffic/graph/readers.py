"""Tables and arrays, as the public traffic sets ship them, into graph panels."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.data.frames import as_frame, number_column, read_table, require_columns
from forecast_core.data.instants import instant, instants
from forecast_core.errors import DataError, InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.validation import numbers
from forecast_traffic.graph.clock import days
from forecast_traffic.graph.edges import edges_of, gaussian_kernel
from forecast_traffic.graph.panel import GraphPanel, NodeId

__all__ = ["distance_matrix", "from_tables", "read_adjacency", "read_network", "read_tables"]

Path_ = str | PathLike[str]
Matrix = np.ndarray | Sequence[Sequence[float]]

# What files raise that are torn, damaged, or of another kind than their name says.
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, csv.Error, zlib.error, zipfile.BadZipFile)


def from_tables(
    values: Any,
    edges: Any,
    *,
    timestamp: str = "timestamp",
    node: str = "node",
    channels: Sequence[str] = ("speed",),
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    missing_value: float | None = None,
    freq: str | Freq | None = None,
    tz: str | None = None,
    holidays: Iterable[Any] | None = None,
) -> GraphPanel:
    """A panel of two frames of pandas, polars or pyarrow: a row a (node, time), and a row an edge.

    values: columns timestamp, node and channels; times a node lacks are missing. edges: columns source and
    target hold ids of nodes; weight None: 1 each. tz, holidays: as for `GraphPanel`. Raises DataError for a
    missing column, a duplicate time, or an edge of an unknown node (naming its row).
    """
    panel = Panel.from_frame(values, timestamp=timestamp, target=channels, item_id=node, freq=freq, tz=tz)
    table = as_frame(edges, argument="edges")
    columns = [source, target, *([] if weight is None else [weight])]
    require_columns(table, columns, argument="edges")
    where = {str(item): k for k, item in enumerate(panel.item_ids)}
    ends = [_positions(table[name].to_list(), where, column=name) for name in (source, target)]
    return GraphPanel(
        panel.values,
        panel.timestamps,
        panel.item_ids,
        np.stack(ends),
        None if weight is None else number_column(table, weight),  # type: ignore[arg-type]
        freq=panel.freq,
        tz=panel.tz,
        holidays=None if holidays is None else days("holidays", holidays),
        channel_names=tuple(channels),
        missing_value=missing_value,
    )


def read_tables(values: Path_, edges: Path_, *, node: str = "node", **options: Any) -> GraphPanel:
    """A panel of two csv or parquet files; options as for `from_tables`. Ids of nodes in a csv are texts."""
    ends = (options.get("source", "source"), options.get("target", "target"))
    return from_tables(read_table(values, text=(node,)), read_table(edges, text=ends), node=node, **options)


def read_network(
    path: Path_,
    *,
    adjacency: Path_ | Matrix | None = None,
    distances: Path_ | Matrix | None = None,
    start: Any = None,
    freq: str | Freq = "5min",
    timestamp: str | None = None,
    node_ids: Sequence[NodeId] | None = None,
    key: str | None = None,
    channels: Sequence[str] = (),
    threshold: float = 0.1,
    missing_value: float | None = None,
    tz: str | None = None,
    holidays: Iterable[Any] | None = None,
) -> GraphPanel:
    """A panel of the arrays that public sets ship: values in .npz, .csv(.gz) or .h5, a graph beside them.

    npz: the array `key` (default: the first that has two or three axes), [time, node] or [time, node,
    channel], with `timestamps` and `sensor_ids` or `node_ids` where the file holds them. csv: a row a time,
    a column a node; column `timestamp` where there is one. h5: a pandas frame, a column a node (needs h5py).
    start: time of the first row, where the file has no times. adjacency: a matrix or a file of one (csv
    without header, or the array "adj" of an npz); distances: a matrix, or a file of a table (from, to,
    distance) with or without a header, which become weights by `gaussian_kernel` with `threshold`. Neither:
    no edges. tz, holidays: as for `GraphPanel`.

    Raises DataError naming what the file lacks, InvalidInputError where both graphs are given.
    """
    if adjacency is not None and distances is not None:
        raise InvalidInputError("distances", "are not given together with adjacency")
    grid = Freq.parse(freq)
    values, stamps, found = _read_values(Path(path), key=key, timestamp=timestamp)
    ids = tuple(node_ids) if node_ids is not None else found or tuple(range(values.shape[1]))
    if stamps is None:
        if start is None:
            raise DataError("start", "is given where the file holds no times", got=str(path))
        stamps = grid.range(instant("start", start), len(values))
    if distances is not None:
        matrix = _matrix("distances", distances, lambda path: _read_distances(path, ids))
        adjacency = gaussian_kernel(matrix, threshold=threshold)
    edge_index, edge_weight = np.zeros((2, 0), dtype=np.int64), np.zeros(0)
    if adjacency is not None:
        matrix = _matrix("adjacency", adjacency, read_adjacency)
        if matrix.shape != (len(ids), len(ids)):
            given = "adjacency" if distances is None else "distances"
            raise ShapeError(given, f"has a row a node ({len(ids)})", got=matrix.shape)
        edge_index, edge_weight = edges_of(matrix)
    return GraphPanel(
        values,
        stamps,
        ids,
        edge_index,
        edge_weight,
        freq=grid,
        tz=tz,
        holidays=None if holidays is None else days("holidays", holidays),
        channel_names=tuple(channels),
        missing_value=missing_value,
    )


def read_adjacency(path: Path_) -> np.ndarray:
    """A matrix [node, node]: a csv without header, gzipped or not, or the array "adj" of an npz.

    Raises DataError for a file that is missing, broken or holds something else.
    """
    file = _existing(path)
    if file.suffix == ".npz":
        arrays = _read_npz(file)
        if "adj" not in arrays:
            raise DataError("adjacency", "holds an array 'adj'", got=f"{file}: {sorted(arrays)}")
        return arrays["adj"]
    try:
        with warnings.catch_warnings(), _text(file) as lines:
            warnings.simplefilter("error")  # numpy only warns of an empty file
            matrix: np.ndarray = np.loadtxt(lines, delimiter=",", ndmin=2)
    except (*_BROKEN, UserWarning) as error:
        raise DataError("adjacency", f"is a table of numbers ({error})", got=str(file)) from error
    return matrix


def distance_matrix(frame: Any, node_ids: Sequence[NodeId]) -> np.ndarray:
    """Distances [node, node] of a frame with three columns: from, to, distance; infinite where none is given.

    Rows of other nodes are left out. A frame whose header is a first row (as files without header are read)
    counts that row too, also where its reader renamed a repeated id. Raises DataError where there are not
    three columns or a distance is no number.
    """
    table = as_frame(frame)
    if len(table.columns) != 3:
        raise DataError("distances", "has three columns: from, to, distance", got=list(table.columns))
    rows: list[tuple[str, Sequence[Any]]] = [(f"row {k}", row) for k, row in enumerate(table.iter_rows())]
    header = _first_row(table.columns, node_ids)
    return _distances_of([*([] if header is None else [("the header", header)]), *rows], node_ids)


def _first_row(names: Sequence[Any], node_ids: Sequence[NodeId]) -> Sequence[str] | None:
    """The row that a reader took for names, as it was written; None where they are names.

    Of a repeated name polars makes "name_duplicated_0" and pandas "name.1".
    """
    if not all(isinstance(name, str) for name in names):
        return None
    begin, end, distance = (re.sub(r"_duplicated_\d+$", "", name) for name in names)
    if re.fullmatch(re.escape(begin) + r"\.\d+", end) and end not in map(str, node_ids):
        end = begin
    return (begin, end, distance) if _is_number(distance) else None


def _read_distances(path: Path_, node_ids: Sequence[NodeId]) -> np.ndarray:
    """Distances [node, node] of a file as for `distance_matrix`; rows of a csv are taken as they stand."""
    file = _existing(path)
    if not file.name.lower().endswith((".csv", ".csv.gz")):
        return distance_matrix(read_table(file), node_ids)
    try:
        with _text(file) as lines:
            reader = csv.reader(lines)
            rows = [(f"line {reader.line_num}", row) for row in reader if row]
    except _BROKEN as error:
        raise DataError("distances", f"is a readable csv table ({error})", got=str(file)) from error
    for place, row in rows:
        if len(row) != 3:
            raise DataError("distances", "has three columns: from, to, distance", place=place, got=row)
    return _distances_of(rows, node_ids)  # a header names no nodes


def _distances_of(rows: Iterable[tuple[str, Sequence[Any]]], node_ids: Sequence[NodeId]) -> np.ndarray:
    """Distances [node, node] of rows (from, to, distance), each with its place."""
    where = {str(node): k for k, node in enumerate(node_ids)}
    matrix = np.full((len(where), len(where)), np.inf)
    for place, (begin, end, distance) in rows:
        i, j = where.get(str(begin).strip()), where.get(str(end).strip())
        if i is None or j is None:
            continue
        if not _is_number(distance):
            raise DataError("distances", "are numbers", place=place, got=repr(distance))
        matrix[i, j] = float(distance)
    return matrix


def _is_number(value: Any) -> bool:
    try:
        return not np.isnan(float(value))
    except (TypeError, ValueError):
        return False


def _matrix(argument: str, given: Path_ | Matrix, read: Callable[[Path_], np.ndarray]) -> np.ndarray:
    """A matrix as it is given, or of the file that is named."""
    if isinstance(given, str | PathLike):
        return read(given)
    if isinstance(given, np.ndarray | list | tuple):
        return numbers(argument, given)
    rule = "is a matrix [node, node], or the path of a file"
    hint = "of a frame take to_numpy(), with rows and columns in the order of the nodes"
    raise InvalidInputError(argument, rule, got=type(given).__name__, hint=hint)


def _text(file: Path) -> TextIO:
    """An open csv file, gzipped or not."""
    if file.suffix.lower() == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def _positions(ids: Sequence[Any], where: dict[str, int], *, column: str) -> np.ndarray:
    unknown = next((k for k, node in enumerate(ids) if str(node) not in where), None)
    if unknown is not None:
        rule = "holds ids of nodes with values"
        raise DataError(f"edges.{column}", rule, place=f"row {unknown}", got=repr(ids[unknown]))
    return np.array([where[str(node)] for node in ids], dtype=np.int64)


def _existing(path: Path_) -> Path:
    file = Path(path)
    if not file.is_file():
        raise DataError("path", "is a file", got=str(file))
    return file


_Values = tuple[np.ndarray, np.ndarray | None, tuple[NodeId, ...] | None]


def _read_values(path: Path, *, key: str | None, timestamp: str | None) -> _Values:
    """Values [time, node, channel], times and ids of nodes, each None where the file has none."""
    file = _existing(path)
    if file.suffix == ".npz":
        return _values_of_npz(_read_npz(file), key=key, file=file)
    if file.suffix in (".h5", ".hdf5"):
        return _values_of_hdf(file)
    table = as_frame(read_table(file))
    if timestamp is not None:
        require_columns(table, [timestamp], argument="timestamp")
    names = [name for name in table.columns if name != timestamp]
    values = np.stack([number_column(table, name) for name in names], axis=1)  # [time, node]
    stamps = None if timestamp is None else instants("timestamp", table[timestamp].to_numpy())
    return values[..., None], stamps, tuple(names)


def _values_of_npz(arrays: dict[str, np.ndarray], *, key: str | None, file: Path) -> _Values:
    chosen = key or next((name for name, a in arrays.items() if a.ndim in (2, 3) and name != "adj"), None)
    if chosen is None or chosen not in arrays or arrays[chosen].ndim not in (2, 3):
        rule = "names an array [time, node] or [time, node, channel] of the file"
        raise DataError("key", rule, got=f"{chosen!r}; {file} holds {sorted(arrays)}")
    values = arrays[chosen]
    ids = next((arrays[name] for name in ("sensor_ids", "node_ids") if name in arrays), None)
    stamps = arrays.get("timestamps")
    return (
        values if values.ndim == 3 else values[..., None],
        None if stamps is None else instants("timestamps", stamps),
        None if ids is None else tuple(ids.tolist()),
    )


def _read_npz(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz archive; objects, which would have to be unpickled, are refused."""
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    except _BROKEN as error:
        raise DataError("path", f"is an npz archive of plain arrays ({error})", got=str(file)) from error
    return arrays


def _values_of_hdf(file: Path) -> _Values:
    """Of a pandas frame in HDF5: axis0 are the columns, axis1 the index in nanoseconds."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "h5py", purpose="reading HDF5", install="pip install 'forecast-traffic[hdf]'"
        ) from error
    try:
        with h5py.File(file, "r") as store:
            held = (g for g in store.values() if isinstance(g, h5py.Group) and "block0_values" in g)
            group: Any = next(held, {})
            values, names, index = (
                np.asarray(group[name]) for name in ("block0_values", "block0_items", "axis1")
            )
    except (*_BROKEN, KeyError) as error:
        raise DataError("path", f"holds a pandas frame of numbers ({error})", got=str(file)) from error
    stamps = index.astype("datetime64[ns]").astype("datetime64[us]")
    ids = tuple(name.decode() if isinstance(name, bytes) else name for name in names.tolist())
    return values[..., None], stamps, ids
