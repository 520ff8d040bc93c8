"""Panels from and to the frames of pandas, polars and pyarrow, and what a bad table is told."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.frames import number_column, read_table
from forecast_core.errors import DataError, ForecastError, FrequencyError, InvalidInputError, ShapeError
from forecast_core.strategies import panels

BACKENDS = ["pandas", "polars", "pyarrow"]
HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01T00", "us")


def read(panel: fc.Panel, frame: Any, **options: Any) -> fc.Panel:
    """The frame of a panel, read as that panel was described."""
    given: dict[str, Any] = {
        "item_id": "item_id",
        "timestamp": "timestamp",
        "target": panel.target_names,
        "freq": panel.freq,
        "past_covariates": panel.past_covariate_names,
        "future_covariates": panel.future_covariate_names,
        "static_covariates": panel.static_covariate_names,
        "tz": panel.tz,
    }
    return fc.Panel.from_frame(frame, **{**given, **options})


def two_hours(*item_ids: int | str) -> fc.Panel:
    values, times = np.ones((2, len(item_ids), 1)), START + np.arange(2) * HOUR
    return fc.Panel(values=values, timestamps=times, item_ids=item_ids, freq=fc.Freq.parse("h"))


def in_float64(panel: fc.Panel) -> fc.Panel:
    numbers = ("values", "past_covariates", "future_covariates", "static_covariates")
    held = {name: getattr(panel, name) for name in numbers if getattr(panel, name) is not None}
    return replace(panel, **{name: array.astype(np.float64) for name, array in held.items()})


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60, deadline=None)
@given(panel=panels(), inferred=st.booleans())
def test_a_panel_comes_back_from_its_frame(backend: str, panel: fc.Panel, inferred: bool) -> None:
    assume(len({type(item) for item in panel.item_ids}) == 1)  # a column holds one sort of ids
    assume(not inferred or len(panel) > 2)
    frame = panel.to_frame(backend=backend)
    assert type(frame).__module__.split(".")[0] == backend
    back = read(panel, frame, freq=None if inferred else panel.freq)
    np.testing.assert_array_equal(back.timestamps, panel.timestamps)
    if not inferred:
        assert back == in_float64(panel)


def test_ids_of_both_sorts_become_texts_in_a_frame() -> None:
    panel = two_hours(1, "a")
    for backend in BACKENDS:
        assert read(panel, panel.to_frame(backend=backend)).item_ids == ("1", "a")


def long(**changes: Any) -> dict[str, list[Any]]:
    """Two sensors over three hours, the second starting an hour late."""
    hours = [START, START + HOUR, START + 2 * HOUR]
    columns: dict[str, list[Any]] = {
        "sensor": ["north"] * 3 + ["south"] * 2,
        "time": [t.astype(datetime) for t in (*hours, *hours[1:])],
        "count": [1.0, 2.0, 3.0, 4.0, 5.0],
        "rain": [0.1, 0.2, 0.3, 0.4, 0.5],
        "height": [7.0, 7.0, 7.0, 9.0, 9.0],
    }
    return {**columns, **changes}


FRAMES = [pd.DataFrame, pl.DataFrame]
OPTIONS: dict[str, Any] = {"item_id": "sensor", "timestamp": "time", "target": "count", "freq": "h"}


@pytest.mark.parametrize("frame", FRAMES)
def test_gaps_become_missing_values(frame: Any) -> None:
    columns = {name: values[:1] + values[2:] for name, values in long().items()}
    panel = fc.Panel.from_frame(
        frame(columns), **OPTIONS, past_covariates=["rain"], static_covariates=["height"]
    )
    assert panel.item_ids == ("north", "south")
    np.testing.assert_array_equal(panel.values[:, :, 0], [[1, np.nan], [np.nan, 4], [3, 5]])
    assert panel.past_covariates is not None
    assert panel.static_covariates is not None
    np.testing.assert_array_equal(panel.past_covariates[:, :, 0], [[0.1, np.nan], [np.nan, 0.4], [0.3, 0.5]])
    assert panel.static_covariates.tolist() == [[7.0], [9.0]]


@pytest.mark.parametrize("frame", FRAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_of_items_may_come_in_any_mixture(frame: Any, data: st.DataObject) -> None:
    rows, items = data.draw(st.integers(2, 8)), data.draw(st.integers(1, 4))
    every = [(i, t) for i in range(items) for t in range(rows)]
    kept = [rt for rt in every if rt[1] in (0, rows - 1) or data.draw(st.booleans())]
    turns = data.draw(st.permutations([i for i, _ in kept]))  # whose turn it is, row by row
    queues = {i: [t for j, t in kept if j == i] for i in range(items)}
    order = [(i, queues[i].pop(0)) for i in turns]
    table = frame(
        {
            "sensor": [i for i, _ in order],
            "time": [(START + t * HOUR).astype(datetime) for _, t in order],
            "count": [100.0 * i + t for i, t in order],
        }
    )
    panel = fc.Panel.from_frame(table, **OPTIONS)
    assert panel.item_ids == tuple(dict.fromkeys(turns))
    for k, i in enumerate(panel.item_ids):
        expected = [100.0 * int(i) + t if (i, t) in kept else np.nan for t in range(rows)]
        np.testing.assert_array_equal(panel.values[:, k, 0], expected)


def swapped(column: str, row: int, value: Any) -> dict[str, list[Any]]:
    values = list(long()[column])
    values[row] = value
    return long(**{column: values})


HOURS = long()["time"]
BAD: list[tuple[dict[str, list[Any]], dict[str, Any], type[ForecastError], str]] = [
    (long(), {"target": "counts"}, DataError, "target: is a column.*'counts'; did you mean 'count'"),
    (long(), {"timestamp": "tme"}, DataError, "timestamp: .*did you mean 'time'"),
    (long(), {"item_id": "sensors"}, DataError, "item_id: .*did you mean 'sensor'"),
    (long(), {"past_covariates": ["rian"]}, DataError, "past_covariates: .*did you mean 'rain'"),
    (long(), {"future_covariates": ["snow"]}, DataError, "future_covariates: "),
    (long(), {"static_covariates": ["heigth"]}, DataError, "static_covariates: .*'height'"),
    (long(), {"target": "sensor"}, DataError, "sensor: holds numbers"),
    (long(), {"timestamp": "count"}, DataError, "count: holds timestamps"),
    (long(), {"freq": "hours"}, FrequencyError, "known unit"),
    (long(), {"freq": "2h"}, FrequencyError, "row 1"),
    (long(), {"past_covariates": ["rain"], "future_covariates": ["rain"]}, DataError, "'rain' twice"),
    (long(), {"static_covariates": ["rain"]}, DataError, "rain at row 1, item 'north': is constant"),
    (long(), {"future_covariates": ["rain"]}, DataError, "future_covariates at 2024-01-01T00.*item 'south'"),
    (swapped("time", 2, HOURS[1]), {}, DataError, "row 2, item 'north'.*duplicate; aggregate or drop"),
    (swapped("time", 4, HOURS[0]), {}, DataError, "row 4, item 'south'.*earlier.*; sort the frame"),
    (swapped("time", 2, HOURS[2] + timedelta(minutes=7)), {}, FrequencyError, "row 2.*resample first"),
    (swapped("time", 1, None), {}, DataError, "time at row 1: has no missing time"),
    (swapped("count", 3, np.inf), {}, DataError, "count at row 3 .2024.*item 'south'.: is finite.*got inf"),
    (swapped("rain", 0, -np.inf), {"past_covariates": ["rain"]}, DataError, "rain at row 0"),
    (
        swapped("height", 3, None),
        {"static_covariates": ["height"]},
        DataError,
        "height at row 4|item 'south'",
    ),
    (swapped("sensor", 2, None), {}, DataError, "sensor at row 2: has no missing item id"),
    (long(sensor=[0.5] * 5), {}, DataError, "increases strictly|texts or whole numbers"),
    ({name: [] for name in long()}, {}, ForecastError, "at least one row"),
    (long(time=["soon"] * 5), {}, DataError, "time at row 0: are times"),
    ({n: v[:1] for n, v in long().items()}, {"freq": None}, FrequencyError, "give freq="),
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(("columns", "options", "error", "says"), BAD)
def test_a_bad_table_is_refused_with_its_place(
    frame: Any, columns: dict[str, list[Any]], options: dict[str, Any], error: type[ForecastError], says: str
) -> None:
    with pytest.raises(error, match=says):
        fc.Panel.from_frame(frame(columns), **{**OPTIONS, **options})


@pytest.mark.parametrize("stray", ["1970-01-01", "2174-01-01"])
def test_one_time_far_from_the_others_is_refused_before_anything_is_allocated(stray: str) -> None:
    times = [*pd.date_range("2024-05-01", periods=50, freq="s"), pd.Timestamp(stray)]
    table = pd.DataFrame({"time": times, "count": np.arange(51.0)}).sort_values("time", ignore_index=True)
    says = f"time at row {0 if stray < '2000' else 50}: lies near the other times.*got {stray}.*drop the row"
    with pytest.raises(DataError, match=says):
        fc.Panel.from_frame(table, timestamp="time", target="count", freq="s")
    with pytest.raises(DataError, match=says):
        fc.Panel.from_wide(table, timestamp="time", freq="s")


def test_what_is_no_frame_is_refused() -> None:
    for wrong in ([1, 2], {"time": [1]}, np.zeros((2, 2)), pl.LazyFrame({"time": [1]})):
        with pytest.raises(InvalidInputError, match="pandas, polars or pyarrow frame"):
            fc.Panel.from_frame(wrong, **OPTIONS)
    twice = pd.DataFrame([[1, 2]], columns=["time", "time"])
    for frame in (twice, pa.table([pa.array([1]), pa.array([2])], names=["time", "time"])):
        with pytest.raises(DataError, match=r"one column of each name .*time"):
            fc.Panel.from_frame(frame, **OPTIONS)
    with pytest.raises(ShapeError, match="at least one row"):
        fc.Panel.from_frame(pd.DataFrame(long()).iloc[:0], **OPTIONS)


@pytest.mark.parametrize(
    "times",
    [
        ["2024-01-01", "2024-01-02", "2024-01-03"],
        ["2024-01-01T00:00:00", "2024-01-02T00:00", "2024-01-03 00:00:00.000"],
        ["2024-01-01T01:00+01:00", "2024-01-02T00:00Z", "2024-01-02T19:00-05:00"],
        [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)],
    ],
)
@pytest.mark.parametrize("frame", FRAMES)
def test_texts_and_dates_are_times(frame: Any, times: list[Any]) -> None:
    panel = fc.Panel.from_frame(frame({"time": times, "count": [1, 2, 3]}), timestamp="time", target="count")
    assert panel.timestamps.tolist() == [datetime(2024, 1, day) for day in (1, 2, 3)]
    assert panel.item_ids == ("count",)
    assert str(panel.freq) == "D"
    assert panel.tz is None


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_with_a_zone_become_utc_and_the_zone_is_kept(unit: str) -> None:
    local = pd.date_range("2024-10-27", periods=6, freq="h", tz="Europe/Berlin")  # clocks go back at 3
    table = pd.DataFrame({"time": local.astype(f"datetime64[{unit}, Europe/Berlin]"), "count": range(6)})
    for frame in (table, pl.from_pandas(table)):
        panel = fc.Panel.from_frame(frame, timestamp="time", target="count")
        assert panel.timestamps[0] == np.datetime64("2024-10-26T22:00")
        assert str(panel.freq) == "h"
        assert panel.tz == "Europe/Berlin"
        assert fc.Panel.from_frame(frame, timestamp="time", target="count", tz="UTC").tz == "UTC"


def test_a_bare_offset_is_no_zone_but_its_times_are_read() -> None:
    table = pd.DataFrame({"time": pd.to_datetime(["2024-01-01T00+02:00", "2024-01-01T01+02:00"]), "count": 1})
    with pytest.raises(InvalidInputError, match="name a place"):
        fc.Panel.from_frame(table, timestamp="time", target="count")
    panel = fc.Panel.from_frame(table, timestamp="time", target="count", tz="UTC")
    assert panel.timestamps[0] == np.datetime64("2023-12-31T22:00")


@pytest.mark.parametrize(
    "numbers",
    [
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="Float32"),
        pd.Series([1.0, np.nan, 3.0]),
        pd.Series([1, None, 3], dtype="int64[pyarrow]"),
    ],
)
def test_every_sort_of_missing_number_is_nan(numbers: pd.Series) -> None:
    table = pd.DataFrame({"time": pd.date_range("2024", periods=3, freq="h"), "count": numbers})
    for frame in (table, nw.from_native(table).to_polars()):
        panel = fc.Panel.from_frame(frame, timestamp="time", target="count")
        np.testing.assert_array_equal(panel.values[:, 0, 0], [1, np.nan, 3])


@pytest.mark.parametrize("frame", FRAMES)
def test_a_column_of_nothing_is_missing_values(frame: Any) -> None:
    table = frame({**long(), "count": [None] * 5})
    panel = fc.Panel.from_frame(table, **OPTIONS)
    assert np.isnan(panel.values).all()


@pytest.mark.parametrize(
    ("ids", "kept"), [(pd.Categorical(["b", "a"]), ("b", "a")), ([7, 3], (7, 3)), (["b", "a"], ("b", "a"))]
)
def test_items_come_in_order_of_appearance(ids: Any, kept: tuple[Any, ...]) -> None:
    table = pd.DataFrame({"sensor": ids, "time": pd.Timestamp("2024-01-01"), "count": [1, 2]})
    for frame in (table, pl.from_pandas(table)):
        panel = fc.Panel.from_frame(frame, **OPTIONS)
        assert panel.item_ids == kept
        assert [type(i) for i in panel.item_ids] == [type(i) for i in kept]
        assert panel.values[0, :, 0].tolist() == [1.0, 2.0]


def test_items_of_a_wide_table_may_be_whole_numbers() -> None:
    long = pd.DataFrame({"time": [START, START, START + HOUR], "id": [101, 7, 101], "count": [1.0, 2.0, 3.0]})
    table = long.pivot(index="time", columns="id", values="count").reset_index()
    panel = fc.Panel.from_wide(table, timestamp="time", freq="h")
    assert panel.item_ids == (7, 101)
    np.testing.assert_array_equal(panel.values[..., 0], [[2.0, 1.0], [np.nan, 3.0]])
    numbered = fc.Panel.from_frame(
        table.set_axis([0, 7, 101], axis=1).melt(id_vars=0, var_name=1, value_name=2),
        timestamp=0,  # type: ignore[arg-type]
        item_id=1,  # type: ignore[arg-type]
        target=[2],  # type: ignore[list-item]
        freq="h",
    )
    assert numbered.item_ids == (7, 101)


@pytest.mark.parametrize("frame", FRAMES)
def test_wide_tables_have_a_column_an_item(frame: Any) -> None:
    times = [datetime(2024, 1, 1, h) for h in (0, 1, 3)]
    table = frame({"time": times, "north": [1, 2, 4], "south": [5.0, None, 8.0]})
    panel = fc.Panel.from_wide(table, timestamp="time", target="count")
    assert panel.item_ids == ("north", "south")
    assert panel.target_names == ("count",)
    np.testing.assert_array_equal(panel.values[:, :, 0], [[1, 5], [2, np.nan], [np.nan, np.nan], [4, 8]])
    assert fc.Panel.from_wide(table, timestamp="time", items=["south"]).item_ids == ("south",)
    with pytest.raises(DataError, match=r"items: .*did you mean 'north'"):
        fc.Panel.from_wide(table, timestamp="time", items=["norht"])
    with pytest.raises(ShapeError, match="one item column"):
        fc.Panel.from_wide(table, timestamp="time", items=[])
    infinite = frame({"time": times, "north": [1.0, 2.0, np.inf]})
    with pytest.raises(DataError, match=r"2024-01-01T03.*item 'north'"):
        fc.Panel.from_wide(infinite, timestamp="time")
    with pytest.raises(DataError, match="increases strictly"):
        fc.Panel.from_wide(frame({"time": times[::-1], "north": [1, 2, 3]}), timestamp="time")


def test_frames_of_another_library_are_asked_for_by_name() -> None:
    panel = two_hours("a")
    with pytest.raises(InvalidInputError, match="backend"):
        panel.to_frame(backend="excel")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_tables_are_read_from_files(tmp_path: Path, backend: str, name: str) -> None:
    table, path = pd.DataFrame(long()), tmp_path / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, compression="gzip" if name.endswith("gz") else None)
    panel = fc.Panel.from_frame(read_table(path, backend=backend), **OPTIONS)
    assert panel.item_ids == ("north", "south")
    assert len(panel) == 3


GAPS = st.sampled_from(["", "NA", "NaN", "null", "N/A"])
NUMBERS = [
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["+1", ".5", "2.", " 3", "1E5", "007"]),
    st.sampled_from(["true", "False", "TRUE"]),
]
TEXTS = [
    st.dates().map(str),
    st.datetimes().map(str),
    st.text('aN1 ,"é-.', max_size=5),
    st.sampled_from(["1_000", "0x1", "12:30", "2024-01-01T00:00+02:00", "nan.", "e5", "1 2"]),
]


def columns(*kinds: st.SearchStrategy[str], rows: int) -> st.SearchStrategy[list[str]]:
    return st.one_of(
        st.lists(kind | gap, min_size=rows, max_size=rows) for kind in kinds for gap in (kind, GAPS)
    )


def cells(table: nw.DataFrame[Any], name: str) -> list[Any]:
    return ["" if cell is None or cell != cell else cell for cell in table[name].to_list()]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), rows=st.integers(1, 6), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_libraries_read_one_table_from_a_csv(data: st.DataObject, rows: int, quoting: Any) -> None:
    ids = data.draw(columns(*TEXTS, *NUMBERS, rows=rows))
    numbers = data.draw(columns(*NUMBERS, rows=rows))
    others = data.draw(columns(*TEXTS, st.one_of(*NUMBERS, *TEXTS), rows=rows))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, quoting=quoting).writerows(
                [("id", "number", "other"), *zip(ids, numbers, others, strict=True)]
            )
        tables = [nw.from_native(read_table(path, text=("id",), backend=b)) for b in BACKENDS]
    known = {"true": 1.0, "false": 0.0} | dict.fromkeys(["", "na", "nan", "null", "n/a"], np.nan)
    expected = [known[cell.lower()] if cell.lower() in known else float(cell) for cell in numbers]
    for table in tables:
        assert cells(table, "id") == ids
        np.testing.assert_array_equal(number_column(table, "number"), expected)
        assert table["number"].null_count() == np.isnan(expected).sum()
        assert cells(table, "other") == cells(tables[0], "other")
        assert table.schema["number"] == tables[0].schema["number"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("begin", ["1", "", "NA"])
def test_a_column_is_read_by_all_of_its_cells(tmp_path: Path, backend: str, begin: str) -> None:
    times = np.datetime_as_string(START + np.arange(1200) * HOUR)
    cells = [begin] * 600 + ["2.5"] * 600
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["time,x", *map(",".join, zip(times, cells, strict=True)), ""]))
    panel = fc.Panel.from_frame(read_table(path, backend=backend), timestamp="time", target="x")
    expected = [1.0 if begin == "1" else np.nan] * 600 + [2.5] * 600
    np.testing.assert_array_equal(panel.values.ravel(), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_longer_than_the_header_are_refused(tmp_path: Path, backend: str) -> None:
    (tmp_path / "t.csv").write_text("time,x\n2024-01-01,1,2\n2024-01-02,3,4\n")
    with pytest.raises(DataError, match="readable csv table"):
        read_table(tmp_path / "t.csv", backend=backend)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "notes.json.gz").write_bytes(b"")
    for name, says in (
        ("notes.json.gz", "ends in"),
        ("absent.csv", "is a file"),
        ("broken.parquet", "readable parquet table"),
    ):
        with pytest.raises(DataError, match=says):
            read_table(tmp_path / name)
    with pytest.raises(InvalidInputError, match="backend"):
        read_table(tmp_path / "broken.parquet", backend="excel")


@pytest.mark.parametrize("zone", ["America/New_York", "Etc/GMT+5", "Asia/Kolkata", "+05:30"])
def test_times_of_every_zone_that_pandas_knows_are_read(zone: str) -> None:
    local = pd.date_range("2024-03-09", periods=48, freq="h", tz=zone)
    panel = fc.Panel.from_frame(
        pd.DataFrame({"time": local, "count": np.arange(48.0)}), timestamp="time", target="count", tz="UTC"
    )
    expected = local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(panel.timestamps, expected)
