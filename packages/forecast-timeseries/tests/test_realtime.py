"""Streams, predictions from them, and what becomes of the predictions: equal to batches, and checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import (
    CapabilityError,
    ConflictError,
    DataError,
    FrequencyError,
    InvalidInputError,
    NotFittedError,
    ShapeError,
)
from forecast_core.series.sample import sample_panel
from forecast_timeseries import (
    OutOfRangeWarning,
    PredictionHistory,
    RealTimePredictor,
    ShortWindowWarning,
    StreamBuffer,
)

CONTEXT, HORIZON = 12, 4
LSTM = {
    "context_length": CONTEXT,
    "horizon": HORIZON,
    "hidden_size": 8,
    "head_size": 8,
    "num_layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
    "batch_size": 32,
}
PATCHES = {
    "horizon": HORIZON,
    "patch_length": 4,
    "patch_stride": 4,
    "model_size": 8,
    "num_heads": 1,
    "num_layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
}


def lord_howe(rows: int = 200) -> fc.Panel:
    """Half-hourly rows over the night on which clocks of Lord Howe Island go back by half an hour."""
    panel = sample_panel(rows=rows, items=2)
    start = np.datetime64("2024-04-04T12:00", "us")
    freq = fc.Freq.parse("30min")
    return replace(panel, timestamps=freq.range(start, rows), freq=freq, tz="Australia/Lord_Howe")


@pytest.fixture(scope="module")
def model() -> Any:
    return fc.create_model("timeseries/lstm", **LSTM).fit(lord_howe())


@settings(max_examples=120, deadline=None)
@given(
    order=st.lists(st.integers(80, 139), min_size=20, max_size=120),
    at_once=st.integers(1, 9),
    local=st.booleans(),
)
def test_a_stream_predicts_what_a_batch_does_in_whatever_order_rows_come(
    model: Any, order: list[int], at_once: int, local: bool
) -> None:
    panel, zone = lord_howe(), ZoneInfo("Australia/Lord_Howe")
    buffer = StreamBuffer.from_panel(panel.rows(0, 80), context_length=CONTEXT, capacity=40)
    live = RealTimePredictor(model)

    def moment(row: int) -> Any:
        stamp = panel.timestamps[row]
        if not local:
            return stamp
        utc = stamp.item().replace(tzinfo=ZoneInfo("UTC"))
        return utc.astimezone(zone).isoformat()  # hours that happen twice differ in their offset

    last, came = 79, set(range(80))
    for begin in range(0, len(order), at_once):
        rows = list(dict.fromkeys(order[begin : begin + at_once]))
        if max(rows) > last + 40:
            continue
        buffer.append([moment(r) for r in rows], panel.values[rows])
        last = max(last, *rows)
        came |= set(rows)
    held = {row for row in came if row > last - 40}
    values = np.full((last + 1, 2, 1), np.nan)
    values[sorted(held)] = panel.values[sorted(held)]
    window = replace(panel.rows(0, last + 1), values=values)
    if np.isnan(values[last - CONTEXT + 1 :]).all(axis=0).any():
        with pytest.raises(DataError, match="has a value within the window"):
            live.predict(buffer)
        return
    streamed, batch = live.predict(buffer), model.predict(window)
    np.testing.assert_array_equal(streamed.timestamps, batch.timestamps)
    np.testing.assert_allclose(streamed.values, batch.values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("model_id", "options"),
    [
        ("timeseries/lstm", {**LSTM, "calendar": ("hour_sin", "hour_cos")}),
        ("timeseries/linear", {"horizon": HORIZON, "context_length": CONTEXT, "calendar": ("hour_sin",)}),
        ("timeseries/gbm", {"horizon": HORIZON, "num_trees": 5, "min_leaf": 5, "seasons": ()}),
    ],
)
def test_windows_that_name_no_zone_are_read_by_the_clock_of_training(
    model_id: str, options: dict[str, Any]
) -> None:
    panel = replace(sample_panel(rows=240, items=2), tz="Pacific/Auckland")
    train, later = panel.rows(0, 180), panel.rows(180, 240)
    unsaid = replace(later, tz=None)
    model: Any = fc.create_model(model_id, **options).fit(train, validation=later)
    assert model.predict(train) == fc.create_model(model_id, **options).fit(train, validation=unsaid).predict(
        train
    )
    expected = model.predict(later)
    assert model.predict(replace(later, tz="America/New_York")) != expected
    assert model.predict(unsaid) == expected
    ahead = {"horizon": HORIZON, "context_length": 24}
    assert model.predict_windows(unsaid.windows(**ahead)) == model.predict_windows(later.windows(**ahead))
    live = RealTimePredictor(model)
    stream = StreamBuffer(context_length=60, item_ids=panel.item_ids, freq="h")
    stream.append([f"{t}Z" for t in later.timestamps], later.values)
    for window in (unsaid, stream, later.to_frame(backend="pandas")):
        np.testing.assert_array_equal(live.predict(window).median(), expected.median())


def test_rules_of_arrival_are_told() -> None:
    panel = lord_howe()
    buffer = StreamBuffer.from_panel(panel.rows(0, 30), context_length=8, capacity=10)
    assert buffer.ready
    row = panel.values[30]
    assert buffer.append(panel.timestamps[31], panel.values[31]).added == 1  # a gap of one row
    assert np.isnan(buffer.window().values[-2]).all()
    assert buffer.append(panel.timestamps[30], row).filled == 1  # late, but in time
    assert buffer.append(panel.timestamps[30], row).repeated == 1
    assert buffer.append(panel.timestamps[5], panel.values[5]).late == 1
    with pytest.raises(ConflictError, match="already"):
        buffer.append(panel.timestamps[30], row + 1.0)
    with pytest.raises(FrequencyError, match="grid"):
        buffer.append(panel.timestamps[31] + np.timedelta64(1, "s"), row)
    for wrong in ("abc", [["x"], ["y"]], [[1.0], [2.0, 3.0]]):
        with pytest.raises(DataError, match="values: holds numbers"):
            buffer.append(panel.timestamps[31], wrong)
    with pytest.raises(DataError, match="at most capacity"):
        buffer.append(panel.timestamps[60], row)
    assert len(buffer.window()) == 8
    assert buffer.window().timestamps[-1] == panel.timestamps[31]


def test_a_single_series_takes_plain_numbers_and_waits_for_its_window() -> None:
    buffer = StreamBuffer(context_length=3, item_ids=["requests"], freq="5min")
    assert not buffer.ready
    with pytest.raises(ShapeError, match="context_length = 3"):
        buffer.window()
    buffer.append("2024-01-01T00:00Z", 5.0)
    buffer.append(["2024-01-01T00:05Z", "2024-01-01T00:10Z"], [6.0, 7.0])
    assert buffer.ready
    np.testing.assert_array_equal(buffer.window().values[:, 0, 0], [5.0, 6.0, 7.0])
    with pytest.raises(ShapeError, match="capacity"):
        StreamBuffer(context_length=3, capacity=2, item_ids=["requests"], freq="5min")


@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("item_ids", lambda: StreamBuffer(context_length=3, freq="h", item_ids="abc")),
        ("item_ids", lambda: StreamBuffer(context_length=3, freq="h", item_ids=5)),
        (
            "target_names",
            lambda: StreamBuffer(context_length=3, freq="h", item_ids=["a"], target_names="load"),
        ),
        ("panel", lambda: StreamBuffer.from_panel(lord_howe().to_frame(), context_length=3)),  # type: ignore[arg-type]
        ("interval", lambda: PredictionHistory(interval="0.9")),  # type: ignore[arg-type]
        ("interval", lambda: PredictionHistory(interval=None)),  # type: ignore[arg-type]
        ("threshold", lambda: PredictionHistory(threshold=None)),  # type: ignore[arg-type]
        ("threshold", lambda: PredictionHistory(threshold="1")),  # type: ignore[arg-type]
        ("item_ids", lambda: PredictionHistory().observe("2024-01-01", [[1.0]], item_ids=5)),  # type: ignore[arg-type]
        ("item_ids", lambda: PredictionHistory().observe("2024-01-01", [[1.0]], item_ids="a")),
        ("margin", lambda: RealTimePredictor(fc.create_model("series/naive"), margin=None)),  # type: ignore[arg-type]
        ("margin", lambda: RealTimePredictor(fc.create_model("series/naive"), margin="1")),  # type: ignore[arg-type]
    ],
)
def test_arguments_of_another_kind_are_named(argument: str, make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInputError, match=f"^{argument}: "):
        make()


def test_what_is_known_ahead_may_be_lists_of_numbers() -> None:
    buffer = StreamBuffer(context_length=2, item_ids=["a"], freq="h", future_covariate_names=["price"])
    buffer.append(["2024-01-01T00", "2024-01-01T01"], [1.0, 2.0], future_covariates=[[[1.0]], [[2.0]]])
    window = buffer.window(future_covariates=[[[3.0]], [[4.0]]])
    assert window.future_covariates is not None
    assert window.future_covariates[:, 0, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    for wrong in ("abc", [[["x"]]], [[[1.0]], [[2.0, 3.0]]]):
        with pytest.raises(DataError, match="future_covariates: holds numbers"):
            buffer.window(future_covariates=wrong)
    with pytest.raises(ShapeError, match="future_covariates"):
        buffer.window(future_covariates=3.0)


def test_every_form_of_a_window_predicts_the_same(model: Any, tmp_path: Path) -> None:
    panel = lord_howe().rows(100, 140)
    model.save(tmp_path / "lstm")
    live = RealTimePredictor(tmp_path / "lstm")
    body = {
        "context": {"target": panel.values[:, :, 0].T.tolist()},
        "timestamps": [f"{t}Z" for t in panel.timestamps],
        "item_ids": list(panel.item_ids),
    }
    frame = panel.to_frame(backend="pandas")
    expected = model.predict(panel)
    for window in (panel, body, frame, StreamBuffer.from_panel(panel, context_length=40)):
        p = live.predict(window)
        np.testing.assert_allclose(p.values, expected.values, rtol=1e-9)
        assert p.metadata == {"origin": str(panel.timestamps[-1]), "out_of_range": [], "missing_rows": 0}
    shorter = live.predict(panel, horizon=2)
    np.testing.assert_allclose(shorter.values, expected.values[:, :2], rtol=1e-9)
    assert live.predict({**body, "horizon": 2}) == shorter
    assert live.predict({**body, "horizon": 2}, horizon=2) == shorter
    assert live.predict_batch([{**body, "horizon": 2}, body]) == [shorter, live.predict(panel)]
    with pytest.raises(InvalidInputError, match=r"window.horizon: is that beside the window, 3.*got 2"):
        live.predict({**body, "horizon": 2}, horizon=3)
    with pytest.raises(InvalidInputError, match=r"quantile_levels: .*ask the prediction"):
        live.predict({**body, "quantile_levels": [0.1, 0.9]})


@pytest.mark.parametrize(
    ("model_id", "options", "reach"),
    [
        ("timeseries/lstm", LSTM, CONTEXT),
        ("timeseries/lstm", {**LSTM, "lags": (24, 48)}, CONTEXT + 48),
        ("timeseries/patch-transformer", {**PATCHES, "context_length": 16}, 16),
        ("timeseries/linear", {"horizon": HORIZON}, None),
        ("timeseries/gbm", {"horizon": HORIZON, "num_trees": 5, "min_leaf": 5, "seasons": (24,)}, 60),
    ],
)
def test_a_window_within_reach_says_what_the_whole_history_does(
    model_id: str, options: dict[str, Any], reach: int | None
) -> None:
    panel = sample_panel(rows=300, items=2)
    model: Any = fc.create_model(model_id, **options).fit(panel.rows(0, 200))
    live = RealTimePredictor(model)
    rows = live.reach()
    assert rows is not None
    assert rows == (reach or rows) == model.reach()
    stream = StreamBuffer.from_panel(panel, context_length=rows)
    assert live.predict(stream).median() == pytest.approx(model.predict(panel).median(), rel=1e-6)
    ensemble = fc.create_ensemble([model, fc.create_model("timeseries/drift", horizon=HORIZON)])
    assert ensemble.fit(panel.rows(0, 200)).reach() is None  # drift looks at all


def test_a_window_with_fewer_rows_than_a_forecast_looks_at_is_warned_of() -> None:
    panel = sample_panel(rows=300, items=1)
    options = {**LSTM, "lags": (24,)}
    live = RealTimePredictor(fc.create_model("timeseries/lstm", **options).fit(panel.rows(0, 200)))
    assert live.reach() == CONTEXT + 24
    with pytest.warns(ShortWindowWarning, match="window of 20 rows, where a forecast looks at 36"):
        p = live.predict(panel.rows(280, 300))
    assert p.metadata["missing_rows"] == 16
    with pytest.warns(ShortWindowWarning):
        assert live.predict_batch([panel.rows(280, 300)])[0].metadata["missing_rows"] == 16


def test_several_windows_are_predicted_as_one_by_one(model: Any) -> None:
    panel = lord_howe()
    windows = [panel.rows(k, k + 20) for k in range(5)]
    live = RealTimePredictor(model)
    for one, of_batch in zip(map(live.predict, windows), live.predict_batch(windows), strict=True):
        np.testing.assert_allclose(of_batch.values, one.values, rtol=1e-6)
        assert of_batch.metadata == one.metadata
    with pytest.raises(ShapeError, match=r"windows\[1\]\.data.*context_length = 12"):
        live.predict_batch([panel, panel.rows(0, 5)])
    assert live.predict_batch([]) == []


def test_values_far_from_training_are_warned_of_or_refused(model: Any) -> None:
    panel = lord_howe()
    high = panel.values.copy()
    high[-1, 1] = 1e6
    odd = replace(panel, values=high)
    with pytest.warns(OutOfRangeWarning, match="target is 1e.06, outside"):
        p = RealTimePredictor(model).predict(odd)
    assert len(p.metadata["out_of_range"]) == 1
    with pytest.raises(DataError, match="range of training"):
        RealTimePredictor(model, out_of_range="refuse").predict(odd)
    assert RealTimePredictor(model, margin=1e9).predict(odd).metadata["out_of_range"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b["context"].update(other=[[1.0]]), "other"),
        (lambda b: b["context"]["target"][0].__setitem__(0, "5"), "context.target.0.0"),
        (lambda b: b["context"]["target"][0].pop(), "context.target"),
        (lambda b: b["timestamps"].reverse(), "timestamps"),
        (lambda b: b.update(surprise=1), "surprise"),
        (lambda b: b.update(item_ids=["nobody", "else"]), "seen in training"),
    ],
)
def test_a_wrong_window_is_refused_by_name(model: Any, change: Callable[[Any], Any], message: str) -> None:
    panel = lord_howe().rows(100, 120)
    body = {
        "context": {"target": panel.values[:, :, 0].T.tolist()},
        "timestamps": [f"{t}Z" for t in panel.timestamps],
        "item_ids": list(panel.item_ids),
    }
    change(body)
    with pytest.raises(InvalidInputError, match=message):
        RealTimePredictor(model).predict(body)


@pytest.mark.parametrize("name", ["series/naive", "timeseries/ets"])
def test_models_that_take_any_window_are_asked_for_their_own_kind(name: str) -> None:
    panel = sample_panel(rows=60, items=1)
    predictor = RealTimePredictor(fc.create_model(name, horizon=2).fit(panel))
    assert len(predictor.predict(panel.rows(10, 60))) == 1
    daily = replace(
        panel, freq=fc.Freq.parse("D"), timestamps=fc.Freq.parse("D").range(panel.timestamps[0], 60)
    )
    with pytest.raises(FrequencyError, match="window: is of the frequency h, got D"):
        predictor.predict(daily)
    with pytest.raises(DataError, match=r"window: has the targets \['target'\], got \['load'\]"):
        predictor.predict(replace(panel, target_names=("load",)))


def test_it_needs_a_fitted_model() -> None:
    with pytest.raises(NotFittedError):
        RealTimePredictor(fc.create_model("timeseries/lstm", **LSTM))
    with pytest.raises(InvalidInputError, match="out_of_range"):
        RealTimePredictor(fc.create_model("series/naive"), out_of_range="shout")  # type: ignore[arg-type]


def test_feeding_and_predicting_streams_costs_little_more_than_the_model(model: Any) -> None:
    panel = lord_howe()
    live = RealTimePredictor(model)
    buffers = [StreamBuffer.from_panel(panel.rows(0, 60), context_length=CONTEXT) for _ in range(100)]
    window = buffers[0].window()

    def processor_seconds(work: Callable[[], Any]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    def feed() -> None:
        for buffer in buffers:
            buffer.append(panel.timestamps[len(buffer)], panel.values[len(buffer)])
        live.predict_batch(buffers)

    bare = min(processor_seconds(lambda: [model.predict(window) for _ in buffers]) for _ in range(3))
    assert min(processor_seconds(feed) for _ in range(3)) < 1.6 * bare


# history


def gaussian(values: np.ndarray, panel: fc.Panel, origin: int, *, sigma: float = 1.0) -> Any:
    """A prediction [item, step] from a row on."""
    items, steps = values.shape
    return fc.MixturePrediction(
        item_ids=panel.item_ids[:items],
        weights=np.ones((items, 1, 1, 1)),
        means=values[..., None, None],
        sigmas=np.full((items, steps, 1, 1), sigma),
        timestamps=panel.timestamps[origin + 1 : origin + 1 + steps],
        target_names=("target",),
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), origins=st.integers(1, 30), steps=st.integers(1, 4), chunk=st.integers(1, 7))
def test_scores_are_those_of_a_loop_by_hand(seed: int, origins: int, steps: int, chunk: int) -> None:
    rng, panel = np.random.default_rng(seed), lord_howe(60)
    truth, history = rng.normal(size=(60, 2)), PredictionHistory(interval=0.8)
    errors, covered, by_step = [], [], {}
    seen = int(rng.integers(0, 40))
    for origin in range(origins):
        means = rng.normal(size=(2, steps))
        history.record(gaussian(means, panel, origin))
        for i in range(2):
            for h in range(steps):
                row = origin + 1 + h
                if row < seen:
                    errors.append(means[i, h] - truth[row, i])
                    covered.append(abs(errors[-1]) <= 1.2815515655446004)
                    by_step.setdefault(h + 1, []).append(abs(errors[-1]))
    settled = 0
    for begin in range(0, seen, chunk):
        rows = slice(begin, min(begin + chunk, seen))
        settled += history.observe(panel.timestamps[rows], truth[rows], item_ids=panel.item_ids[:2])
    scores = history.scores()
    assert settled == scores.observed == len(errors)
    assert scores.pending == 2 * steps * origins - len(errors)
    if not errors:
        assert scores.mae is None
        return
    assert scores.mae == pytest.approx(np.mean(np.abs(errors)))
    assert scores.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert scores.bias == pytest.approx(np.mean(errors))
    assert scores.coverage == pytest.approx(np.mean(covered))
    assert scores.by_step == pytest.approx({h: np.mean(e) for h, e in by_step.items()})
    assert history.observe(panel.timestamps[:seen], truth[:seen], item_ids=panel.item_ids[:2]) == 0


def test_it_forgets_what_exceeds_its_capacity() -> None:
    panel, history = lord_howe(60), PredictionHistory(capacity=6)
    for origin in range(10):
        history.record(gaussian(np.zeros((1, 3)), panel, origin))
    assert len(history) == 6
    first = panel.item_ids[:1]
    assert history.observe(panel.timestamps[:9], np.zeros((9, 1)), item_ids=first) == 0
    assert history.observe(panel.timestamps[9:13], np.zeros((4, 1)), item_ids=first) == 6
    assert history.scores(last=2).observed == 2


def errors_into(history: PredictionHistory, errors: np.ndarray) -> int | None:
    """How many errors it takes until drift is raised; None if it is not."""
    for k, error in enumerate(errors.tolist()):
        history._watch(error)
        if history.drift:
            return k
    return None


def test_drift_is_raised_by_larger_errors_and_hardly_ever_by_steady_ones() -> None:
    rng = np.random.default_rng(0)
    steady = np.abs(rng.normal(size=(40, 5100)))
    raised = [errors_into(PredictionHistory(), each) for each in steady]
    assert sum(each is not None for each in raised) <= 4  # in 200,000 errors
    late = []
    for each in np.abs(rng.normal(size=(40, 400))):
        each[200:] *= 2.0
        late.append(errors_into(PredictionHistory(), each))
    assert all(k is not None for k in late)
    assert np.median([k - 200 for k in late if k is not None]) < 40


def test_drift_stays_until_it_is_reset() -> None:
    history = PredictionHistory(reference=10)
    errors_into(history, np.concatenate([np.linspace(0.9, 1.1, 10), np.full(10, 9.0)]))
    assert history.drift
    history._watch(0.0)
    assert history.drift
    history.reset_drift()
    assert not history.drift


def test_what_a_history_cannot_hold_is_refused() -> None:
    history = PredictionHistory()
    classes = fc.ClassPrediction(item_ids=("a",), probabilities=np.array([[0.5, 0.5]]), classes=("x", "y"))
    with pytest.raises(CapabilityError):
        history.record(classes)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="timestamps"):
        history.record(fc.PointPrediction(item_ids=("a",), values=np.zeros((1, 1, 1))))
    with pytest.raises(ShapeError, match="values"):
        history.observe(["2024-01-01"], [[1.0, 2.0]], item_ids=["a"])
    with pytest.raises(DataError, match="values at row 0, item 'a': are finite"):
        history.observe(["2024-01-01"], [[np.inf]], item_ids=["a"])
    for truth in ([["x"]], [[1.0], [2.0, 3.0]]):
        with pytest.raises(DataError, match="values: holds numbers"):
            history.observe(["2024-01-01", "2024-01-02"][: len(truth)], truth, item_ids=["a"])
    with pytest.raises(InvalidInputError, match="item_ids: are a list"):
        history.observe(["2024-01-01"], [[1.0]], item_ids="a")
    for wrong in ({"interval": 1.0}, {"threshold": 0.0}, {"reference": 1}, {"capacity": 0}):
        with pytest.raises(InvalidInputError):
            PredictionHistory(**wrong)


def test_observations_settle_the_one_target_that_was_predicted() -> None:
    def prediction(*names: str) -> fc.PointPrediction:
        stamps = np.array([["2024-01-01"]], dtype="datetime64[us]")
        return fc.PointPrediction(
            item_ids=("a",), values=np.zeros((1, 1, len(names))), timestamps=stamps, target_names=names
        )

    history = PredictionHistory()
    assert history.observe("2024-01-01", [[1.0]], item_ids=["a"]) == 0
    history.record(prediction("requests"))
    with pytest.raises(InvalidInputError, match=r"target: is one of \['requests'\], got 'target'"):
        history.observe("2024-01-01", [[1.0]], item_ids=["a"], target="target")
    assert history.observe("2024-01-01", [[1.0]], item_ids=["a"]) == 1
    history.record(prediction("errors"))
    with pytest.raises(InvalidInputError, match=r"target: is one of \['errors', 'requests'\]"):
        history.observe("2024-01-01", [[1.0]], item_ids=["a"])
    assert history.observe("2024-01-01", [[1.0]], item_ids=["a"], target="errors") == 1


def test_points_have_errors_but_no_coverage(model: Any) -> None:
    panel, history = lord_howe(), PredictionHistory()
    point = fc.create_model("timeseries/lstm", **{**LSTM, "head": "point"}).fit(panel.rows(0, 150))
    history.record(point.predict(panel.rows(0, 150)))
    later = panel.timestamps[150:154]
    assert later[0] - panel.timestamps[149] == np.timedelta64(timedelta(minutes=30))
    assert history.observe(later, panel.values[150:154, :, 0], item_ids=panel.item_ids) == 8
    assert history.scores().coverage is None
    assert history.scores().mae is not None
