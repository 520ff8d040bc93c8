"""Points in common: the same track at the same time, however a set was cut, thinned or ordered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given, settings, strategies as st

from forecast_traffic.trajectory import Tracks, sample_tracks, shares_points
from forecast_traffic.trajectory.strategies import tracks

quick = settings(max_examples=80, deadline=None)


def points(data: Tracks) -> set[tuple[Any, ...]]:
    """Scene, id and time of every point, one by one."""
    found = set()
    for k, item in enumerate(data.item_ids):
        scene = data.scene_ids[np.asarray(data.scenes)[k]]
        for row in range(data.offsets[k], data.offsets[k + 1]):
            found.add((scene, item, data.times(data.frames[row : row + 1])[0]))
    return found


@given(a=tracks(rows=(2, 8)), b=tracks(rows=(2, 8)))
@quick
def test_it_is_what_comparing_all_points_finds(a: Tracks, b: Tracks) -> None:
    b = replace(b, dt=a.dt, start=a.start)
    assert shares_points(a, b) == bool(points(a) & points(b))
    assert shares_points(b, a) == shares_points(a, b)
    assert shares_points(a, a)


@given(data=tracks(), cut=st.integers(1, 60))
@quick
def test_parts_before_and_after_a_time_share_nothing(data: Tracks, cut: int) -> None:
    assume(cut < len(data.timeline))
    early, late = data.between(None, data.timeline[cut]), data.between(data.timeline[cut], None)
    assert not shares_points(early, late)
    assert shares_points(early, data)
    assert shares_points(data.between(data.timeline[cut - 1], None), early)


@given(data=tracks(), every=st.integers(1, 3))
@quick
def test_what_is_thinned_or_in_another_order_still_shares(data: Tracks, every: int) -> None:
    assume((data.frames % every == 0).any())
    other = data.thinned(every).select_items(data.thinned(every).item_ids[::-1])
    assert shares_points(data, replace(other, xy=other.xy + 1.0))
    assert shares_points(other.without_clock(), data.without_clock())


@given(data=tracks())
@quick
def test_other_tracks_and_other_scenes_share_nothing(data: Tracks) -> None:
    assert not shares_points(data, replace(data, item_ids=tuple(f"new-{i}" for i in data.item_ids)))
    assert not shares_points(data, replace(data, scene_ids=tuple(f"{s}, later" for s in data.scene_ids)))
    assert not shares_points(data, replace(data, item_ids=tuple(map(str, data.item_ids))))
    if len(data) > 1:
        assert not shares_points(data.select_items(data.item_ids[:1]), data.select_items(data.item_ids[1:]))


def test_times_of_two_clocks_are_compared_and_frames_where_one_has_none() -> None:
    data = sample_tracks()
    moved = replace(data, frames=data.frames + 5, start=data.start - np.timedelta64(2_000_000, "us"))  # type: ignore[operator]
    np.testing.assert_array_equal(moved.timeline, data.timeline)
    assert shares_points(data, moved.between(data.timeline[60], None))
    assert not shares_points(data, replace(data, start=data.start + np.timedelta64(1, "D")))  # type: ignore[operator]
    assert shares_points(data, data.without_clock())
    assert not shares_points(data, replace(data.without_clock(), frames=data.frames + 10_000))
