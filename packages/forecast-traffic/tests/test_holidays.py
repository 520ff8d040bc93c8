"""Holidays are Sundays: in the clock, to every model that reads it, and kept with the model."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

import forecast_core as fc
from forecast_core.errors import DataError
from forecast_traffic import GraphPanel, read_network
from forecast_traffic.graph.clock import Calendar, clock
from forecast_traffic.graph.sample import sample_graph
from forecast_traffic.serving import GraphRequest

MONDAY = "2024-01-08"
SMALL: dict[str, Any] = {
    "context_length": 6,
    "horizon": 4,
    "max_epochs": 1,
    "windows_per_epoch": 64,
    "hidden_size": 8,
}
MODELS = {
    "traffic/historical-average": {"horizon": 4},
    "traffic/stid": SMALL,
    "traffic/stmgt": {**SMALL, "head_size": 8, "heads": 2},
}
every_model = pytest.mark.parametrize("model_id", MODELS)
days_of_2024 = st.dates(date(2024, 1, 1), date(2024, 1, 20))


def fitted(model_id: str, gp: GraphPanel) -> Any:
    return fc.create_model(model_id, **MODELS[model_id]).fit(gp)


def mornings(gp: GraphPanel) -> GraphPanel:
    """The first twelve hours of that Monday."""
    return gp.between(MONDAY, f"{MONDAY}T12:00")


@given(st.sets(days_of_2024, max_size=5), st.sampled_from([None, "UTC", "America/Los_Angeles"]))
def test_a_holiday_is_a_sunday_and_nothing_else(holidays: set[date], tz: str | None) -> None:
    grid = fc.Freq.parse("h")
    times = grid.range(np.datetime64("2024-01-01T00", "us"), 24 * 20)
    plain = clock(times, grid, Calendar(tz))
    told = clock(times, grid, Calendar(tz, tuple(holidays)))
    shift = np.timedelta64(-8 if tz == "America/Los_Angeles" else 0, "h")
    free = np.isin((times + shift).astype("datetime64[D]"), np.array(sorted(holidays), "datetime64[D]"))
    np.testing.assert_array_equal(told[:, 1], np.where(free, 6, plain[:, 1]))
    np.testing.assert_array_equal(told[:, [0, 2]], plain[:, [0, 2]])


@every_model
def test_models_read_a_holiday_as_a_sunday(model_id: str) -> None:
    gp = sample_graph(rows=48 * 14)
    model, monday = fitted(model_id, gp), mornings(gp)
    sunday = replace(monday, timestamps=monday.timestamps - np.timedelta64(1, "D"))
    told = model.predict(replace(monday, holidays=(MONDAY,))).mean()
    np.testing.assert_array_equal(told, model.predict(sunday).mean())
    assert not np.array_equal(told, model.predict(monday).mean())


@every_model
def test_holidays_and_zone_of_training_hold_where_none_are_told(model_id: str, tmp_path: Path) -> None:
    gp = sample_graph(rows=48 * 14)
    placed = replace(gp, tz="America/Los_Angeles", holidays=("2024-01-01", MONDAY))
    model, monday = fitted(model_id, placed), mornings(gp)
    model.save(tmp_path / "model")
    expected = model.predict(mornings(placed)).mean()
    for each in (model, fc.load_model(tmp_path / "model")):
        np.testing.assert_array_equal(each.predict(monday).mean(), expected)
        windows = monday.windows(context_length=6, horizon=4, origins=monday.timestamps[[15]])
        same = replace(windows, panel=mornings(placed))
        np.testing.assert_array_equal(each.predict_windows(windows).mean(), each.predict_windows(same).mean())
    otherwise = model.predict(replace(mornings(placed), holidays=())).mean()
    assert not np.array_equal(otherwise, expected)  # told that there are none


def test_weather_ahead_survives_what_training_tells() -> None:
    gp = sample_graph(rows=48 * 14, future_covariates=1)
    model = fitted("traffic/stmgt", replace(gp, holidays=(MONDAY,)))
    windows = gp.windows(context_length=6, horizon=4, origins=gp.timestamps[[48 * 7 + 20]])
    history = next(iter(windows.histories()))[1]
    np.testing.assert_allclose(
        model.predict(history).mean(), model.predict_windows(windows).mean(), rtol=1e-5
    )


def test_averages_of_sundays_are_fitted_on_holidays_too() -> None:
    gp = sample_graph(rows=48 * 14)  # two weeks from a Monday
    model = fc.create_model("traffic/historical-average", shrinkage=0, horizon=4)
    model.fit(replace(gp, holidays=(MONDAY,)))
    days = gp.values[..., 0].reshape(14, 48, 4)
    sunday = model.predict(gp.between(None, "2024-01-14T00:00")).mean()
    np.testing.assert_allclose(sunday[..., 0].T, days[[6, 7, 13], :4].mean(0), rtol=1e-9)
    monday = model.predict(gp.rows(0, 1)).mean()
    np.testing.assert_allclose(monday[..., 0].T, days[0, 1:5], rtol=1e-9)


@pytest.mark.parametrize(
    "told",
    [
        [date(2024, 1, 8), date(2024, 1, 1)],
        ["2024-01-01", "2024-01-08", "2024-01-01"],
        {date(2024, 1, 8): "a name", date(2024, 1, 1): "another"},
        np.array(["2024-01-08", "2024-01-01"], dtype="datetime64[D]"),
        pd.to_datetime(["2024-01-08", "2024-01-01"]),
        pd.to_datetime(["2024-01-08", "2024-01-01"]).tz_localize("America/Los_Angeles"),
        [datetime(2024, 1, 8), np.datetime64("2024-01-01", "s")],
    ],
)
def test_days_are_told_in_any_form(told: Any) -> None:
    gp = replace(sample_graph(), holidays=told)
    assert gp.holidays == (date(2024, 1, 1), date(2024, 1, 8))
    assert gp.signature()["holidays"] == ["2024-01-01", "2024-01-08"]
    assert gp.rows(3, 9).holidays == gp.holidays


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("2024-01-01", "one day is a list of one"),
        (7, "are days"),
        ([date(2024, 1, 1), "new year"], "entry 1.*'new year'"),
        ([datetime(2024, 1, 1, 9)], "entry 0"),
        ([np.datetime64("NaT")], "entry 0"),
        ([pd.NaT], "entry 0"),
        ([None], "entry 0"),
        ([20240101], "entry 0"),
    ],
)
def test_what_is_no_day_is_refused(told: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"holidays.*{message}"):
        replace(sample_graph(), holidays=told)
    np.savez(tmp_path / "speeds.npz", speeds=np.ones((4, 2)))
    with pytest.raises(DataError, match=f"holidays.*{message}"):
        read_network(tmp_path / "speeds.npz", start="2024-01-01", holidays=told)


def test_a_longer_panel_has_the_holidays_of_both() -> None:
    gp = sample_graph()
    early, late = gp.rows(0, 100), gp.rows(100, 240)
    both = replace(early, holidays=("2024-01-01",)).extended(replace(late, holidays=(MONDAY,)))
    assert both.holidays == (date(2024, 1, 1), date(2024, 1, 8))
    assert early.extended(replace(late, holidays=())).holidays == ()
    assert replace(early, tz="UTC").extended(late).tz == "UTC"
    assert early.extended(late) == gp
    with pytest.raises(DataError, match=r"later\.tz: is UTC"):
        replace(early, tz="UTC").extended(replace(late, tz="Europe/Paris"))


def test_a_request_tells_holidays() -> None:
    gp = sample_graph(rows=48 * 14)
    model, monday = fitted("traffic/historical-average", gp), mornings(gp)
    body = {
        "context": {"speed": monday.values[:, :, 0].T.tolist()},
        "timestamps": [f"{t}Z" for t in monday.timestamps.astype("M8[s]")],
        "holidays": [MONDAY],
    }
    data = GraphRequest.model_validate(body).to_data(model.info)
    told = model.predict(replace(monday, holidays=(MONDAY,)))
    np.testing.assert_array_equal(model.predict(data).mean(), told.mean())
    with pytest.raises(DataError, match="holidays at entry 0"):
        GraphRequest.model_validate({**body, "holidays": ["2024-13-01"]}).to_data(model.info)
