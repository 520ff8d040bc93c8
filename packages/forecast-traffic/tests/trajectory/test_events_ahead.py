"""Labels of what happens within the horizon, on motions made for it."""

from __future__ import annotations

import numpy as np
import pytest

from forecast_traffic.trajectory import EVENTS, EventRules, Tracks, event_labels, simulate_road

DT = 0.5


def of_moves(moves: list[tuple[float, float]], lane: list[float] | None = None) -> Tracks:
    xy = np.concatenate([[[0.0, 0.0]], np.cumsum(np.array(moves, dtype=float), 0)])
    return Tracks(
        xy=xy,
        frames=np.arange(len(xy)),
        offsets=np.array([0, len(xy)]),
        item_ids=("a",),
        dt=DT,
        columns={} if lane is None else {"lane": np.array(lane)},
    )


def labels(data: Tracks, **rules: float) -> dict[str, float]:
    windows = data.windows(context_length=2, horizon=len(data.xy) - 2)
    found = event_labels(windows, EventRules(**rules))
    assert found.shape == (1, 4)
    return dict(zip(EVENTS, found[0].tolist(), strict=True))


def test_braking_is_a_loss_of_speed_harder_than_the_rule() -> None:
    soft = [(10.0, 0.0), (10.0, 0.0), (9.5, 0.0), (9.0, 0.0), (9.0, 0.0)]  # -2 m/s^2
    hard = [(10.0, 0.0), (10.0, 0.0), (8.5, 0.0), (8.0, 0.0), (8.0, 0.0)]  # -6 m/s^2
    assert labels(of_moves(soft))["braking"] == 0
    assert labels(of_moves(hard))["braking"] == 1
    assert labels(of_moves(hard), braking=-7.0)["braking"] == 0
    assert labels(of_moves(hard))["stop"] == 0


def test_stops_are_of_those_who_move() -> None:
    assert labels(of_moves([(1.0, 0), (1.0, 0), (0.5, 0), (0.0, 0)]))["stop"] == 1
    assert np.isnan(labels(of_moves([(0.05, 0), (0.05, 0), (0.0, 0), (0.0, 0)]))["stop"])


def test_turns_are_changes_of_direction_either_way() -> None:
    straight = [(1.0, 0.0)] * 6
    for sign in (-1.0, 1.0):
        assert labels(of_moves([*straight[:3], (0.7, 0.7 * sign), (0, sign), (0, sign)]))["turn"] == 1
    assert labels(of_moves(straight))["turn"] == 0
    assert np.isnan(labels(of_moves([*straight[:3], (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)]))["turn"])


def test_lane_changes_need_lanes() -> None:
    moves = [(1.0, 0.0)] * 4
    assert np.isnan(labels(of_moves(moves))["lane_change"])
    assert labels(of_moves(moves, [1, 1, 1, 1, 1]))["lane_change"] == 0
    assert labels(of_moves(moves, [1, 1, 1, 2, 2]))["lane_change"] == 1
    assert labels(of_moves(moves, [1, 2, 2, 2, 2]))["lane_change"] == 0  # before the origin
    assert np.isnan(labels(of_moves(moves, [1, 1, 1, np.nan, 2]))["lane_change"])


def test_horizons_not_seen_to_their_end_are_not_labelled() -> None:
    from forecast_traffic.trajectory.windows import TrackWindows

    ends = TrackWindows.at_ends(of_moves([(1.0, 0.0)] * 4), context_length=2, horizon=2)
    assert np.isnan(event_labels(ends)).all()


def test_simulated_roads_hold_every_event_and_nothing_impossible() -> None:
    road = simulate_road(seed=0, vehicles=60)
    windows = road.windows(context_length=20, horizon=30, stride=5)
    found = event_labels(windows)
    rates = dict(zip(EVENTS, np.nanmean(found, axis=0).tolist(), strict=True))
    assert 0.02 < rates["lane_change"] < 0.5
    assert 0.01 < rates["braking"] < 0.4
    assert road == simulate_road(seed=0, vehicles=60)
    assert road != simulate_road(seed=1, vehicles=60)
    speed = np.linalg.norm(np.diff(road.xy, axis=0), axis=1) / road.dt
    inside = np.diff(road.track_of_row) == 0
    assert speed[inside].max() < 45
    assert set(np.unique(road.columns["lane"])) <= {1.0, 2.0, 3.0}
    with pytest.raises(ValueError, match="vehicles"):
        simulate_road(vehicles=0)
