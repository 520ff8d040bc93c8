"""Calendar features: local clocks to the second, smooth cycles, typed refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.data.calendar import CALENDAR_FEATURES, calendar_features, local_time
from forecast_core.data.instants import instant, instants
from forecast_core.errors import DataError, InvalidInputError

ZONES = [
    "Pacific/Auckland",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/St_Johns",  # changed its clock a minute past midnight
    "Africa/Monrovia",  # 44 minutes and 30 seconds until 1972
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out a day
    "Europe/Dublin",
    "UTC",
]
INSTANTS = st.lists(
    st.datetimes(datetime(1900, 1, 1), datetime(2090, 1, 1)), min_size=1, max_size=30
)  # fmt: skip


def reference(times: np.ndarray, tz: str) -> np.ndarray:
    zone = ZoneInfo(tz)
    return np.array(
        [t.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) for t in times.tolist()],
        dtype="datetime64[us]",
    )


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES), INSTANTS)
def test_local_time_is_zoneinfos(tz: str, times: list[datetime]) -> None:
    stamps = np.array(times, dtype="datetime64[us]")
    np.testing.assert_array_equal(local_time(stamps, tz), reference(stamps, tz))


@pytest.mark.parametrize(
    ("tz", "around"),
    [
        ("Pacific/Auckland", "2024-04-06T14"),
        ("Australia/Lord_Howe", "2024-10-05T15"),
        ("America/St_Johns", "2006-04-02T03"),
        ("America/St_Johns", "2006-10-29T02"),
        ("Africa/Monrovia", "1972-01-07T00"),
        ("Pacific/Apia", "2011-12-30T10"),
        ("Europe/Amsterdam", "1937-06-30T23"),
    ],
)
def test_local_time_changes_at_the_right_second(tz: str, around: str) -> None:
    seconds = np.datetime64(around, "us") + np.arange(-7200, 7200, 10) * np.timedelta64(1, "s")
    np.testing.assert_array_equal(local_time(seconds, tz), reference(seconds, tz))


def test_local_time_keeps_shape_and_microseconds() -> None:
    stamps = np.array([["2024-07-01T00:00:00.000001"], ["2024-01-01T12:30"]], dtype="datetime64[us]")
    local = local_time(stamps, "Europe/Berlin")
    assert local.tolist() == [[datetime(2024, 7, 1, 2, 0, 0, 1)], [datetime(2024, 1, 1, 13, 30)]]
    assert local_time(stamps, None) is not None
    assert local_time(stamps[:0], "Europe/Berlin").shape == (0, 1)


@pytest.mark.parametrize("tz", ["Nowhere/Land", "", "../etc/passwd", "UTC+02:00"])
def test_what_is_no_zone_is_refused(tz: str) -> None:
    with pytest.raises(InvalidInputError, match="Pacific/Auckland"):
        local_time(np.array(["2024-01-01"], dtype="datetime64[us]"), tz)


def test_years_without_zones_are_refused() -> None:
    with pytest.raises(DataError, match="1 to 9999"):
        local_time(np.array(["20000-01-01"], dtype="datetime64[us]"), "Europe/Berlin")


@settings(max_examples=100, deadline=None)
@given(INSTANTS, st.sampled_from([None, *ZONES]))
def test_features_lie_between_minus_one_and_one(times: list[datetime], tz: str | None) -> None:
    stamps = np.array(times, dtype="datetime64[us]")
    features = calendar_features(stamps, list(CALENDAR_FEATURES), tz=tz)
    assert features.shape == (len(times), len(CALENDAR_FEATURES))
    assert (np.abs(features) <= 1.0).all()
    column = dict(zip(CALENDAR_FEATURES, features.T, strict=True))
    for cycle in ("hour", "half_day", "weekday", "year"):
        np.testing.assert_allclose(column[f"{cycle}_sin"] ** 2 + column[f"{cycle}_cos"] ** 2, 1.0)
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    at = np.stack([column[f"is_{day}"] for day in days])
    local = local_time(stamps, tz).tolist()
    assert at.argmax(0).tolist() == [t.weekday() for t in local]
    assert at.sum(0).tolist() == [1.0] * len(times)
    np.testing.assert_array_equal(column["is_weekend"], at[5:].sum(0))


def test_features_follow_the_clock_of_the_zone() -> None:
    noon = np.array(["2024-01-01T12:00", "2024-07-01T12:00"], dtype="datetime64[us]")
    names = ["hour_sin", "hour_cos"]
    np.testing.assert_allclose(calendar_features(noon, names), [[0, -1], [0, -1]], atol=1e-12)
    six = calendar_features(noon - np.timedelta64(7, "h"), names, tz="Europe/Berlin")  # 6 and 7 in Berlin
    np.testing.assert_allclose(six[0], [1, 0], atol=1e-12)
    assert six[1, 0] < 1
    assert calendar_features(noon, []).shape == (2, 0)


def test_unknown_features_are_met_with_near_ones() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'hour_sin'"):
        calendar_features(np.array(["2024-01-01"], dtype="datetime64[us]"), ["hour_sine"])


def test_times_with_a_zone_become_utc() -> None:
    aware = datetime(2024, 7, 1, 2, tzinfo=ZoneInfo("Europe/Berlin"))
    for value in (aware, "2024-07-01T02:00+02:00", "2024-07-01T00:00Z", np.datetime64("2024-07-01", "D")):
        assert instant("start", value) == np.datetime64("2024-07-01T00:00", "us")
    assert instants("times", ["2024-07-01", "2024-07-01T02:00+02:00"]).tolist() == [datetime(2024, 7, 1)] * 2


@pytest.mark.parametrize(
    "text", ["2024", "2024-01", "2024-01-01", "20240101", "2024-01-01 00:00", "20240101T00"]
)
def test_dates_are_read_as_iso_8601_has_them(text: str) -> None:
    assert instant("start", text) == np.datetime64("2024-01-01T00:00", "us")
    assert instants("times", [text, "2024-01-02"])[0] == np.datetime64("2024-01-01T00:00", "us")


@pytest.mark.parametrize("text", ["202401", "5", "-5", "now", "today", "", "2024-13", "２０２４"])
def test_texts_that_only_look_like_times_are_refused(text: str) -> None:
    for values in ([text], [text] * 3, ["2024-01-01", text]):
        with pytest.raises(DataError, match="row"):
            instants("times", values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["2024-01-01", "soon"], "row 1"),
        (["2024-01-01", None], "row 1: has no missing time"),
        (np.array(["NaT"], dtype="datetime64[us]"), "row 0: has no missing time"),
        ([1.5], "are times"),
        ([object()], "row 0"),
        ([3, "2024-01-01"], None),
    ],
)
def test_what_is_no_time_is_named(values: object, says: str | None) -> None:
    with pytest.raises(DataError, match=says):
        instants("times", np.array(values, dtype=object) if says is None else values)
    with pytest.raises(DataError):
        instant("start", ["2024-01-01", "2024-01-02"])
