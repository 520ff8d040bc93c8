"""Points in common: a track at one time and place, however a set was cut, thinned or ordered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import LeakError
from forecast_traffic.trajectory import Tracks, TrackWindows, sample_tracks, shares_points
from forecast_traffic.trajectory.strategies import tracks

quick = settings(max_examples=80, deadline=None)


def point_list(data: Tracks) -> list[tuple[Any, ...]]:
    """Scene, id, time and place of every row, one by one."""
    found = []
    for k, item in enumerate(data.item_ids):
        scene = data.scene_ids[np.asarray(data.scenes)[k]]
        found += [
            (scene, item, data.times(data.frames[row : row + 1])[0], *data.xy[row].tolist())
            for row in range(data.offsets[k], data.offsets[k + 1])
        ]
    return found


def points(data: Tracks) -> set[tuple[Any, ...]]:
    return set(point_list(data))


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
    assert shares_points(data, other)
    assert not shares_points(data, replace(other, xy=other.xy + 1.0))
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


@given(data=tracks(rows=(4, 12)), cut=st.integers(1, 60), horizon=st.integers(1, 4), by_windows=st.booleans())
@quick
def test_windows_apart_have_no_target_among_what_is_fitted_on(
    data: Tracks, cut: int, horizon: int, by_windows: bool
) -> None:
    assume(cut < len(data.timeline))
    early = data.between(None, data.timeline[cut])
    fitted: Any = early
    if by_windows:
        fitted = TrackWindows(early, np.arange(0, len(early.xy), 3), 2, 1)
        last = early.run_of_row[1]
        used = {
            row
            for at, length in zip(fitted.rows.tolist(), fitted.lengths.tolist(), strict=True)
            for row in range(at - length + 1, min(at + 1, last[at]) + 1)
        }
        seen = {p for r, p in enumerate(point_list(early)) if r in used}
    else:
        seen = points(early)
    windows = TrackWindows(data, np.arange(len(data.xy)), None, horizon)
    told, end = point_list(data), data.run_of_row[1]
    expected = [
        row
        for row in range(len(data.xy))
        if not any(told[r] in seen for r in range(row + 1, min(row + horizon, end[row]) + 1))
    ]
    assert windows.apart_from(fitted).rows.tolist() == expected
    assert windows.within(fitted).tolist() == [
        row < end[row] and all(told[r] in seen for r in range(row + 1, min(row + horizon, end[row]) + 1))
        for row in range(len(data.xy))
    ]


def test_validation_has_paths_that_are_not_fitted_on() -> None:
    options: dict[str, Any] = {"horizon": 5, "max_epochs": 1, "hidden_size": 8, "windows_per_epoch": 64}
    data = sample_tracks(items=8)
    early, late = data.between(None, data.timeline[60]), data.between(data.timeline[60], None)

    def lstm(validation: Any, fitted: Any = early) -> Any:
        return fc.create_model("trajectory/lstm", **options).fit(fitted, validation=validation)

    for held in (data.select_items(data.item_ids[:2]), data.between(data.timeline[30], data.timeline[70])):
        with pytest.raises(LeakError, match="validation holds no path that is not fitted on"):
            lstm(held.without_clock(), data.without_clock())
    context = data.between(data.timeline[50], None)  # some rows of which are fitted on, and are context
    apart = context.windows(context_length=8, horizon=5, min_context=2).apart_from(early)
    np.testing.assert_array_equal(lstm(context).predict(late).mean(), lstm(apart).predict(late).mean())
    assert lstm(sample_tracks(1, items=8), data).is_fitted  # others under the same ids
    calibrated = fc.create_model("trajectory/calibrated", model={"id": "trajectory/kalman"})
    with pytest.raises(LeakError):
        calibrated.fit(data.without_clock(), validation=data.select_items(data.item_ids[:4]).without_clock())
