"""Tables become panels; irregular rows are gathered into periods without inventing zeros."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core import Panel
from forecast_core.errors import DataError, InvalidInputError
from forecast_timeseries import read_long, read_wide, resample

START = pd.Timestamp("2024-03-01")


def frame(minutes: list[int], values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"time": START + pd.to_timedelta(minutes, unit="min"), "value": values})


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.floats(-100, 100)), min_size=1, max_size=40),
    st.sampled_from(["sum", "mean", "last", "max", "min"]),
    st.sampled_from(["nan", "zero"]),
)
def test_resampling_equals_a_loop_over_periods(rows: list[tuple[int, float]], how: str, missing: str) -> None:
    table = frame([m for m, _ in rows], [v for _, v in rows])
    out = resample(table, timestamp="time", columns=["value"], freq="15min", how=how, missing=missing)  # type: ignore[arg-type]
    first, last = min(m for m, _ in rows) // 15, max(m for m, _ in rows) // 15
    assert len(out) == last - first + 1
    for k, value in enumerate(out["value"].tolist()):
        held = [(m, v) for m, v in rows if m // 15 == first + k]
        if not held:
            assert np.isnan(value) if missing == "nan" else value == 0.0
            continue
        values = [v for _, v in sorted(held, key=lambda pair: pair[0])]
        expected = {
            "sum": sum(values),
            "mean": np.mean(values),
            "last": values[-1],
            "max": max(values),
            "min": min(values),
        }[how]
        assert value == pytest.approx(expected, abs=1e-9)


def test_a_period_whose_rows_hold_no_value_is_unknown_not_zero() -> None:
    table = frame([0, 20, 40], [1.0, float("nan"), 3.0])
    out = resample(table, timestamp="time", columns=["value"], freq="15min", how="sum", missing="zero")
    assert out["value"].tolist()[0] == 1.0
    assert np.isnan(out["value"].tolist()[1])


def test_items_are_resampled_on_grids_of_their_own_and_make_a_panel() -> None:
    table = pl.DataFrame(
        {
            "item": ["a", "a", "b", "b", "a"],
            "time": [START + pd.Timedelta(minutes=m) for m in (0, 70, 30, 200, 10)],
            "value": [1.0, 2.0, 3.0, 4.0, 5.0],
        }
    )
    out = resample(
        table,
        timestamp="time",
        columns=["value"],
        freq="h",
        how="sum",
        missing="nan",
        item_id="item",
        backend="polars",
    )
    panel = Panel.from_frame(out, timestamp="time", target="value", item_id="item", freq="h")
    np.testing.assert_array_equal(
        panel.values[:, :, 0].T, [[6.0, 2.0, np.nan, np.nan], [3.0, np.nan, np.nan, 4.0]]
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 400 * 24), min_size=1, max_size=40),
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "Australia/Lord_Howe"]),
    st.sampled_from([("D", "D"), ("7D", "W-SUN"), ("MS", "M"), ("QS", "Q")]),
    st.booleans(),
)
def test_days_weeks_and_months_are_those_of_the_zone(
    hours: list[int], zone: str, freq: tuple[str, str], given_as_tz: bool
) -> None:
    times = pd.Series(pd.to_datetime(START) + pd.to_timedelta(hours, unit="h"))
    local = times.dt.tz_localize("UTC").dt.tz_convert(zone)
    table = pd.DataFrame({"time": times if given_as_tz else local, "value": 1.0})
    out = resample(
        table,
        timestamp="time",
        columns="value",
        freq=freq[0],
        how="sum",
        missing="nan",
        tz=zone if given_as_tz else None,
    )
    counts = local.dt.tz_localize(None).dt.to_period(freq[1]).value_counts().sort_index()
    held = out[out["value"] > 0]
    assert held["value"].tolist() == counts.tolist()
    assert held["time"].tolist() == counts.index.start_time.tolist()
    assert Panel.from_frame(out, timestamp="time", target="value", freq=freq[0]).tz is None


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_periods_within_a_day_keep_the_zone(backend: str) -> None:
    times = pd.date_range("2024-10-26", periods=60, freq="h", tz="Europe/Berlin")
    table = pd.DataFrame({"time": times, "value": np.arange(60.0)})
    out = resample(
        table, timestamp="time", columns="value", freq="60min", how="sum", missing="nan", backend=backend
    )
    assert Panel.from_frame(out, timestamp="time", target="value") == Panel.from_frame(
        table, timestamp="time", target="value"
    )


def test_days_by_a_clock_that_is_only_an_offset_are_refused() -> None:
    times = pd.date_range("2024-01-01", periods=5, freq="h", tz="UTC").tz_convert("+02:00")
    with pytest.raises(InvalidInputError, match=r"tz: is a time zone.* name a place"):
        resample(
            pd.DataFrame({"time": times, "value": 1.0}),
            timestamp="time",
            columns="value",
            freq="D",
            how="sum",
            missing="nan",
        )


def test_a_time_far_from_the_others_is_refused_rather_than_reached() -> None:
    table = pd.DataFrame(
        {
            "item": ["a", "a", "b", "b", "b"],
            "time": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01", "1970-01-01", "2024-01-02"]),
            "value": 1.0,
        }
    )
    with pytest.raises(DataError, match="time at row 3: lies near the other times"):
        resample(table, timestamp="time", columns="value", freq="s", how="sum", missing="nan", item_id="item")


def test_ids_of_both_kinds_keep_their_order_and_infinite_values_are_refused() -> None:
    table = pd.DataFrame({"item": ["b", 1, "b"], "time": START, "value": [1.0, 2.0, 3.0]})
    out = resample(
        table, timestamp="time", columns=["value"], freq="h", how="sum", missing="nan", item_id="item"
    )
    assert out["item"].tolist() == ["b", "1"]
    assert out["value"].tolist() == [4.0, 2.0]
    with pytest.raises(DataError, match="value at row 1: is finite"):
        resample(
            frame([0, 1], [1.0, np.inf]),
            timestamp="time",
            columns="value",
            freq="h",
            how="sum",
            missing="nan",
        )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_long_files_of_every_type_give_the_same_panel(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {
            "s": ["a"] * 3 + ["b"] * 3,
            "t": list(pd.date_range(START, periods=3, freq="h")) * 2,
            "y": np.arange(6.0),
        }
    )
    path = tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    panel = read_long(path, timestamp="t", target="y", item_id="s")
    assert panel == Panel.from_frame(table, timestamp="t", target="y", item_id="s")


def test_wide_files_hold_a_column_an_item(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("time,a,b\n2024-01-01T00:00,1,2\n2024-01-01T02:00,3,\n")
    panel = read_wide(path, timestamp="time", freq="h")
    assert panel.item_ids == ("a", "b")
    np.testing.assert_array_equal(panel.values[:, :, 0], [[1, 2], [np.nan, np.nan], [3, np.nan]])


def test_wrong_files_and_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a file"):
        read_long(tmp_path / "none.csv", timestamp="t", target="y")
    (tmp_path / "x.xlsx").write_text("")
    with pytest.raises(DataError, match="csv"):
        read_long(tmp_path / "x.xlsx", timestamp="t", target="y")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="readable parquet"):
        read_long(tmp_path / "bad.parquet", timestamp="t", target="y")
    table = frame([0], [1.0])
    with pytest.raises(InvalidInputError, match="how"):
        resample(table, timestamp="time", columns=["value"], freq="h", how="median", missing="nan")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="missing"):
        resample(table, timestamp="time", columns=["value"], freq="h", how="sum", missing="ffill")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'value'"):
        resample(table, timestamp="time", columns=["valeu"], freq="h", how="sum", missing="nan")
