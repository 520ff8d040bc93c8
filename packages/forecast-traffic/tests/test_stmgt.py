"""`traffic/stmgt`: its encodings and blocks, what weather and the graph do in it, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import ConfigError, DataError, InvalidInputError, MissingFutureError, ShapeError
from forecast_traffic import GraphPanel, simulate_network
from forecast_traffic.graph.sample import sample_graph
from forecast_traffic.nn.edge_plan import EdgePlan
from forecast_traffic.nn.space_time import SpaceTimeBlock, WeatherView
from forecast_traffic.nn.tensors import WeatherBatch
from forecast_traffic.nn.time_encoding import HierarchicalTime, cyclic
from forecast_traffic.nn.weather_attention import WeatherAttention, WeatherTokens

SMALL: dict[str, Any] = {
    "context_length": 6,
    "horizon": 4,
    "max_epochs": 1,
    "batch_size": 16,
    "windows_per_epoch": 32,
    "hidden_size": 8,
    "head_size": 8,
    "heads": 2,
    "num_layers": 1,
}


class TestSTMGT(PredictorConformance):
    model_id = "traffic/stmgt"


def create(**options: Any) -> Any:
    return fc.create_model("traffic/stmgt", **{**SMALL, **options})


# when


@pytest.mark.parametrize("slots", [24, 288])
def test_the_end_of_a_day_is_next_to_its_beginning(slots: int) -> None:
    clock = torch.zeros(slots, 4, dtype=torch.long)
    clock[:, 0] = torch.arange(slots)
    around = cyclic(clock, slots)[:, 0]  # [slots, 2]
    apart = [float((around[a] - around[b]).norm()) for a, b in pairwise([*range(slots), 0])]
    np.testing.assert_allclose(apart, apart[0], rtol=1e-4)  # 23:00 to 00:00 is a step like every other
    assert float((around[0] - around[slots // 2]).norm()) == pytest.approx(2.0, abs=1e-5)


def test_sunday_is_next_to_monday_and_a_week_is_not_a_day() -> None:
    clock = torch.zeros(7, 4, dtype=torch.long)
    clock[:, 1] = torch.arange(7)
    week = cyclic(clock, 24)[:, 1]
    assert float((week[6] - week[0]).norm()) == pytest.approx(float((week[0] - week[1]).norm()), rel=1e-5)
    assert not cyclic(clock, 24)[:, 0].diff(dim=0).any()


@pytest.mark.parametrize("calendar", [(), ("day",), ("day", "week", "year")])
def test_only_the_cycles_asked_for_are_read(calendar: tuple[str, ...]) -> None:
    time = HierarchicalTime(5, slots=24, calendar=calendar, events=3)
    base = torch.tensor([[3, 2, 10, 1]])
    for column, name in enumerate(("day", "week", "year", "event")):
        other = base.clone()
        other[0, column] = 0
        same = torch.equal(time(base), time(other))
        assert same != (name in calendar or name == "event")
    silent = HierarchicalTime(5, slots=24, calendar=(), events=0)
    assert silent(base).shape == (1, 5)


# blocks


def block(**options: Any) -> SpaceTimeBlock:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "heads": 2,
        "order": "parallel",
        "road": True,
        "dense": False,
        "weather": False,
        "dropout": 0.0,
        "compile_attention": False,
    }
    return SpaceTimeBlock(8, **{**given, **options}).eval()


PLAN = EdgePlan.of(torch.tensor([[0, 1], [1, 2]]), nodes=4)  # 0 -> 1 -> 2, and 3 alone


def reach(layer: SpaceTimeBlock) -> np.ndarray:
    """Which input token (node, patch) moves which output token, [in node, in patch, out node, out patch]."""
    torch.manual_seed(1)
    x = torch.randn(4, 1, 3, 8)
    found = np.zeros((4, 3, 4, 3), dtype=bool)
    with torch.no_grad():
        out = layer(x, PLAN, None)[0]
        for n in range(4):
            for p in range(3):
                moved = x.clone()
                moved[n, 0, p] += torch.randn(8)
                found[n, p] = ((layer(moved, PLAN, None)[0] - out).abs() > 1e-7).any(-1)[:, 0]
    return found


def test_roads_carry_along_edges_and_time_carries_along_a_node() -> None:
    found = reach(block())
    for n in range(4):
        assert found[n, :, n].all()  # along its own time
    np.testing.assert_array_equal(found[0, 1, 1], [False, True, False])  # along a road at the same time
    assert not found[0, :, 2].any()  # two links are two blocks
    assert not found[1, :, 0].any()  # not against the edge
    assert not found[3, :, :3].any()
    assert not found[:3, :, 3].any()


def test_in_sequence_space_reads_what_time_has_made() -> None:
    found = reach(block(order="sequential"))
    assert found[0, :, 1].all()  # every patch of 0 reaches every patch of 1 within one block


def test_dense_attention_reaches_every_node_and_no_space_none() -> None:
    dense = reach(block(road=False, dense=True))
    assert all(dense[a, 1, b, 1] for a in range(4) for b in range(4))
    alone = reach(block(road=False))
    assert not any(alone[a, :, b].any() for a in range(4) for b in range(4) if a != b)


def test_a_closed_gate_leaves_the_input_to_the_feed_forward_layer() -> None:
    layer = block()
    with torch.no_grad():
        layer.share.zero_()
    x = torch.randn(4, 1, 3, 8)
    expected = x + layer.feed(layer.before_feed(x))
    torch.testing.assert_close(layer(x, PLAN, None)[0], expected)


# weather


def tokens(known: torch.Tensor, *, by_node: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    make = WeatherTokens(8, numbers=3, types=2, horizon=5)
    shape = (2, 5, 4) if by_node else (2, 5)
    kind = torch.zeros(shape, dtype=torch.long)
    given = known if by_node is False else known[..., None].expand(shape)
    return make(WeatherBatch(torch.randn(*shape, 3), kind, given))


@pytest.mark.parametrize("by_node", [False, True])
def test_unknown_weather_gets_no_weight_and_cannot_matter(by_node: bool) -> None:
    known = torch.tensor([[True, True, False, True, False], [False] * 5])
    values, seen = tokens(known, by_node=by_node)
    attention = WeatherAttention(8, 2)
    torch.nn.init.normal_(attention.nothing)
    traffic = torch.randn(4, 2, 3, 8)
    read, weights = attention(traffic, values, seen)
    assert weights.shape == (4, 2, 2, 3, 5)
    assert not weights[:, 0, ..., [2, 4]].any()
    assert (weights[:, 0, ..., [0, 1, 3]] > 0).all()
    assert (weights.sum(-1) < 1).all()
    assert not weights[:, 1].any()  # where nothing is known, all of it is on nothing
    other = torch.where(seen[..., None], values, values + 100.0)
    torch.testing.assert_close(attention(traffic, other, seen)[0], read)


def test_a_block_reads_weather_in_both_views() -> None:
    layer = block(weather=True)
    values, seen = tokens(torch.ones(2, 5, dtype=torch.bool))
    x = torch.randn(4, 2, 3, 8)
    out, weights = layer(x, PLAN, WeatherView(values, seen))
    assert len(weights) == 2
    without, none = layer(x, PLAN, None)
    assert none == ()
    assert not torch.allclose(out, without)


def test_weather_of_the_future_changes_the_forecast_and_missing_weather_is_allowed() -> None:
    gp = sample_graph(future_covariates=1)
    model = create().fit(gp)
    windows = gp.windows(context_length=6, horizon=4, origins=gp.timestamps[[100]])
    base = model.predict_windows(windows).mean()
    assert gp.weather is not None
    weather = gp.weather.copy()
    weather[102] += 5.0
    changed = replace(gp, weather=weather)
    moved = model.predict_windows(changed.windows(context_length=6, horizon=4, origins=gp.timestamps[[100]]))
    assert np.abs(moved.mean() - base).max() > 1e-6
    weather[101:] = np.nan
    blank = replace(gp, weather=weather)
    origins = gp.timestamps[[100]]
    blind = model.predict_windows(blank.windows(context_length=6, horizon=4, origins=origins))
    assert np.isfinite(blind.mean()).all()
    looked = model.weather_weights(blank.windows(context_length=6, horizon=4, origins=origins))
    assert looked.shape == (4, 4)
    assert not looked.any()
    assert (model.weather_weights(windows).sum(1) < 1).all()
    with pytest.raises(InvalidInputError, match=r"windows: are GraphWindows, got GraphPanel"):
        model.weather_weights(gp)  # type: ignore[arg-type]


def test_the_future_can_be_given_apart() -> None:
    gp = sample_graph(future_covariates=1)
    model = create().fit(gp)
    values = gp.values.copy()
    values[200:] = np.nan
    whole = replace(gp.rows(0, 204), values=values[:204], mask=None, known=200)
    apart = model.predict(whole.rows(0, 200), future=whole.rows(200, 204))
    assert apart == model.predict(whole)
    with pytest.raises(MissingFutureError, match="weather and event_ids"):
        model.predict(whole.rows(0, 202))


def test_weather_by_node_is_read_by_its_node() -> None:
    gp = sample_graph(future_covariates=1)
    assert gp.weather is not None
    assert gp.weather_type is not None
    by_node = replace(
        gp,
        weather=np.repeat(gp.weather[:, None], 4, axis=1),
        weather_type=np.repeat(gp.weather_type[:, None], 4, axis=1),
    )
    model = create(road=False).fit(by_node)
    origins = gp.timestamps[[100]]
    base = model.predict_windows(by_node.windows(context_length=6, horizon=4, origins=origins)).mean()
    assert by_node.weather is not None
    weather = by_node.weather.copy()
    weather[101:105, 2] += 5.0
    other = replace(by_node, weather=weather).windows(context_length=6, horizon=4, origins=origins)
    moved = np.abs(model.predict_windows(other).mean() - base).max(axis=(1, 2)) > 1e-6
    assert moved.tolist() == [False, False, True, False]
    with pytest.raises(DataError, match=r"data.weather"):
        model.predict(gp)


# what later data has to hold


def test_unknown_events_and_weather_are_named() -> None:
    gp = sample_graph(future_covariates=1)
    model = create().fit(gp)
    assert gp.event_ids is not None
    assert gp.weather_type is not None
    events, kinds = gp.event_ids.copy(), gp.weather_type.copy()
    events[7] = 9
    kinds[3] = 4
    with pytest.raises(DataError, match=r"data.event_ids at row 7: .*0..1, got 9"):
        model.predict_windows(replace(gp, event_ids=events).windows(context_length=6, horizon=4))
    with pytest.raises(DataError, match=r"data.weather_type at row 3"):
        model.predict_windows(replace(gp, weather_type=kinds).windows(context_length=6, horizon=4))
    with pytest.raises(MissingFutureError, match=r"data.weather"):
        model.predict(gp.without(frozenset({"future_covariates"})))
    with pytest.raises(MissingFutureError, match=r"data.event_ids"):
        model.predict_windows(replace(gp, event_ids=None).windows(context_length=6, horizon=4))
    dry = create().fit(gp.without(frozenset({"future_covariates"})))
    with pytest.raises(DataError, match="leave it out"):
        dry.predict_windows(gp.windows(context_length=6, horizon=4))
    assert not dry.weather_weights(
        gp.without(frozenset({"future_covariates"})).windows(context_length=6, horizon=4)
    ).any()


def test_the_graph_is_that_of_training_or_none() -> None:
    gp = sample_graph()
    model = create().fit(gp)
    bare = replace(gp, edge_index=np.zeros((2, 0), dtype=np.int64), edge_weight=None)
    assert model.predict(bare) == model.predict(gp)
    with pytest.raises(DataError, match=r"data.edge_index"):
        model.predict(replace(gp, edge_index=gp.edge_index[:, ::-1][::-1] * 0))
    shuffled = replace(gp, edge_index=gp.edge_index[:, [2, 0, 3, 1]])
    np.testing.assert_allclose(model.predict(shuffled).mean(), model.predict(gp).mean())
    order = ["node-2", "node-0", "node-3", "node-1"]
    moved = model.predict(gp.select_items(order)).mean()
    np.testing.assert_allclose(moved, model.predict(gp).mean()[[2, 0, 3, 1]], rtol=1e-5)


@pytest.mark.parametrize(
    "change", [{"items": 1}, {"missing": 0.4}, {"items": 1, "future_covariates": 1}], ids=str
)
def test_small_and_gappy_networks_can_be_trained_on(change: dict[str, Any]) -> None:
    gp = sample_graph(**change)
    prediction = create().fit(gp).predict_windows(gp.windows(context_length=6, horizon=4, stride=50))
    assert np.isfinite(prediction.mean()).all()


def test_an_isolated_and_a_silent_node_are_forecast() -> None:
    gp = sample_graph()
    values = gp.values.copy()
    values[:, 2] = np.nan
    lone = replace(gp, values=values, edge_index=np.array([[0], [1]]), edge_weight=None)
    assert np.isfinite(create().fit(lone).predict(lone).mean()).all()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"heads": 3}, "heads"),
        ({"patch_length": 4}, "patch_length"),
        ({"calendar": ("month",)}, "calendar"),
        ({"block": "both"}, "block"),
        ({"loss": {"crps": 0.0}}, "LossWeights"),
        ({"loss": {"mse": 1.0}}, "loss"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        create(**options)


def test_history_shorter_than_the_context_is_refused() -> None:
    gp = sample_graph()
    with pytest.raises(ShapeError, match=r"context_length \+ horizon"):
        create().fit(gp.rows(0, 9))
    with pytest.raises(ShapeError, match="context_length = 6"):
        create().fit(gp).predict(gp.rows(0, 5))


# what it learns


def test_it_learns_more_than_the_last_value_and_is_calibrated() -> None:
    gp = simulate_network(6, 8, rain=False, incidents_per_day=0.2).panel
    model = fc.create_model(
        "traffic/stmgt", max_epochs=4, hidden_size=16, head_size=32, num_layers=1, windows_per_epoch=1024
    )
    result = fc.backtest(
        [model], gp, start="2024-01-08", horizon=12, stride=7, metrics=["mae", "crps", "coverage@0.9"]
    )
    scores = result["traffic/stmgt"]
    assert scores.skill["mae"] is not None
    assert scores.skill["mae"] > 0.15
    assert scores.metrics["coverage@0.9"] == pytest.approx(0.9, abs=0.07)


def test_seeds_are_pooled_into_an_ensemble() -> None:
    gp = sample_graph()
    one = fc.create_model("traffic/stmgt", **SMALL)
    pooled = fc.create_ensemble([one, fc.create_model("traffic/stmgt", **SMALL)]).fit(gp, seed=0)
    assert isinstance(gp, GraphPanel)
    assert pooled.predict(gp).shape == (4, 4, 1)
