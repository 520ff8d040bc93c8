"""What all trained models of a network keep to: nodes by id, windows, bad input, learning something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import (
    CapabilityError,
    DataError,
    FrequencyError,
    InvalidInputError,
    LeakError,
    NotFittedError,
    ShapeError,
)
from forecast_core.run import Run
from forecast_traffic import GraphPanel, simulate_network, split_windows
from forecast_traffic.graph.sample import sample_graph

SMALL: dict[str, Any] = {
    "context_length": 6,
    "horizon": 4,
    "max_epochs": 1,
    "batch_size": 16,
    "windows_per_epoch": 32,
    "hidden_size": 8,
}
MODELS = ("traffic/stid", "traffic/stmgt")


class TestSTID(PredictorConformance):
    model_id = "traffic/stid"


@pytest.mark.parametrize("model_id", MODELS)
def test_nodes_are_matched_by_id_in_any_order(model_id: str) -> None:
    gp = sample_graph()
    model = fc.create_model(model_id, **SMALL).fit(gp)
    order = [2, 0, 3, 1]
    moved = model.predict(gp.select_items([gp.node_ids[k] for k in order]))
    np.testing.assert_allclose(moved.mean(), model.predict(gp).mean()[order], rtol=1e-6)


def later_panels(gp: GraphPanel) -> dict[str, GraphPanel]:
    """A panel, and others that mean the same."""
    turned = gp.select_items(gp.node_ids[::-1])
    bare = {"edge_index": np.zeros((2, 0), dtype=np.int64), "edge_weight": None}
    return {
        "as it is": gp,
        "turned": turned,
        "bare": replace(gp, **bare),  # type: ignore[arg-type]
        "turned and bare": replace(turned, **bare),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("model_id", MODELS)
@pytest.mark.parametrize("begins", [100, 110])
def test_validation_has_its_nodes_in_any_order_and_needs_no_edges(model_id: str, begins: int) -> None:
    gp = sample_graph()
    told = {}
    for name, valid in later_panels(gp.rows(begins, 160)).items():
        told[name] = Told()
        model = fc.create_model(model_id, **SMALL)
        model.fit(gp.rows(0, 100), validation=valid, run=Run(listeners=[told[name]]))
    losses = [each.epochs[0]["valid_loss"] for each in told.values()]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_the_future_has_its_nodes_in_any_order_and_needs_no_edges() -> None:
    gp = sample_graph(future_covariates=1)
    model = fc.create_model("traffic/stmgt", **SMALL).fit(gp.rows(0, 200))
    ahead = gp.rows(200, 204)
    ahead = replace(ahead, mask=np.zeros((4, 4), dtype=bool))
    expected = model.predict(gp.rows(0, 200), future=ahead)
    for future in later_panels(ahead).values():
        assert model.predict(gp.rows(0, 200), future=future) == expected


def validation_loss(model_id: str, train: Any, valid: GraphPanel) -> float:
    told = Told()  # by `_fit`, which comes after the check for leaks of `fit`
    fc.create_model(model_id, **SMALL)._fit(train, validation=valid, seed=0, run=Run(listeners=[told]))
    return told.epochs[0]["valid_loss"]


@pytest.mark.parametrize("model_id", MODELS)
def test_rows_fitted_on_are_context_of_validation_and_never_scored(model_id: str) -> None:
    gp = sample_graph()
    train = gp.rows(0, 100)
    losses = [validation_loss(model_id, train, gp.rows(row, 160)) for row in (100, 97, 94, 60, 1, 0)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)
    rule = (
        "validation: has at least horizon = 4 rows that are not fitted on, and observed values, got {} rows"
    )
    with pytest.raises(ShapeError, match=rule.format(3)):
        validation_loss(model_id, train, gp.rows(60, 103))
    blank = replace(gp, values=np.where(np.arange(240)[:, None, None] < 100, gp.values, np.nan))
    with pytest.raises(ShapeError, match=rule.format(60)):
        validation_loss(model_id, train, blank.rows(60, 160))


def test_windows_fitted_on_keep_their_rows_from_a_validation_panel() -> None:
    gp = sample_graph()
    windows = gp.windows(context_length=6, horizon=4)
    late = windows.take((windows.rows >= 65) & (windows.rows <= 100))  # reads rows 60..104
    by_rows = validation_loss("traffic/stid", late, gp.rows(105, 160))
    assert validation_loss("traffic/stid", late, gp.rows(80, 160)) == pytest.approx(by_rows, rel=1e-6)
    assert np.isfinite(validation_loss("traffic/stid", late, gp.rows(0, 60)))
    before = validation_loss("traffic/stid", late, gp.rows(30, 60))
    assert validation_loss("traffic/stid", late, gp.rows(30, 90)) == pytest.approx(before, rel=1e-6)
    with pytest.raises(ShapeError, match="not fitted on, and observed values, got 0 rows"):
        validation_loss("traffic/stid", late, gp.rows(60, 90))
    around = windows.take((windows.rows < 60) | (windows.rows >= 150))  # reads rows 0..63 and 145..239
    between = validation_loss("traffic/stid", around, gp.rows(64, 145))
    assert validation_loss("traffic/stid", around, gp.rows(50, 160)) == pytest.approx(between, rel=1e-6)


class Told:
    """Keeps what listeners are told of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.epochs.append(dict(metrics))


@pytest.mark.parametrize("model_id", MODELS)
def test_each_term_of_the_loss_is_told_of_every_epoch(model_id: str) -> None:
    train, valid, _ = fc.splits.time_split(sample_graph(), (0.5, 0.3, 0.2))
    told, terms = Told(), {"crps": 0.5, "nll": 1.0, "mae": 2.0}
    options = {**SMALL, "max_epochs": 2, "schedule": "milestones", "milestones": (1,), "loss": terms}
    fc.create_model(model_id, **options).fit(train, validation=valid, run=Run(listeners=[told]))
    assert len(told.epochs) == 2
    for epoch in told.epochs:
        for part in ("train", "valid"):
            whole = sum(weight * epoch[f"{part}_{name}"] for name, weight in terms.items())
            assert whole == pytest.approx(epoch[f"{part}_loss"], rel=1e-4)
    assert told.epochs[1]["learning_rate"] == pytest.approx(told.epochs[0]["learning_rate"] / 10)


@pytest.mark.parametrize("model_id", MODELS)
def test_later_data_that_is_not_like_training_is_refused(model_id: str) -> None:
    gp = sample_graph()
    model = fc.create_model(model_id, **SMALL).fit(gp)
    with pytest.raises(DataError, match=r"data.node_ids at node 1.*'x'"):
        model.predict(replace(gp, node_ids=("node-0", "x", "node-2", "node-3")))
    with pytest.raises(DataError, match="every node of training"):
        model.predict(gp.select_items(["node-0", "node-1"]))
    two = replace(gp, values=np.repeat(gp.values, 2, axis=2), mask=None, channel_names=("speed", "flow"))
    with pytest.raises(ShapeError, match=r"data.channel_names"):
        model.predict(two)
    hourly = replace(gp, freq="h", timestamps=fc.Freq.parse("h").range(gp.timestamps[0], len(gp)))
    with pytest.raises(FrequencyError, match=r"data.freq"):
        model.predict(hourly)
    with pytest.raises(ShapeError, match="context_length = 6"):
        model.predict(gp.rows(0, 5))
    with pytest.raises(ShapeError, match="window 0"):
        model.predict_windows(gp.windows(context_length=3, horizon=4))
    with pytest.raises(InvalidInputError, match="at most 4"):
        model.predict(gp, horizon=5)
    with pytest.raises(NotFittedError):
        fc.create_model(model_id, **SMALL).predict(gp)


@pytest.mark.parametrize("model_id", MODELS)
def test_one_node_and_no_edges_can_be_trained_on(model_id: str) -> None:
    gp = sample_graph(items=1)
    model = fc.create_model(model_id, **SMALL).fit(gp)
    assert model.predict(gp).shape == (1, 4, 1)


@pytest.mark.parametrize("model_id", MODELS)
def test_a_silent_node_does_not_hinder_the_others(model_id: str) -> None:
    gp = sample_graph()
    values = gp.values.copy()
    values[:, 2] = np.nan
    silent = replace(gp, values=values)
    model = fc.create_model(model_id, **SMALL).fit(silent)
    assert np.isfinite(model.predict(silent).mean()).all()
    with pytest.raises(DataError):
        fc.create_model(model_id, **SMALL).fit(replace(gp, values=np.full_like(values, np.nan)))


@pytest.mark.parametrize("model_id", MODELS)
def test_several_channels_are_predicted_each_in_its_unit(model_id: str) -> None:
    gp = sample_graph()
    values = np.concatenate([gp.values, 20.0 * gp.values + 500.0], axis=2)
    both = replace(gp, values=values, mask=None, channel_names=("speed", "flow"))
    prediction = fc.create_model(model_id, **SMALL).fit(both).predict(both)
    assert prediction.target_names == ("speed", "flow")
    assert abs(prediction.mean()[..., 1].mean() - values[..., 1].mean()) < 400


@pytest.mark.parametrize("model_id", MODELS)
def test_it_is_fitted_on_windows_of_either_protocol(model_id: str) -> None:
    gp = sample_graph()
    for protocol in ("gap", "compat"):
        train, valid, test = split_windows(
            gp, (0.6, 0.2, 0.2), protocol=protocol, context_length=6, horizon=4
        )
        model = fc.create_model(model_id, **SMALL).fit(train, validation=valid)
        scores = fc.evaluate(model, test, metrics=["mae"])
        assert scores.metrics["mae"] is not None
        with pytest.raises(LeakError, match="validation: all targets of window 0"):
            fc.create_model(model_id, **SMALL).fit(train, validation=train)
        with pytest.raises(ShapeError, match="each of the 4 nodes"):
            fc.create_model(model_id, **SMALL).fit(train.take(np.arange(5)))
    with pytest.raises(InvalidInputError, match="horizon 4"):
        model.fit(gp.windows(context_length=6, horizon=3))


@pytest.mark.parametrize("model_id", MODELS)
def test_a_fit_on_windows_reads_nothing_but_their_rows(model_id: str) -> None:
    gp = sample_graph(rows=200, future_covariates=1)
    gp = gp if model_id == "traffic/stmgt" else gp.without(frozenset({"future_covariates"}))
    values, between = gp.values.copy(), slice(100, 140)
    values[between] *= 50.0
    weather = None if gp.weather is None else gp.weather.copy()
    if weather is not None:
        weather[between] += 1e3
    made = []
    for each in (gp, replace(gp, values=values, weather=weather)):
        windows = each.windows(context_length=6, horizon=4)
        windows = windows.take(np.flatnonzero((windows.rows < 96) | (windows.rows >= 145)))
        made.append(fc.create_model(model_id, **SMALL).fit(windows).predict_windows(windows))
    for name in ("weights", "means", "sigmas"):
        np.testing.assert_array_equal(getattr(made[0], name), getattr(made[1], name))


def test_weather_that_never_changed_in_training_changes_no_forecast(tmp_path: Path) -> None:
    gp = sample_graph(rows=120, future_covariates=1)
    assert gp.weather is not None
    weather = gp.weather.copy()
    weather[:, 0] = 20.0
    dull = replace(gp, weather=weather)
    model = fc.create_model("traffic/stmgt", **SMALL).fit(dull)
    model.save(tmp_path / "model")
    weather = weather.copy()
    weather[:, 0] = 35.0
    windows, hot = (
        each.windows(context_length=6, horizon=4) for each in (dull, replace(gp, weather=weather))
    )
    for each in (model, fc.load_model(tmp_path / "model")):
        np.testing.assert_array_equal(each.predict_windows(hot).mean(), each.predict_windows(windows).mean())


@pytest.mark.parametrize("model_id", MODELS)
def test_a_shorter_horizon_is_the_beginning_of_the_whole(model_id: str) -> None:
    gp = sample_graph()
    model = fc.create_model(model_id, **SMALL).fit(gp)
    np.testing.assert_array_equal(model.predict(gp, horizon=2).mean(), model.predict(gp).mean()[:, :2])


def test_it_learns_more_than_the_last_value() -> None:
    gp = simulate_network(6, 10, rain=False, incidents_per_day=0.2).panel
    options = {"max_epochs": 8, "windows_per_epoch": 1024, "hidden_size": 16, "batch_size": 32}
    model = fc.create_model("traffic/stid", **options)
    result = fc.backtest([model], gp, start="2024-01-10", horizon=12, stride=7, metrics=["mae", "crps"])
    for metric in ("mae", "crps"):
        skill = result["traffic/stid"].skill[metric]
        assert skill is not None
        assert skill > 0.15


def test_what_a_model_takes_no_part_in_is_left_out_of_a_backtest() -> None:
    gp = simulate_network(4, 3).panel
    model = fc.create_model("traffic/stid", **{**SMALL, "horizon": 12})
    result = fc.backtest([model], gp, start=gp.timestamps[-100], horizon=12, stride=20, metrics=["mae"])
    assert result["traffic/stid"].metrics["mae"] is not None
    with pytest.raises(CapabilityError, match="future_covariates"):
        fc.create_model("traffic/stid", **SMALL).fit(gp)
