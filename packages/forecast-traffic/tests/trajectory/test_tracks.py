"""Tracks and their windows: what is cut out is what was there, and no window reaches across a gap."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.protocols import Data, Extendable, Grouped, Windows
from forecast_core.errors import DataError, InvalidInputError, LeakError, ShapeError
from forecast_traffic.trajectory import Tracks, TrackWindows, sample_tracks
from forecast_traffic.trajectory.pairs import pairs_within
from forecast_traffic.trajectory.strategies import tracks

quick = settings(max_examples=60, deadline=None)


def windows_or_none(data: Tracks, **options: int) -> TrackWindows | None:
    try:
        return data.windows(**options)  # type: ignore[arg-type]
    except ShapeError:
        return None


def test_tracks_follow_the_protocols_of_core() -> None:
    data = sample_tracks()
    assert isinstance(data, Data)
    assert isinstance(data, Extendable)
    assert isinstance(data, Grouped)
    assert isinstance(data.windows(horizon=2), Windows)


@given(data=tracks(), context=st.integers(1, 6), horizon=st.integers(1, 6))
@quick
def test_windows_are_all_stretches_without_a_gap_and_no_others(
    data: Tracks, context: int, horizon: int
) -> None:
    expected = set()
    for k in range(len(data)):
        rows = range(data.offsets[k], data.offsets[k + 1])
        for row in rows:
            span = range(row - context + 1, row + horizon + 1)
            if span[0] < rows[0] or span[-1] > rows[-1]:
                continue
            if data.frames[span[-1]] - data.frames[span[0]] == len(span) - 1:
                expected.add(row)
    windows = windows_or_none(data, context_length=context, horizon=horizon)
    if windows is None:
        assert not expected
        return
    assert set(windows.rows.tolist()) == expected
    values, observed = windows.targets()
    history, known = windows.contexts()
    assert observed.all()
    assert known.all()
    for n, row in enumerate(windows.rows.tolist()):
        np.testing.assert_array_equal(history[n], data.xy[row - context + 1 : row + 1])
        np.testing.assert_array_equal(values[n], data.xy[row + 1 : row + horizon + 1])


@given(data=tracks(), longest=st.integers(2, 8))
@quick
def test_histories_are_as_long_as_there_is_and_padded_in_front(data: Tracks, longest: int) -> None:
    windows = windows_or_none(data, context_length=longest, min_context=2, horizon=1)
    assume(windows is not None)
    assert windows is not None
    history, known = windows.contexts(longest)
    np.testing.assert_array_equal(known.sum(1), windows.lengths)
    assert known[:, -1].all()
    assert (np.diff(known.astype(int), axis=1) >= 0).all()
    np.testing.assert_array_equal(np.isnan(history).all(-1), ~known)
    np.testing.assert_array_equal(history[:, -1], data.xy[windows.rows])
    assert (windows.lengths >= 2).all()
    assert (windows.lengths <= longest).all()


@given(data=tracks(), cut=st.integers(0, 60))
@quick
def test_cutting_in_time_and_joining_again_changes_nothing(data: Tracks, cut: int) -> None:
    timeline = data.timeline
    assume(0 < cut < len(timeline))
    early, late = data.between(None, timeline[cut]), data.between(timeline[cut], None)
    assert early.timeline[-1] < timeline[cut]
    assert late.timeline[0] == timeline[cut]
    assert len(early.xy) + len(late.xy) == len(data.xy)
    joined = early.extended(late)
    again = joined.select_items(data.item_ids)
    np.testing.assert_array_equal(again.xy, data.xy)
    np.testing.assert_array_equal(again.frames, data.frames)
    assert again.fingerprint() == data.fingerprint()
    assert again == data


@given(data=tracks(), seed=st.integers(0, 99))
@quick
def test_no_window_of_a_cut_reaches_across_it(data: Tracks, seed: int) -> None:
    timeline = data.timeline
    assume(len(timeline) > 3)
    cut = timeline[1 + seed % (len(timeline) - 2)]
    for part in (data.between(None, cut), data.between(cut, None)):
        windows = windows_or_none(part, context_length=2, horizon=2)
        if windows is not None:
            whole = data.windows(context_length=2, horizon=2)
            assert set(zip(windows.item_ids, windows.frames.tolist(), strict=True)) <= set(
                zip(whole.item_ids, whole.frames.tolist(), strict=True)
            )


@given(data=tracks())
@quick
def test_order_of_tracks_can_be_changed_and_found_again(data: Tracks) -> None:
    reversed_ids = data.item_ids[::-1]
    other = data.select_items(reversed_ids)
    assert other.item_ids == reversed_ids
    assert other.select_items(data.item_ids) == data
    if len(data) > 1:
        assert other.fingerprint() != data.fingerprint()


@given(data=tracks(gaps=False), every=st.integers(2, 4))
@quick
def test_thinning_keeps_every_nth_frame(data: Tracks, every: int) -> None:
    assume((data.frames % every == 0).any())
    thin = data.thinned(every)
    assert thin.dt == data.dt * every
    kept = set(map(tuple, data.xy[data.frames % every == 0].tolist()))
    assert set(map(tuple, thin.xy.tolist())) == kept


@given(group=st.lists(st.integers(0, 4), max_size=20))
@quick
def test_pairs_are_every_two_of_a_group(group: list[int]) -> None:
    one, other = pairs_within(np.array(group, dtype=np.int64))
    found = [tuple(sorted(pair)) for pair in zip(one.tolist(), other.tolist(), strict=True)]
    expected = [(a, b) for a in range(len(group)) for b in range(a + 1, len(group)) if group[a] == group[b]]
    assert sorted(found) == expected


def test_windows_take_spans_in_seconds() -> None:
    data = sample_tracks()
    by_time = data.windows(context_length=timedelta(seconds=3.2), horizon=timedelta(seconds=4.8))
    by_steps = data.windows(context_length=8, horizon=12)
    np.testing.assert_array_equal(by_time.rows, by_steps.rows)
    assert by_time.steps[0] == 0.4
    assert by_time.steps[-1] == 4.8
    with pytest.raises(InvalidInputError, match="whole number of steps"):
        data.windows(horizon=timedelta(seconds=1))


def test_origins_and_strides_choose_frames() -> None:
    data = sample_tracks()
    every = data.windows(context_length=8, horizon=12, stride=5)
    assert set(every.frames % 5) == {0}
    some = data.windows(context_length=8, horizon=12, origins=data.timeline[[40, 60]])
    assert set(some.frames) == {40, 60}
    assert (some.label_ends - some.origins == np.timedelta64(4_800_000, "us")).all()


def test_groups_are_tracks_or_scenes_and_strata_scenarios() -> None:
    windows = sample_tracks().windows(context_length=8, horizon=12)
    np.testing.assert_array_equal(windows.groups, windows.tracks)
    by_scene = windows.by("scene")
    np.testing.assert_array_equal(by_scene.groups, windows.scenes + len(windows.data))
    street = windows.data.of_groups(np.unique(by_scene.groups[windows.scenes == 1]))
    assert {street.scene_ids[s] for s in np.asarray(street.scenes).tolist()} == {"street"}
    assert set(street.item_ids) == set(windows.take(windows.scenes == 1).item_ids)
    assert windows.strata is not None
    assert set(windows.strata) == {0, 1}


@given(data=tracks(rows=(8, 30)), folds=st.integers(2, 3), seed=st.integers(0, 99))
@quick
def test_no_vehicle_is_on_both_sides_of_a_split(data: Tracks, folds: int, seed: int) -> None:
    windows = windows_or_none(data, context_length=2, horizon=2)
    assume(windows is not None)
    assert windows is not None
    assume(len(np.unique(windows.groups)) >= folds)
    for train, test in fc.splits.GroupSplit(n_splits=folds, seed=seed).split(windows):
        assert not set(windows.take(train).item_ids) & set(windows.take(test).item_ids)
    assume(len(np.unique(windows.groups)) >= 3)
    parts = list(fc.splits.group_split(windows, (0.5, 0.25, 0.25), seed=seed))
    for k, part in enumerate(parts):
        for other in parts[k + 1 :]:
            assert not set(part.item_ids) & set(other.item_ids)


def test_time_folds_leak_no_label() -> None:
    windows = sample_tracks().windows(context_length=8, horizon=12)
    for train, test in fc.splits.TimeSeriesSplit(n_splits=3).split(windows):
        fc.splits.check_leaks(windows, train, test).raise_if_any()
        assert windows.take(train).label_ends.max() <= windows.take(test).origins.min()


def test_stratified_folds_hold_every_scenario() -> None:
    windows = sample_tracks(items=24).windows(context_length=8, horizon=12)
    for _, test in fc.splits.StratifiedGroupSplit(n_splits=3).split(windows):
        assert windows.strata is not None
        assert set(windows.strata[test]) == {0, 1}


def test_a_frame_holds_every_point() -> None:
    data = sample_tracks(items=3)
    back = Tracks.from_frame(
        data.to_frame(backend="polars"),
        timestamp="timestamp",
        scene="scene",
    )
    np.testing.assert_allclose(back.xy, data.xy)
    assert back.dt == data.dt
    assert back.start == data.times(data.frames.min())
    assert {i.partition("/")[2] for i in back.item_ids} == set(data.item_ids)


def test_vehicles_left_out_are_scored_on_frame_numbers() -> None:
    data = sample_tracks()
    train, test = data.select_items(data.item_ids[:6]), data.select_items(data.item_ids[6:])
    with pytest.raises(LeakError):
        fc.evaluate(fc.create_model("trajectory/constant-velocity").fit(train), test)
    model = fc.create_model("trajectory/constant-velocity").fit(train.without_clock())
    assert fc.evaluate(model, test.without_clock()).metrics["ade"] is not None


def test_what_does_not_fit_together_is_refused() -> None:
    data = sample_tracks(items=2)
    with pytest.raises(DataError, match=r"later\.dt"):
        data.extended(Tracks(**{**_fields(data), "dt": 0.2}))
    with pytest.raises(DataError, match="increase strictly within a track"):
        data.extended(data)
    with pytest.raises(InvalidInputError, match="ids of tracks"):
        data.select_items(["track-9"])
    with pytest.raises(ShapeError, match="between"):
        data.between("2030-01-01", None)
    with pytest.raises(InvalidInputError, match="'track' or 'scene'"):
        data.windows(horizon=1).by("lane")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="classes of these tracks"):
        data.of_class("tram")
    assert data.of_class("cyclist").classes == ("cyclist",)


def _fields(data: Tracks) -> dict[str, object]:
    return {name: getattr(data, name) for name in data.__dataclass_fields__}


def test_an_array_is_tracks_of_equal_length() -> None:
    xy = np.cumsum(np.random.default_rng(0).normal(size=(3, 5, 2)), axis=1)
    tracks = Tracks.from_array(xy, dt=0.4, item_ids=["a", "b", "c"])
    rows = Tracks.from_rows(
        track_ids=np.repeat(["a", "b", "c"], 5),
        frames=np.tile(np.arange(5), 3),
        x=xy[..., 0].ravel(),
        y=xy[..., 1].ravel(),
        dt=0.4,
    )
    np.testing.assert_array_equal(tracks.xy, rows.xy)
    np.testing.assert_array_equal(tracks.offsets, rows.offsets)
    assert tracks.item_ids == rows.item_ids
    assert Tracks.from_array(xy, dt=0.4).item_ids == (0, 1, 2)
    for wrong in (xy[0], xy[..., :1]):
        with pytest.raises(ShapeError, match=r"xy: is \[track, time, 2\]"):
            Tracks.from_array(wrong, dt=0.4)
