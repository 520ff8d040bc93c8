"""Frequencies: texts, inference and arithmetic on their grid."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.data import Freq
from forecast_core.errors import DataError, ForecastError, FrequencyError
from forecast_core.strategies import freqs

STARTS = st.datetimes(min_value=pd.Timestamp("1950-01-01"), max_value=pd.Timestamp("2100-01-01")).map(
    lambda t: np.datetime64(t, "us")
)


@given(freqs())
def test_text_and_frequency_are_one(freq: Freq) -> None:
    assert Freq.parse(str(freq)) == freq
    assert Freq.parse(f" {freq.n} {freq.unit} ") == freq
    assert Freq.parse(freq) is freq


@given(freqs(), freqs(), STARTS)
def test_frequencies_are_equal_where_their_steps_are(one: Freq, other: Freq, start: np.datetime64) -> None:
    start = Freq.parse("YS").floor(np.array([start]))
    months = one.is_fixed == other.is_fixed and one.shift(start, 48) == other.shift(start, 48)
    assert (one == other) == bool(months)


@pytest.mark.parametrize(
    ("long", "short"),
    [("1000ms", "s"), ("60min", "h"), ("24h", "D"), ("7D", "W"), ("14D", "2W"), ("3MS", "QS"), ("4QS", "YS")],
)
def test_a_frequency_is_told_in_its_longest_unit(long: str, short: str) -> None:
    assert Freq.parse(long) == Freq.parse(short)
    assert str(Freq.parse(long)) == short


@pytest.mark.parametrize(
    ("old", "now"), [("H", "h"), ("T", "min"), ("15T", "15min"), ("d", "D"), ("M", "MS")]
)
def test_older_names_are_understood(old: str, now: str) -> None:
    assert str(Freq.parse(old)) == now


@settings(max_examples=200)
@given(st.text(max_size=8) | st.from_regex(r"[0-9]{0,25}[a-zA-Z]{1,3}", fullmatch=True))
def test_any_text_is_a_frequency_or_refused(text: str) -> None:
    try:
        freq = Freq.parse(text)
    except FrequencyError:
        return
    assert freq.n >= 1
    if freq.is_fixed:
        assert freq.delta > np.timedelta64(0, "us")
    freq.range(np.datetime64("2024-01-01"), 3)


def test_unknown_units_are_met_with_near_ones() -> None:
    with pytest.raises(FrequencyError, match="did you mean 'min'"):
        Freq.parse("5mins")
    with pytest.raises(FrequencyError, match="at least one"):
        Freq.parse("0h")
    with pytest.raises(FrequencyError, match="thousand years"):
        Freq.parse("400000D")
    with pytest.raises(FrequencyError, match="'5min'"):
        Freq.parse(5)  # type: ignore[arg-type]
    with pytest.raises(FrequencyError, match="fixed length"):
        _ = Freq.parse("MS").delta


@settings(max_examples=200, deadline=None)
@given(freqs(), STARTS, st.integers(-200, 200), st.integers(-200, 200))
def test_shifts_add_up_and_can_be_undone(freq: Freq, start: np.datetime64, a: int, b: int) -> None:
    start = freq.floor(np.array([start]))
    np.testing.assert_array_equal(freq.shift(freq.shift(start, a), b), freq.shift(start, a + b))
    assert freq.offset(freq.shift(start, a), start[0])[0] == a


def table(times: pd.DatetimeIndex) -> pd.DataFrame:
    return pd.DataFrame({"time": times, "count": np.arange(float(len(times)))})


@pytest.mark.parametrize("freq", ["D", "7D", "MS"])
def test_midnights_of_a_clock_that_changes_are_told_to_be_such(freq: str) -> None:
    local = pd.date_range("2024-01-01", periods=120, freq=freq, tz="Europe/Berlin")
    with pytest.raises(FrequencyError, match=r"midnights of a clock that changes: .*tz_localize\(None\)"):
        fc.Panel.from_frame(table(local), timestamp="time", target="count", freq=freq)
    panel = fc.Panel.from_frame(
        table(local.tz_localize(None)), timestamp="time", target="count", freq=freq, tz="Europe/Berlin"
    )
    assert len(panel) == 120


def test_other_times_off_the_grid_are_to_be_resampled() -> None:
    times = np.array(["2024-01-01", "2024-01-02T01:30"], dtype="datetime64[us]")
    with pytest.raises(FrequencyError, match="resample first"):
        Freq.parse("D").offset(times, times[0])


def test_a_day_that_every_year_has_is_a_grid_of_years_but_not_of_months() -> None:
    ends = table(pd.date_range("2020-01-31", periods=20, freq="YE"))
    panel = fc.Panel.from_frame(ends, timestamp="time", target="count", freq="YS")
    np.testing.assert_array_equal(panel.timestamps, ends["time"].to_numpy())
    with pytest.raises(FrequencyError, match="ends of months"):
        fc.Panel.from_frame(ends, timestamp="time", target="count", freq="MS")
    leap = np.array(["2024-01-29", "2024-02-29"], dtype="datetime64[us]")
    with pytest.raises(FrequencyError, match="MS grid"):
        Freq.parse("MS").offset(leap, leap[0])


@pytest.mark.parametrize("freq", ["ME", "QE"])
@pytest.mark.parametrize("told", [None, "MS"])
def test_ends_of_months_are_told_to_be_such(freq: str, told: str | None) -> None:
    ends = pd.date_range("2020-01-31", periods=20, freq=freq)
    with pytest.raises(FrequencyError, match="ends of months: give the first days"):
        fc.Panel.from_frame(table(ends), timestamp="time", target="count", freq=told)


@settings(max_examples=200, deadline=None)
@given(freqs(), STARTS)
def test_floor_is_the_start_of_the_period(freq: Freq, time: np.datetime64) -> None:
    start = freq.floor(np.array([time]))
    assert start[0] <= time < freq.shift(start, 1)[0]
    assert freq.floor(start) == start


@pytest.mark.parametrize(
    ("text", "alias"), [("D", "D"), ("W", "W-SUN"), ("MS", "M"), ("QS", "Q"), ("YS", "Y")]
)
def test_floors_are_those_of_pandas(text: str, alias: str) -> None:
    times = pd.date_range("1969-11-01", "2025-01-01", freq="31h")
    theirs = times.to_period(alias).start_time.to_numpy().astype("datetime64[us]")
    np.testing.assert_array_equal(Freq.parse(text).floor(times.to_numpy()), theirs)


@settings(max_examples=200, deadline=None)
@given(freqs(), STARTS, st.lists(st.integers(1, 60), unique=True, max_size=10))
def test_the_commonest_step_is_inferred(freq: Freq, start: np.datetime64, gone: list[int]) -> None:
    start = freq.floor(np.array([start]))[0]
    times = np.delete(freq.range(start, 61), [k for k in gone if k % 3 == 0])
    found = Freq.infer(times)
    np.testing.assert_array_equal(found.range(start, 61), freq.range(start, 61))
    assert Freq.infer(found.range(start, 5)) == found


def test_inferred_frequencies_have_their_customary_name() -> None:
    hourly = np.datetime64("2024-01-01T00") + np.arange(5) * np.timedelta64(1, "h")
    assert str(Freq.infer(hourly)) == "h"
    assert str(Freq.infer(np.datetime64("2024-01-03") + np.arange(5) * np.timedelta64(7, "D"))) == "W"
    months = np.arange("2024-01", "2025-07", dtype="datetime64[M]")
    assert [str(Freq.infer(months[::k])) for k in (1, 3, 12)] == ["MS", "QS", "YS"]


def test_what_has_no_step_is_refused() -> None:
    day = np.datetime64("2024-01-01")
    for times in ([day], [day, day], [day + 1, day], [day, day + np.timedelta64(7, "us")]):
        with pytest.raises(FrequencyError):
            Freq.infer(np.array(times))
    with pytest.raises(DataError, match="row 1: has no missing time"):
        Freq.infer(np.array([day, "NaT"], dtype="datetime64[us]"))


@settings(max_examples=100, deadline=None)
@given(freqs(), STARTS, st.integers(1, 50), st.integers(1, 10**6))
def test_times_off_the_grid_are_named(freq: Freq, start: np.datetime64, row: int, off: int) -> None:
    times = freq.range(freq.floor(np.array([start]))[0], 60)
    times[row] += np.timedelta64(off, "us")
    assume(times[row] not in freq.range(times[0], 60 + off))
    with pytest.raises(FrequencyError, match=rf"at row {row}:.*resample first"):
        freq.offset(times, times[0])


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("ms 2s 15min h 7h", (86_400_000, 43_200, 96, 24, 1)),
        ("24h D 2D 7D W 2W 3W", (7, 7, 1, 52, 52, 26, 1)),
        ("MS 5MS QS 12MS YS 2YS", (12, 1, 4, 1, 1, 1)),
    ],
)
def test_seasonality_is_a_whole_period_or_one(text: str, steps: tuple[int, ...]) -> None:
    assert tuple(Freq.parse(freq).seasonality for freq in text.split()) == steps


def test_every_refusal_is_one_of_ours() -> None:
    assert issubclass(FrequencyError, ForecastError)
    assert issubclass(FrequencyError, ValueError)
