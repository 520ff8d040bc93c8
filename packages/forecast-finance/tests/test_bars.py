"""Bars: what is refused, what is left out, and that parts of them never hold the future."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.protocols import Data, Extendable, Windows
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_finance import Bars, random_walk, read_bars

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "finance"


def frame(rows: int = 6, symbols: tuple[str, ...] = ("A", "B")) -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=rows)
    parts = [
        pd.DataFrame(
            {
                "symbol": symbol,
                "timestamp": days,
                "open": 10.0 + k,
                "high": 11.0 + k,
                "low": 9.0 + k,
                "close": 10.5 + k + 0.01 * np.arange(rows),
                "volume": 100.0,
            }
        )
        for k, symbol in enumerate(symbols)
    ]
    return pd.concat(parts, ignore_index=True)


BAD = {
    "is finite": ("close", np.nan),
    "is finite in": ("volume", np.inf),
    "has positive prices": ("low", 0.0),
    "has a high that is not below its low": ("high", 8.0),
    "has open and close within": ("close", 12.5),
    "has a volume that is not negative": ("volume", -1.0),
}


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_bar_is_refused_naming_symbol_row_and_rule(rule: str) -> None:
    table = frame()
    column, value = BAD[rule]
    table.loc[8, column] = value
    with pytest.raises(DataError, match=rf"row 8 \(B, 2024-01-03.*{rule}"):
        Bars.from_frame(table)


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_bar_is_left_out_and_reported(rule: str, caplog: pytest.LogCaptureFixture) -> None:
    table = frame()
    column, value = BAD[rule]
    table.loc[8, column] = value
    bars = Bars.from_frame(table, invalid="drop")
    assert len(bars) == 11
    (row,) = bars.dropped.rows
    assert (row.row, row.symbol) == (8, "B")
    assert rule in row.rule
    assert bars.dropped.by_symbol() == {"B": 1}
    assert "left out 1 of 12 rows" in caplog.text


@pytest.mark.parametrize("invalid", ["error", "drop"])
def test_rows_out_of_order_are_refused_either_way(invalid: str) -> None:
    table = frame()
    table.loc[[2, 3], "timestamp"] = table.loc[[3, 2], "timestamp"].to_numpy()
    with pytest.raises(DataError, match=r"row 3 \(A.*in order of time.*sort"):
        Bars.from_frame(table, invalid=invalid)  # type: ignore[arg-type]


def test_a_second_row_of_one_time_is_refused_or_left_out() -> None:
    table = frame()
    table.loc[3, "timestamp"] = table.loc[2, "timestamp"]
    with pytest.raises(DataError, match=r"row 3 \(A.*each timestamp once"):
        Bars.from_frame(table)
    bars = Bars.from_frame(table, invalid="drop")
    assert [row.row for row in bars.dropped.rows] == [3]


@pytest.mark.parametrize("first", [True, False])
def test_the_valid_one_of_two_rows_of_one_time_is_kept(first: bool) -> None:
    table = frame()
    twice = pd.concat([table.iloc[:3], table.iloc[2:]], ignore_index=True)  # rows 2 and 3 are one bar
    twice.loc[2 if first else 3, "close"] = np.nan
    bars = Bars.from_frame(twice, invalid="drop")
    assert bars.fingerprint() == Bars.from_frame(table).fingerprint()
    (row,) = bars.dropped.rows
    assert (row.row, row.rule) == (2 if first else 3, "is finite in all five columns")


def test_a_symbol_without_a_valid_bar_is_an_error() -> None:
    table = frame()
    table.loc[table["symbol"] == "B", "close"] = np.nan
    with pytest.raises(DataError, match="at B: leaves a valid bar of each symbol"):
        Bars.from_frame(table, invalid="drop")


def test_columns_in_title_case_and_other_libraries_are_read() -> None:
    table = frame()
    titled = table.rename(columns=str.title)
    content = Bars.from_frame(table).fingerprint()
    assert Bars.from_frame(titled).fingerprint() == content
    assert Bars.from_frame(pl.from_pandas(table)).fingerprint() == content
    one = Bars.from_frame(table[table["symbol"] == "A"].drop(columns="symbol"), symbol=None)
    assert one.symbols == ("series",)


def test_missing_columns_and_wrong_arguments_are_named() -> None:
    with pytest.raises(DataError, match="did you mean 'close'"):
        Bars.from_frame(frame().rename(columns={"volume": "closes"}), volume="clos")
    with pytest.raises(InvalidInputError, match="'error' or 'drop'"):
        Bars.from_frame(frame(), invalid="ignore")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="frame"):
        Bars.from_frame([1, 2])
    with pytest.raises(ShapeError, match="at least one row"):
        Bars.from_frame(frame().iloc[:0])
    with pytest.raises(DataError, match="no missing symbol"):
        Bars.from_frame(frame().assign(symbol=["A"] * 11 + [None]))


@pytest.mark.parametrize(
    "interval", [5, "1d", np.timedelta64(0, "D"), np.timedelta64("NaT"), np.timedelta64(1, "M")]
)
def test_an_interval_that_is_no_length_of_time_is_refused(interval: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"interval: is a length of time above 0"):
        Bars.from_frame(frame(), interval=interval)
    with pytest.raises(InvalidInputError, match=r"interval: is a length of time above 0"):
        replace(random_walk(rows=30), interval=interval)


@pytest.mark.parametrize("horizons", [(1.5, 3), (3, 3), (0, 1), (True, 2), (), 5, "35", np.array([1.0, 2.0])])
def test_horizons_that_are_no_rising_whole_numbers_are_refused(horizons: Any) -> None:
    with pytest.raises(InvalidInputError, match="horizons: are whole numbers of bars that rise"):
        Bars.from_frame(frame(), horizons=horizons)
    with pytest.raises(InvalidInputError, match="horizons: are whole numbers of bars that rise"):
        replace(random_walk(rows=30), horizons=horizons)


def test_equal_bars_have_one_fingerprint_however_times_are_given() -> None:
    bars = random_walk(rows=30).between("2010-01-20", None)
    for interval in (np.timedelta64(1, "D"), np.timedelta64(24, "h"), timedelta(days=1), pd.Timedelta("1D")):
        same = replace(
            bars, interval=interval, horizons=[3, np.int64(5), 10], start=np.datetime64("2010-01-20", "D")
        )
        assert same.fingerprint() == bars.fingerprint()


def test_the_fingerprint_of_bars_stays_what_it_was() -> None:
    told = "303d7706145ac80ab6a6470c53b4b8cb1e9acdcd191b44c90095bcb259058fb2"
    assert Bars.from_frame(frame()).fingerprint() == told


def test_an_unknown_symbol_is_named_with_near_misses() -> None:
    with pytest.raises(DataError, match="'S9'; known: S0, S1, S2"):
        random_walk(rows=30).select_items(["S9"])


def test_bars_follow_the_protocols() -> None:
    bars = random_walk(rows=40)
    assert isinstance(bars, Data)
    assert isinstance(bars, Extendable)
    assert isinstance(bars.windows(), Windows)
    with pytest.raises(ValueError, match="read-only"):
        bars.values[0, 0] = 1.0


def test_windows_are_ordered_by_time_and_know_their_labels() -> None:
    bars = random_walk(rows=60)
    windows = bars.windows(context_length=20)
    assert (np.diff(windows.origins) >= np.timedelta64(0)).all()
    values, observed = windows.targets()
    assert values.shape == (len(windows), 3, 1)
    assert observed.all()
    row = windows.rows[7]
    assert values[7, 2, 0] == pytest.approx(np.log(bars.close[row + 10] / bars.close[row]))
    assert windows.label_ends[7] == bars.timestamps[row + 11]  # filled a bar after the signal
    assert bars.windows(horizon=1).targets()[0].shape[1:] == (1, 1)
    assert np.array_equal(windows.contexts(20)[7], bars.values[row - 19 : row + 1])
    assert np.array_equal(bars.windows(stride=5).take([0, 3]).origins, bars.timeline[[0, 5]])


def test_windows_at_the_end_have_no_targets_yet() -> None:
    bars = random_walk(rows=60)
    _, observed = bars.windows(origins=bars.timeline[-6:-5]).targets()
    assert observed[:, :, 0].tolist() == [[True, True, False]] * 3
    with pytest.raises(ShapeError, match="times of bars"):
        bars.windows(origins=np.array(["1999-01-01"], dtype="datetime64[D]"))
    with pytest.raises(ShapeError, match="at least 55"):
        bars.windows(context_length=55)
    with pytest.raises(InvalidInputError, match="first ones"):
        bars.windows(horizon=4)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 58), seed=st.integers(0, 5))
def test_a_part_keeps_history_and_nothing_of_the_future(cut: int, seed: int) -> None:
    bars = random_walk(seed, rows=60)
    stop = bars.timeline[cut]
    early, late = bars.between(None, stop), bars.between(stop, None)
    assert early.timestamps.max() < stop
    assert np.array_equal(late.timeline, bars.timeline[cut:])
    assert len(late) == len(bars)  # what came before is context
    assert early.extended(late).fingerprint() == bars.fingerprint()
    windows = late.windows(origins=late.timeline[:1])
    assert (windows.origins >= stop).all()


def test_a_part_without_bars_is_an_error_and_absent_symbols_leave() -> None:
    bars = random_walk(rows=60)
    with pytest.raises(ShapeError, match="have a bar from"):
        bars.between("2050-01-01", None)
    listed_late = Bars(
        symbols=("old", "new"),
        offsets=np.array([0, 60, 70]),
        timestamps=np.concatenate([bars.timestamps[:60], bars.timestamps[50:60]]),
        values=np.concatenate([bars.values[:60], bars.values[50:60]]),
        interval=bars.interval,
    )
    assert listed_late.between(None, bars.timestamps[50]).symbols == ("old",)
    assert listed_late.between(bars.timestamps[40], None).symbols == ("old", "new")


def test_core_backtests_bars_beside_the_baseline() -> None:
    bars = random_walk(rows=160)
    result = fc.backtest(
        [fc.create_model("finance/momentum", context_length=20)],
        bars,
        start=bars.timeline[120],
        horizon=3,
        stride=2,
        metrics=["mae", "crps", "coverage@0.9"],
    )
    assert result.baseline == "finance/always-up"
    assert 0.8 < (result["finance/momentum"].metrics["coverage@0.9"] or 0) <= 1.0


def test_indices_ship_with_a_package() -> None:
    bars = fc.load_dataset("finance/us-indices")
    assert bars.symbols == ("SP500", "NASDAQ")
    assert np.diff(bars.offsets).tolist() == [5031, 5031]
    assert str(bars.timeline[0])[:10] == "1999-01-04"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="set FORECAST_DATA to the folder of public data sets")
def test_dow_names_with_bad_rows_left_out() -> None:
    folder = DATA / "djia30_daily"
    with pytest.raises(DataError):
        read_bars(folder, symbol="Name", timestamp="Date")
    bars = read_bars(folder, symbol="Name", timestamp="Date", invalid="drop")
    assert len(bars.symbols) == 31
    assert bars.dropped.by_rule() == {
        "has open and close within low and high": 151,
        "is finite in all five columns": 25,
        "has positive prices": 1,
    }
    hourly = read_bars(
        DATA / "btc_hourly" / "coinbase-1h-btc-usd.csv.gz", timestamp="Date", volume="VolumeFrom", sort=True
    )
    assert len(hourly) == 17583
    assert hourly.interval == np.timedelta64(1, "h")


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "a.csv", index=False)
    frame().assign(extra=1.0).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"has the columns of a\.csv"):
        read_bars(tmp_path)
    (tmp_path / "b.csv").unlink()
    assert len(read_bars(tmp_path)) == 12
    with pytest.raises(DataError, match="folder with csv"):
        read_bars(_empty(tmp_path))


@pytest.mark.parametrize("column", ["symbol", "Symbol"])
@pytest.mark.parametrize("names", [("000001", "600519"), ("1E5", "7E2"), ("TRUE", "FALSE"), ("NA", "inf")])
def test_symbols_of_a_csv_are_read_as_they_are_written(
    tmp_path: Path, names: tuple[str, str], column: str
) -> None:
    table = frame().replace({"symbol": dict(zip(("A", "B"), names, strict=True))})
    table.rename(columns={"symbol": column}).to_csv(tmp_path / "bars.csv", index=False)
    assert read_bars(tmp_path / "bars.csv").symbols == names
    assert read_bars(tmp_path, symbol=column).symbols == names


def test_symbols_of_a_folder_may_look_like_numbers_in_one_file(tmp_path: Path) -> None:
    table = frame()
    table[table["symbol"] == "A"].assign(symbol="0700").to_csv(tmp_path / "a.csv", index=False)
    table[table["symbol"] == "B"].to_csv(tmp_path / "b.csv", index=False)
    assert read_bars(tmp_path).symbols == ("0700", "B")


def test_whole_numbers_of_a_parquet_file_stay_whole_as_symbols(tmp_path: Path) -> None:
    table = frame()
    table.assign(symbol=np.where(table["symbol"] == "A", 1, 600519)).to_parquet(tmp_path / "bars.parquet")
    assert read_bars(tmp_path).symbols == ("1", "600519")


def test_a_column_of_another_type_in_one_file_is_refused(tmp_path: Path) -> None:
    frame(symbols=("A",)).to_csv(tmp_path / "a.csv", index=False)
    frame(symbols=("B",)).assign(volume="many").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match=r"path at b\.csv: has a column 'volume' .* in a\.csv \(Float64\)"):
        read_bars(tmp_path)


def test_files_in_capitals_are_read_too(tmp_path: Path) -> None:
    frame(symbols=("A",)).to_csv(tmp_path / "A.CSV", index=False)
    frame(symbols=("B",)).to_csv(tmp_path / "B.csv", index=False)
    assert read_bars(tmp_path).symbols == ("A", "B")


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"
