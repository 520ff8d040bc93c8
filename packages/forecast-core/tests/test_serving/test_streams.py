"""Streams: whatever order rows come in, a stream holds what a panel of them all would."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import ConflictError, DataError, FrequencyError, InvalidInputError, ShapeError
from forecast_core.series.sample import sample_panel
from forecast_core.series.seasonal_naive import SeasonalNaive
from forecast_core.series.stream import Stream
from forecast_core.serving.answers import iso

START = np.datetime64("2024-03-30T20:00", "us")


@settings(max_examples=300, deadline=None)
@given(
    order=st.lists(st.integers(0, 29), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 5), min_size=60, max_size=60),
    capacity=st.integers(2, 35),
    freq=st.sampled_from(["h", "15min", "D", "MS"]),
    seed=st.integers(0, 99),
)
def test_any_order_of_arrival_holds_the_latest_rows(
    order: list[int], cuts: list[int], capacity: int, freq: str, seed: int
) -> None:
    grid = fc.Freq.parse(freq)
    start = grid.floor(np.array([START]))[0]
    stamps = grid.range(start, 30)
    truth = np.random.default_rng(seed).normal(size=(30, 2, 3))
    truth[np.random.default_rng(seed).random(truth.shape) < 0.2] = np.nan
    stream = Stream(
        item_ids=["a", "b"], freq=freq, target_names=["x", "y"], past_covariate_names=["p"], capacity=capacity
    )
    held: dict[int, np.ndarray] = {}  # what a table of all rows would hold
    first = 30
    while order:
        count = cuts.pop()
        rows, order = list(dict.fromkeys(order[:count])), order[count:]
        last = max(held, default=None)
        at = stamps[rows]
        if last is not None and max(rows) - last > capacity:
            with pytest.raises(DataError, match="timestamps"):
                stream.append(at, truth[rows, :, :2], past_covariates=truth[rows, :, 2:])
            continue
        result = stream.append(at, truth[rows, :, :2], past_covariates=truth[rows, :, 2:])
        end = max(rows) if last is None else max(last, *rows)
        low = end - capacity + 1
        assert result.added >= sum(row >= low and row not in held and row > (last or 0) for row in rows)
        assert result.late == sum(row < low for row in rows)
        assert sum(result) == len(rows)
        first = max(low, min(row for row in (*rows, first) if row >= low or row == first))
        held = {row: truth[row] for row in (*held, *rows) if row >= low}
        expected = np.full((end - first + 1, 2, 3), np.nan)
        for row, values in held.items():
            expected[row - first] = values
        panel = stream.panel()
        np.testing.assert_array_equal(panel.values, expected[..., :2])
        np.testing.assert_array_equal(panel.past_covariates, expected[..., 2:])
        assert panel.timestamps[0] == stamps[first]  # of a row that was sent, unless the window slid past it
        assert stream.last == panel.timestamps[-1] == stamps[end]


def test_repeating_a_request_changes_nothing_and_filling_a_gap_does() -> None:
    stream = Stream(item_ids=["a"], freq="h", capacity=8)
    stamps = fc.Freq.parse("h").range(START, 3)
    values = np.array([1.0, np.nan, 3.0]).reshape(3, 1, 1)
    assert stream.append(stamps, values) == (3, 0, 0, 0)
    before = stream.panel()
    assert stream.append(stamps, values) == (0, 0, 3, 0)
    assert stream.panel() == before
    assert stream.append(stamps[1:2], np.array([[[2.0]]])) == (0, 1, 0, 0)
    assert stream.panel().values.ravel().tolist() == [1.0, 2.0, 3.0]


def test_late_rows_leave_a_stream_as_it_is() -> None:
    stream = Stream(item_ids=["a"], freq="h", capacity=8)
    stream.append(fc.Freq.parse("h").range(START, 2), np.ones((2, 1, 1)))
    before = stream.panel()
    years_ago = START - np.timedelta64(10_000, "h")
    assert stream.append([years_ago], np.ones((1, 1, 1))) == (0, 0, 0, 1)
    assert stream.panel() == before
    far_apart = Stream(item_ids=["a"], freq="h", capacity=8)
    assert far_apart.append([years_ago, START], np.ones((2, 1, 1))) == (1, 0, 0, 1)
    assert len(far_apart) == 1


def test_contradiction_takes_nothing_of_a_request() -> None:
    stream = Stream(item_ids=["a", "b"], freq="h", capacity=8)
    stamps = fc.Freq.parse("h").range(START, 3)
    stream.append(stamps[:2], np.ones((2, 2, 1)))
    before = stream.panel()
    values = np.ones((2, 2, 1))
    values[0, 1] = 5.0
    with pytest.raises(ConflictError, match=r"item 'b', 'target' is 1.0 already, got 5.0"):
        stream.append(stamps[1:], values)
    assert stream.panel() == before


def test_rows_that_do_not_fit_are_refused() -> None:
    stream = Stream(item_ids=["a"], freq="h", capacity=4)
    one = np.ones((1, 1, 1))
    with pytest.raises(ShapeError, match="at least one row"):
        stream.panel()
    stream.append(START, one)
    with pytest.raises(FrequencyError, match="stream's h grid"):
        stream.append(START + np.timedelta64(1, "m"), one)
    with pytest.raises(DataError, match="at most capacity = 4 steps"):
        stream.append(START + np.timedelta64(5, "h"), one)
    with pytest.raises(DataError, match="distinct"):
        stream.append([START, START], np.ones((2, 1, 1)))
    with pytest.raises(ShapeError, match=r"values: is \[row, item, column\] = \[1, 1, 1\]"):
        stream.append(START, np.ones((1, 2, 1)))
    with pytest.raises(DataError, match="finite"):
        stream.append(START, one * np.inf)
    with pytest.raises(InvalidInputError, match="capacity"):
        Stream(item_ids=["a"], freq="h", capacity=0)
    with pytest.raises(DataError, match="distinct"):
        Stream(item_ids=["a", "a"], freq="h")


def test_future_covariates_go_on_after_the_rows() -> None:
    stream = Stream(item_ids=["a"], freq="h", future_covariate_names=["f"], capacity=4)
    stamps = fc.Freq.parse("h").range(START, 6)
    stream.append(stamps, np.ones((6, 1, 1)), future_covariates=np.arange(6.0).reshape(6, 1, 1))
    panel = stream.panel(future_covariates=np.array([[[9.0]], [[8.0]]]))
    assert panel.known_rows == 4
    assert panel.future_covariates is not None
    assert panel.future_covariates.ravel().tolist() == [2.0, 3.0, 4.0, 5.0, 9.0, 8.0]
    with pytest.raises(ShapeError, match="future_covariates"):
        stream.panel(future_covariates=np.ones((2, 1, 2)))


@pytest.fixture
def fed(client: Any, panel: fc.Panel) -> Any:
    """A server with a stream of 48 rows, that was sent 72."""
    made = client.post("/streams/s", {"model": "daily", "freq": "h", "item_ids": [0, 1], "capacity": 48})
    assert made.status_code == 201
    for low in range(0, 72, 9):
        answer = client.post("/streams/s/append", rows(panel, low, low + 9))
        assert answer.json()["added"] == 9
    return client


def rows(panel: fc.Panel, low: int, high: int) -> dict[str, Any]:
    part = panel.rows(low, high)
    return {"timestamps": iso(part.timestamps), "context": {"target": part.values[..., 0].T.tolist()}}


def test_a_streams_prediction_is_that_of_its_rows(fed: Any, panel: fc.Panel, seasonal: Path) -> None:
    expected = fc.load_model(seasonal).predict(panel.rows(24, 72), horizon=3)
    assert isinstance(expected, fc.ForecastPrediction)
    answer = fed.post("/streams/s/predict", {"horizon": 3, "quantile_levels": [0.9]}).json()
    assert answer["mean"]["target"] == expected.mean()[..., 0].tolist()
    assert answer["quantiles"]["0.9"]["target"] == expected.quantile(0.9)[..., 0].tolist()
    shown = fed.get("/streams/s").json()
    assert (shown["rows"], shown["last"], shown["freq"]) == (48, "2024-01-03T23:00:00Z", "h")


def test_appending_again_is_safe_and_contradiction_a_conflict(fed: Any, panel: fc.Panel) -> None:
    again = fed.post("/streams/s/append", rows(panel, 60, 72))
    assert again.json()["repeated"] == 12
    late = fed.post("/streams/s/append", rows(panel, 0, 3))
    assert late.json()["late"] == 3
    other = rows(panel, 71, 72)
    other["context"]["target"][0][0] += 1.0
    conflict = fed.post("/streams/s/append", other)
    assert conflict.status_code == 409
    assert conflict.json()["error"]["type"] == "ConflictError"


def test_streams_are_created_once_and_deleted(fed: Any) -> None:
    create = {"model": "daily", "freq": "h"}
    assert fed.post("/streams/s", create).status_code == 409
    assert fed.ask("DELETE", "/streams/s").status_code == 204
    for method, path in (("DELETE", ""), ("GET", ""), ("POST", "/predict"), ("POST", "/append")):
        content = {"json": {}} if method == "POST" else {}
        answer = fed.ask(method, f"/streams/s{path}", **content)
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "UnknownStreamError"
    assert fed.post("/streams/s", create).status_code == 201


@pytest.mark.parametrize(
    ("create", "path"),
    [
        ({"freq": "h"}, "model"),
        ({"model": "daily"}, "freq"),
        ({"model": "daily", "freq": "h", "capacity": 1}, "capacity"),
        ({"model": "daily", "freq": "h", "capacity": 100_001}, "capacity"),
        ({"model": "daily", "freq": "h", "item_ids": []}, "item_ids"),
        ({"model": "daily", "freq": "h", "item_ids": ["a", "a"]}, "item_ids"),
        ({"model": "daily", "freq": "h", "static_covariates": {"s": [1.0]}}, "static_covariates"),
        ({"model": "daily", "freq": "h", "past_covariates": ["p"]}, "past_covariates"),
        (
            {"model": "daily", "freq": "h", "static_covariates": {str(k): [1.0] for k in range(1001)}},
            "static_covariates",
        ),
        ({"model": "daily", "freq": "h", "tz": "Nowhere"}, "tz"),
    ],
)
def test_streams_that_cannot_be_are_refused(client: Any, create: Any, path: str) -> None:
    answer = client.post("/streams/s", create)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"][0]["path"] == path


@pytest.mark.parametrize(
    ("reach", "most", "capacity"),
    [(None, 3000, 1024), (48, 3000, 1024), (2000, 3000, 2000), (2000, 1500, 1500)],
)
def test_a_stream_holds_the_rows_that_its_model_looks_at_within_the_servers_limit(
    opened: Callable[..., Any],
    seasonal: Path,
    monkeypatch: pytest.MonkeyPatch,
    reach: int | None,
    most: int,
    capacity: int,
) -> None:
    monkeypatch.setattr(SeasonalNaive, "_reach", lambda self, horizon: reach)
    client = opened(seasonal, max_stream_rows=most)
    made = client.post("/streams/s", {"model": "daily", "freq": "h"}).json()
    assert (made["capacity"], made["reach"]) == (capacity, reach)
    assert client.get("/streams/s").json()["reach"] == reach
    assert client.get("/models").json()["models"][0]["reach"] == reach


def test_ids_of_streams_are_plain(client: Any) -> None:
    for stream_id in ("a b", "%00", "é", "." * 3, "x" * 101):
        assert client.post(f"/streams/{stream_id}", {"model": "daily", "freq": "h"}).status_code == 422


def test_streams_and_what_they_keep_are_bounded(opened: Callable[..., Any], seasonal: Path) -> None:
    client = opened(seasonal, max_streams=2, max_stream_values=1000)
    create = {"model": "daily", "freq": "h", "capacity": 100}
    assert client.post("/streams/a", {**create, "capacity": 501}).status_code == 429
    assert client.post("/streams/a", create).status_code == 201
    assert client.post("/streams/b", create).status_code == 201
    third = client.post("/streams/c", create)
    assert third.status_code == 429
    assert third.json()["error"]["type"] == "StreamLimitError"
    client.ask("DELETE", "/streams/a")
    assert client.post("/streams/c", create).status_code == 201
    assert "forecast_streams 2.0" in client.get("/metrics").text


def test_names_and_ids_of_a_stream_are_counted_as_what_it_keeps(
    opened: Callable[..., Any], touchy: Any, tmp_path: Path
) -> None:
    fc.create_model("toys/touchy").save(tmp_path / "touchy")
    client = opened(tmp_path / "touchy", max_stream_values=10_000)
    create = {"model": "touchy", "freq": "h", "capacity": 2}
    for names in (
        {"static_covariates": {f"{k:0200}": [1.0] for k in range(500)}},
        {"item_ids": [f"{k:0200}" for k in range(500)]},
    ):
        assert client.post("/streams/a", {**create, **names}).status_code == 429
    two = {"static_covariates": {"s": [1.0, 2.0]}}
    assert "static_covariates.s" in client.post("/streams/a", {**create, **two}).text
    assert client.post("/streams/a", create).status_code == 201
    assert 4 < client.server.streams.get("a").stream.values_kept < 50


def test_rows_of_a_stream_have_its_columns(fed: Any, panel: fc.Panel) -> None:
    wrong = rows(panel, 0, 2)
    wrong["context"] = {"target": wrong["context"]["target"][:1]}
    assert fed.post("/streams/s/append", wrong).json()["error"]["fields"][0]["path"] == "context.target"
    wrong["context"] = {"targets": [[1.0, 2.0]] * 2}
    assert "did you mean 'target'?" in fed.post("/streams/s/append", wrong).text
    refused = fed.post("/streams/s/predict", {"future_covariates": {"f": [[1.0]]}})
    assert refused.json()["error"]["fields"][0]["path"] == "future_covariates"


@pytest.mark.slow
def test_a_thousand_streams_are_updated_and_predicted_in_a_second() -> None:
    panel = sample_panel(rows=200, items=1)
    model = fc.create_model("series/seasonal-naive", seasonality=24, horizon=6)
    streams = [Stream(item_ids=[0], freq="h", capacity=168) for _ in range(1000)]
    for stream in streams:
        stream.append(panel.timestamps[:199], panel.values[:199])
    best = float("inf")
    for row in (199, 199, 199):
        began = time.perf_counter()
        for stream in streams:
            stream.append(panel.timestamps[row : row + 1], panel.values[row : row + 1])
            model.predict(stream.panel())
        best = min(best, time.perf_counter() - began)
    assert best < 1.0, best
