"""`GraphPanel`: what it holds, what it refuses, and that windows are index arrays into it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.protocols import Data, Extendable, Grouped, HasHistory, HasScale, Windows
from forecast_core.errors import (
    DataError,
    FrequencyError,
    InvalidInputError,
    MissingFutureError,
    ShapeError,
)
from forecast_traffic import GraphPanel, GraphWindows, split_windows
from forecast_traffic.graph.clock import Calendar, clock, slots_of_day
from forecast_traffic.graph.sample import sample_graph

START = np.datetime64("2024-01-01T00:00", "us")


def stamps(rows: int, minutes: int = 5) -> np.ndarray:
    return START + np.arange(rows) * np.timedelta64(minutes, "m")


def panel(rows: int = 20, nodes: int = 3, **changes: Any) -> GraphPanel:
    given: dict[str, Any] = {
        "values": np.arange(rows * nodes, dtype=float).reshape(rows, nodes, 1) + 1,
        "timestamps": stamps(rows),
        "node_ids": tuple("abcdefghij"[:nodes]),
        "edge_index": np.array([[0, 1], [1, 2]])[:, : max(nodes - 1, 0)] % max(nodes, 1),
    }
    return GraphPanel(**{**given, **changes})


def test_the_constructor_takes_its_arguments_in_the_documented_order() -> None:
    values, edges = np.ones((4, 2, 1)), np.array([[0], [1]])
    mask = np.ones((4, 2), dtype=bool)
    weather, kind, events = np.zeros((4, 3)), np.zeros(4, dtype=int), np.zeros(4, dtype=int)
    gp = GraphPanel(
        values, stamps(4), ("a", "b"), edges, np.array([2.0]), mask, weather, kind, events, "5min", None
    )
    assert gp.weather_names == ("temperature", "rain", "wind")
    assert gp.channel_names == ("speed",)
    assert isinstance(gp, Data)
    assert isinstance(gp, Extendable)
    assert isinstance(gp, Grouped)
    windows = gp.windows(context_length=1, horizon=1)
    assert isinstance(windows, Windows)
    assert isinstance(windows, HasHistory)
    assert isinstance(windows, HasScale)


def test_missing_value_and_mask_both_say_what_was_not_observed() -> None:
    values = np.array([[[0.0], [5.0]], [[7.0], [np.nan]], [[8.0], [9.0]]])
    mask = np.array([[True, True], [True, True], [False, True]])
    gp = GraphPanel(values, stamps(3), (1, 2), np.zeros((2, 0), int), mask=mask, missing_value=0)
    np.testing.assert_array_equal(gp.mask[..., 0], [[False, True], [True, False], [False, True]])
    np.testing.assert_array_equal(np.isnan(gp.values), ~gp.mask)
    assert gp.traits() == {"missing_values", "multi_item"}
    unmarked = GraphPanel(values, stamps(3), (1, 2), np.zeros((2, 0), int))
    assert unmarked.values[0, 0, 0] == 0.0  # a zero is a zero unless said otherwise


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"edge_index": [[0, 1], [1, 3]]}, DataError, "edge_index at edge 1 (destination)"),
        ({"edge_index": [[0, -1], [1, 2]]}, DataError, "edge_index at edge 1 (source)"),
        ({"edge_index": [[0.0], [1.0]]}, DataError, "edge_index: holds whole numbers"),
        ({"edge_index": [0, 1, 2]}, ShapeError, "edge_index: is [2, E]"),
        ({"edge_weight": [1.0, -1.0]}, DataError, "edge_weight at edge 1"),
        ({"edge_weight": [np.nan, 1.0]}, DataError, "edge_weight at edge 0"),
        ({"edge_weight": [1.0, np.inf]}, DataError, "edge_weight at edge 1"),
        ({"edge_weight": [1.0]}, ShapeError, "edge_weight: has one number an edge (2)"),
        ({"edge_weight": ["a", "b"]}, DataError, "edge_weight: holds numbers"),
        ({"values": np.ones((20, 3))}, ShapeError, "values[..., None]"),
        ({"values": np.full((20, 3, 1), "x")}, DataError, "values: holds numbers"),
        ({"values": np.full((20, 3, 1), np.inf)}, DataError, "values"),
        ({"values": np.ones((20, 0, 1)), "node_ids": ()}, ShapeError, "values: is not empty"),
        ({"node_ids": ("a", "b")}, ShapeError, "node_ids: has one id a node (3)"),
        ({"node_ids": ("a", "b", "a")}, DataError, "node_ids at node 2"),
        ({"node_ids": ("a", "b", 1.5)}, DataError, "node_ids at node 2"),
        ({"timestamps": stamps(20)[::-1]}, DataError, "timestamps at row 1"),
        ({"timestamps": np.append(stamps(19), stamps(21)[-1])}, DataError, "timestamps at row 19"),
        ({"timestamps": stamps(20) + np.arange(20) // 7}, FrequencyError, "timestamps at row 7"),
        ({"timestamps": stamps(19)}, ShapeError, "timestamps"),
        ({"freq": "fortnight"}, FrequencyError, "freq"),
        ({"tz": "Atlantis"}, InvalidInputError, "tz"),
        ({"mask": np.ones((20, 2), bool)}, ShapeError, "mask"),
        ({"mask": np.ones((20, 3))}, DataError, "mask: is boolean"),
        ({"weather": np.ones((19, 3))}, ShapeError, "weather: is [20, w] or [20, 3, w]"),
        ({"weather": np.full((20, 3), np.inf)}, DataError, "weather at row 0"),
        ({"weather": np.ones((20, 3)), "weather_names": ("rain",)}, ShapeError, "weather_names"),
        ({"weather_type": np.zeros(20, int)}, DataError, "weather: is there where weather_type"),
        ({"weather": np.ones((20, 3)), "weather_type": np.full(20, -2)}, DataError, "weather_type at row 0"),
        ({"weather": np.ones((20, 3)), "weather_type": np.zeros((20, 3), int)}, ShapeError, "weather_type"),
        ({"event_ids": np.zeros(19, int)}, ShapeError, "event_ids"),
        ({"event_ids": np.zeros(20)}, DataError, "event_ids: holds whole numbers"),
        ({"event_ids": -np.ones(20, int)}, DataError, "event_ids at row 0"),
        ({"known": 3}, DataError, "known"),
        ({"channel_names": ("a", "b")}, ShapeError, "target_names"),
    ],
)
def test_bad_input_names_the_argument_and_the_place(
    changes: dict[str, Any], kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as error:
        panel(**changes)
    assert told in str(error.value)


def test_one_node_no_edges_and_a_node_without_observations_are_panels() -> None:
    alone = panel(nodes=1, edge_index=np.zeros((2, 0), int))
    assert alone.traits() == frozenset()
    assert alone.adjacency().shape == (1, 1)
    assert panel(edge_index=[]).edge_index.shape == (2, 0)
    silent = panel()
    values = silent.values.copy()
    values[:, 1] = np.nan
    assert panel(values=values).traits() == {"missing_values", "multi_item"}


def test_arrays_cannot_be_changed_from_outside() -> None:
    values = np.ones((20, 3, 1))
    gp = panel(values=values)
    values[:] = 7.0
    assert (gp.values == 1.0).all()
    for name in ("values", "mask", "edge_index", "edge_weight", "timestamps"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(gp, name)[...] = 0


@given(seed=st.integers(0, 1000), low=st.integers(0, 200), size=st.integers(1, 100))
@settings(max_examples=30, deadline=None)
def test_cutting_and_extending_give_back_the_panel(seed: int, low: int, size: int) -> None:
    whole = sample_graph(seed, missing=0.1, future_covariates=1)
    cut = min(max(low, 1), len(whole) - 1)
    first, rest = whole.rows(0, cut), whole.rows(cut, len(whole))
    if not (first.mask[-1].any() and rest.mask[-1].any()):
        return
    assert first.extended(rest) == whole
    assert first.extended(rest).fingerprint() == whole.fingerprint()
    part = whole.between(whole.timestamps[cut], None)
    assert len(part) == len(whole) - cut
    assert part.rows(0, min(size, len(part))).values.shape[0] == min(size, len(part))


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (lambda p: p.select_items(["node-1", "node-0", "node-2"]), "later.node_ids"),
        (lambda p: replace(p, node_ids=("node-0", "node-1", "node-2", "other")), "later.node_ids"),
        (lambda p: replace(p, edge_weight=np.full(4, 2.0)), "later.edge_index"),
        (lambda p: replace(p, edge_index=p.edge_index[:, :2], edge_weight=None), "later.edge_index"),
        (lambda p: p.without(frozenset({"future_covariates"})), "later.weather_names"),
        (lambda p: p.rows(5, 20), "later.timestamps"),
        (lambda p: replace(p, event_ids=None), "later.event_ids"),
    ],
)
def test_what_does_not_continue_a_panel_is_refused(later: Any, told: str) -> None:
    whole = sample_graph(future_covariates=1)
    rest = whole.rows(100, 240)
    with pytest.raises(InvalidInputError) as error:
        whole.rows(0, 100).extended(later(rest))
    assert told in str(error.value)


@given(order=st.permutations(range(4)), cut=st.integers(1, 239), moved=st.permutations(range(4)))
@settings(deadline=None, max_examples=25)
def test_rows_that_follow_have_nodes_and_edges_in_any_order(
    order: list[int], cut: int, moved: list[int]
) -> None:
    whole = replace(sample_graph(future_covariates=1), edge_weight=np.arange(1.0, 5.0))
    first, rest = whole.rows(0, cut), whole.rows(cut, len(whole))
    edges = {"edge_index": rest.edge_index[:, moved], "edge_weight": rest.edge_weight[moved]}
    later = replace(rest, **edges).select_items([whole.node_ids[k] for k in order])
    assert first.extended(later) == whole


def test_a_panel_without_edges_takes_those_of_the_other() -> None:
    whole = sample_graph()
    first, rest = whole.rows(0, 100), whole.rows(100, 240)
    bare = {"edge_index": np.zeros((2, 0), dtype=np.int64), "edge_weight": None}
    assert first.extended(replace(rest, **bare)) == whole  # type: ignore[arg-type]
    assert replace(first, **bare).extended(rest) == whole  # type: ignore[arg-type]


def test_every_change_changes_the_fingerprint() -> None:
    gp = sample_graph(future_covariates=1)
    assert gp.weather is not None
    assert gp.weather_type is not None
    assert gp.event_ids is not None
    others = [
        replace(gp, values=gp.values + 1),
        replace(gp, edge_weight=gp.edge_weight * 2),
        replace(gp, edge_index=gp.edge_index[::-1]),
        replace(gp, weather=gp.weather + 1),
        replace(gp, weather_type=1 - gp.weather_type),
        replace(gp, event_ids=gp.event_ids + 1),
        replace(gp, tz="UTC"),
        replace(gp, holidays=("2024-01-01",)),
        replace(gp, holidays=()),
        gp.select_items(gp.node_ids[::-1]),
        gp.without(frozenset({"future_covariates"})),
    ]
    prints = {gp.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 1 + len(others)
    assert all(gp != other for other in others)
    assert gp == sample_graph(future_covariates=1)


def test_selected_nodes_keep_the_edges_among_them() -> None:
    gp = panel(edge_index=[[0, 1, 2, 2], [1, 2, 0, 2]], edge_weight=[1.0, 2.0, 3.0, 4.0])
    chosen = gp.select_items(["c", "a"])
    np.testing.assert_array_equal(chosen.adjacency(), [[4.0, 3.0], [0.0, 0.0]])
    np.testing.assert_array_equal(chosen.values[:, 0], gp.values[:, 2])
    np.testing.assert_array_equal(gp.adjacency(), [[0, 1, 0], [0, 0, 2], [3, 0, 4]])
    with pytest.raises(InvalidInputError, match="node_ids"):
        gp.select_items(["z"])


def test_weather_by_node_goes_with_its_node() -> None:
    gp = panel(weather=np.arange(180.0).reshape(20, 3, 3), weather_type=np.arange(60).reshape(20, 3))
    chosen = gp.select_items(["b"])
    assert chosen.weather is not None
    assert gp.weather is not None
    np.testing.assert_array_equal(chosen.weather[:, 0], gp.weather[:, 1])
    assert chosen.weather_type is not None
    assert chosen.weather_type[0, 0] == 1


def test_trailing_rows_of_weather_are_the_future() -> None:
    gp = sample_graph(future_covariates=1)
    values = gp.values.copy()
    values[200:] = np.nan
    ahead = replace(gp, values=values)
    assert ahead.known_rows == 200
    assert len(ahead.series) == 200
    assert ahead.future_timestamps(2)[0] == gp.timestamps[200]
    ahead.need_future(40)
    with pytest.raises(MissingFutureError, match="weather and event_ids"):
        ahead.need_future(41)
    assert ahead.without(frozenset({"future_covariates"})).known_rows == 200
    assert replace(ahead, known=205).known_rows == 205


@given(low=st.integers(-50, 50), high=st.integers(-50, 50))
def test_rows_are_counted_from_the_end_too(low: int, high: int) -> None:
    values = sample_graph(rows=40).values.copy()
    values[34:] = np.nan
    ahead = replace(sample_graph(rows=40, future_covariates=1), values=values)
    at = range(40)[low:high]
    if not at:
        with pytest.raises(ShapeError, match=r"rows: are at least one of 0\.\.39"):
            ahead.rows(low, high)
        return
    part = ahead.rows(low, high)
    assert part.timestamps.tolist() == ahead.timestamps[low:high].tolist()
    assert part.known_rows == sum(row < 34 for row in at)


@given(
    context=st.integers(1, 8),
    horizon=st.integers(1, 8),
    stride=st.integers(1, 5),
    nodes=st.integers(1, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_windows_are_the_slices_they_say(
    context: int, horizon: int, stride: int, nodes: int, seed: int
) -> None:
    gp = sample_graph(seed, rows=30, items=nodes, missing=0.2)
    windows = gp.windows(context_length=context, horizon=horizon, stride=stride)
    assert isinstance(windows, GraphWindows)
    targets, observed = windows.targets()
    for k in (0, len(windows) // 2, len(windows) - 1):
        row, node = int(windows.rows[k]), int(windows.items[k])
        np.testing.assert_array_equal(targets[k], gp.values[row + 1 : row + 1 + horizon, node])
        np.testing.assert_array_equal(windows.contexts()[k], gp.values[row + 1 - context : row + 1, node])
        assert windows.item_ids[k] == gp.node_ids[node]
        assert windows.label_ends[k] == gp.timestamps[row + horizon]
    np.testing.assert_array_equal(observed, ~np.isnan(targets))


def test_what_was_known_at_an_origin_holds_no_later_value() -> None:
    windows = sample_graph(future_covariates=1).windows(context_length=2, horizon=6, stride=40)
    for at, known, nodes in windows.histories():
        row = int(windows.rows[at[0]])
        assert known.known_rows == row + 1
        assert len(known) == row + 7
        assert np.isnan(known.values[row + 1 :]).all()
        np.testing.assert_array_equal(nodes, windows.items[at])


@pytest.mark.parametrize("context", [1, 5])
def test_no_window_crosses_a_border_under_the_gap_protocol(context: int) -> None:
    gp = sample_graph(rows=200)
    split = split_windows(gp, (0.6, 0.2, 0.2), context_length=context, horizon=7)
    bounds = [(0, 120), (120, 160), (160, 200)]
    for part, (low, high) in zip(split, bounds, strict=True):
        assert part.panel is gp
        assert part.rows.min() - context + 1 == low
        assert part.rows.max() + 7 == high - 1
    assert split.report.sizes == tuple(len(part) for part in split)


def test_the_compat_protocol_shares_out_all_windows() -> None:
    gp = sample_graph(rows=120, items=2)
    train, valid, test = split_windows(gp, (0.7, 0.1, 0.2), protocol="compat", context_length=12, horizon=12)
    origins = 120 - 24 + 1
    assert [len(part) // 2 for part in (train, valid, test)] == [round(0.7 * origins), 10, 19]
    assert len(train) + len(valid) + len(test) == 2 * origins
    assert train.label_ends.max() > valid.origins.min()  # what the published protocol accepts
    with pytest.raises(InvalidInputError, match="protocol"):
        split_windows(gp, protocol="published")  # type: ignore[arg-type]


def test_time_split_and_groups_work_on_graph_panels() -> None:
    gp = sample_graph()
    train, _, test = fc.splits.time_split(gp, (0.7, 0.1, 0.2))
    assert train.timestamps[-1] < test.timestamps[0]
    assert gp.of_groups(np.array([2, 0])).node_ids == ("node-2", "node-0")


@pytest.mark.parametrize(("freq", "slots"), [("5min", 288), ("h", 24), ("D", 1), ("30min", 48)])
def test_the_clock_counts_slots_weekdays_and_weeks(freq: str, slots: int) -> None:
    grid = fc.Freq.parse(freq)
    assert slots_of_day(grid) == slots
    times = grid.range(np.datetime64("2024-01-01T00", "us"), 3 * slots)  # a Monday
    slot, weekday, week = np.moveaxis(clock(times, grid), -1, 0)
    np.testing.assert_array_equal(slot, np.tile(np.arange(slots), 3))
    np.testing.assert_array_equal(weekday, np.repeat([0, 1, 2], slots))
    assert not week.any()


def test_the_clock_follows_the_zone() -> None:
    grid = fc.Freq.parse("h")
    noon_utc = np.array(["2024-01-01T12:00", "2024-07-01T12:00"], dtype="datetime64[us]")
    np.testing.assert_array_equal(clock(noon_utc, grid, Calendar("America/Los_Angeles"))[:, 0], [4, 5])


@pytest.mark.parametrize("freq", ["7min", "W", "MS"])
def test_a_frequency_that_divides_no_day_is_refused(freq: str) -> None:
    with pytest.raises(FrequencyError, match="divides a day"):
        slots_of_day(fc.Freq.parse(freq))
