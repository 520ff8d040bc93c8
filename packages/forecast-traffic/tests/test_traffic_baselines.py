"""Naive baselines: what they repeat, how wide they are, and their errors on public data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import DataError, FrequencyError, InvalidInputError, ShapeError
from forecast_traffic import GraphPanel, read_network, simulate_network
from forecast_traffic.graph.sample import sample_graph
from forecast_traffic.serving import GraphRequest

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "traffic"
MODELS = ("traffic/last-value", "traffic/seasonal-naive", "traffic/historical-average")


class TestLastValue(PredictorConformance):
    model_id = "traffic/last-value"


class TestSeasonalNaive(PredictorConformance):
    model_id = "traffic/seasonal-naive"


class TestHistoricalAverage(PredictorConformance):
    model_id = "traffic/historical-average"


def test_the_last_value_is_the_last_one_observed() -> None:
    gp = sample_graph(missing=0.3)
    prediction = fc.create_model("traffic/last-value", horizon=3).predict(gp)
    for node in range(4):
        seen = gp.values[gp.mask[:, node, 0], node, 0]
        np.testing.assert_array_equal(prediction.mean()[node, :, 0], seen[-1])


def test_intervals_of_the_last_value_cover_at_every_step() -> None:
    gp = simulate_network(8, 14, seed=1, incidents_per_day=0, rain=False).panel
    windows = gp.windows(horizon=12, origins=gp.timestamps[1000:-12:11])
    scores = fc.evaluate(fc.create_model("traffic/last-value"), windows, metrics=["coverage@0.9"])
    assert all(0.86 < value < 0.96 for value in scores.by_horizon["coverage@0.9"] if value is not None)
    widths = fc.create_model("traffic/last-value").predict(gp).variance() ** 0.5
    walk = widths[:, :1] * np.sqrt(np.arange(1, 13))[:, None]
    assert (widths[:, -1] < walk[:, -1]).all()  # speeds return; a random walk would not


def test_a_week_ago_is_repeated() -> None:
    gp = simulate_network(3, 9, missing=0.0, rain=False).panel
    prediction = fc.create_model("traffic/seasonal-naive", horizon=12).predict(gp)
    np.testing.assert_array_equal(prediction.mean()[..., 0].T, gp.values[-2016 : -2016 + 12, :, 0])
    daily = fc.create_model("traffic/seasonal-naive", horizon=12, period="day").predict(gp)
    np.testing.assert_array_equal(daily.mean()[..., 0].T, gp.values[-288 : -288 + 12, :, 0])


def test_the_average_is_that_of_the_same_time_of_the_same_weekday() -> None:
    gp = simulate_network(3, 21, missing=0.1, seed=2, rain=False).panel
    model = fc.create_model("traffic/historical-average", shrinkage=0, horizon=6).fit(gp)
    expected = np.nanmean(np.stack([gp.values[k * 2016 : k * 2016 + 6, :, 0] for k in range(3)]), axis=0)
    np.testing.assert_allclose(model.predict(gp).mean()[..., 0].T, expected, rtol=1e-9)


@pytest.mark.parametrize("period", ["day", "weekpart", "week"])
def test_averages_know_nodes_and_times_that_were_never_observed(period: str) -> None:
    gp = simulate_network(3, 3, missing=0.0, rain=False).panel  # Monday to Wednesday
    values = gp.values.copy()
    values[:, 1] = np.nan
    model = fc.create_model("traffic/historical-average", period=period).fit(replace(gp, values=values))
    saturday = GraphPanel(
        gp.values[:10], gp.timestamps[:10] + np.timedelta64(5, "D"), gp.node_ids, gp.edge_index
    )
    prediction = model.predict(saturday)
    assert np.isfinite(prediction.mean()).all()
    assert (prediction.variance() > 0).all()


@pytest.mark.parametrize("model_id", MODELS)
def test_one_node_without_edges_can_be_forecast(model_id: str) -> None:
    gp = sample_graph(items=1)
    model = fc.create_model(model_id, horizon=4).fit(gp)
    assert model.predict(gp).shape == (1, 4, 1)


@pytest.mark.parametrize("model_id", MODELS)
def test_a_node_without_observations_is_forecast_from_the_others(model_id: str) -> None:
    gp = sample_graph(rows=400)
    values = gp.values.copy()
    values[:, 2] = np.nan
    silent = replace(gp, values=values)
    model = fc.create_model(model_id, horizon=4).fit(silent)
    assert np.isfinite(model.predict(silent).mean()).all()


def test_what_was_not_seen_in_training_is_refused() -> None:
    gp = sample_graph()
    model = fc.create_model("traffic/historical-average").fit(gp)
    with pytest.raises(DataError, match=r"data.node_ids at node 0.*'x'"):
        model.predict(replace(gp, node_ids=("x", "node-1", "node-2", "node-3")))
    with pytest.raises(FrequencyError, match=r"data.freq"):
        model.predict(replace(gp, freq="h", timestamps=fc.Freq.parse("h").range(gp.timestamps[0], len(gp))))
    with pytest.raises(ShapeError, match=r"data.channel_names"):
        model.predict(
            replace(gp, values=np.repeat(gp.values, 2, axis=2), mask=None, channel_names=("a", "b"))
        )
    with pytest.raises(DataError, match="every channel"):
        model.fit(replace(gp, values=np.full_like(gp.values, np.nan)))


def test_backtests_take_graph_panels() -> None:
    gp = simulate_network(4, 8).panel
    models = [fc.create_model(m) for m in MODELS]
    metrics = ["mae@3,6,12", "rmse", "mape", "crps", "coverage@0.9", "mase@288"]
    result = fc.backtest(models, gp, start=gp.timestamps[-400], horizon=12, stride=7, metrics=metrics)
    assert result.baseline == "traffic/last-value"
    assert {s.model for s in result.scores} == set(MODELS)
    assert all(value is not None for s in result.scores for value in s.metrics.values())


def test_a_request_asks_for_the_nodes_of_training() -> None:
    gp = sample_graph()
    model = fc.create_model("traffic/historical-average", horizon=3).fit(gp)
    body = {
        "context": {"target": [[float(v) for v in gp.values[-3:, k, 0]] for k in range(4)]},
        "timestamps": [f"{t}Z" for t in gp.timestamps[-3:].astype("M8[s]")],
    }
    data = GraphRequest.model_validate(body).to_data(model.info)
    assert data.node_ids == gp.node_ids
    assert str(data.freq) == "30min"
    np.testing.assert_array_equal(model.predict(data).mean(), model.predict(gp).mean())
    with pytest.raises(ShapeError, match="node_ids"):
        GraphRequest.model_validate({**body, "node_ids": ["a"]}).to_data(model.info)
    with pytest.raises(ShapeError, match=r"weather\.rain"):
        GraphRequest.model_validate({**body, "weather": {"rain": [0.0]}}).to_data(model.info)
    ahead = {"weather": {"rain": [0.0] * 3 + [1.0, None]}, "event_ids": [0, 0, 0, 1, 0]}
    with pytest.raises(InvalidInputError, match="weather: holds the model's"):
        GraphRequest.model_validate({**body, **ahead}).to_data(model.info)
    info = model.info.model_copy(update={"data": {**model.info.data, "weather": ["rain"]}})
    data = GraphRequest.model_validate({**body, **ahead}).to_data(info)
    assert data.known_rows == 3
    assert len(data) == 5
    with pytest.raises(ShapeError, match="event_ids"):
        GraphRequest.model_validate({**body, **ahead, "event_ids": [0, 0, 0, 1]}).to_data(model.info)


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="set FORECAST_DATA to the folder of public data sets")
def test_errors_of_naive_forecasts_on_public_detectors() -> None:
    file = DATA / "metr_la_10" / "metr_la_10_first80.npz"
    gp = read_network(file, adjacency=file, missing_value=0)
    assert 1 - gp.mask.mean() == pytest.approx(0.067, abs=0.001)
    assert (gp.edge_index[0] != gp.edge_index[1]).sum() == 8
    start = fc.splits.time_split(gp, (0.7, 0.15, 0.15)).test.timestamps[0]
    models = [fc.create_model("traffic/last-value"), fc.create_model("traffic/historical-average")]
    result = fc.backtest(models, gp, start=start, horizon=12, stride=1, metrics=["mae@3,6,12", "mae"])
    last = result["traffic/last-value"].metrics
    np.testing.assert_allclose([last[f"mae@{k}"] for k in (3, 6, 12)], [3.239, 3.822, 4.805], atol=0.001)
    assert result["traffic/historical-average"].metrics["mae"] == pytest.approx(4.03, abs=0.02)
    los = read_network(
        DATA / "los_loop" / "los_speed.csv.gz",
        adjacency=DATA / "los_loop" / "los_adj.csv.gz",
        start="2012-03-01",
    )
    assert los.values.shape == (2016, 207, 1)
    assert los.edge_index.shape == (2, 2833)
