"""Splits: nothing leaks, everything is covered, and the checker finds what is planted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import InvalidInputError, LeakError, ShapeError
from forecast_core.series.sample import sample_panel
from forecast_core.splits import (
    GroupSplit,
    PurgedWalkForward,
    StratifiedGroupSplit,
    StratifiedSplit,
    TimeSeriesSplit,
    check_leaks,
    group_split,
    stratified_group_split,
    stratified_split,
    time_split,
)


@dataclass(frozen=True)
class Samples:
    """Windows of data core has never heard of."""

    origins: np.ndarray | None
    label_ends: np.ndarray | None
    groups: np.ndarray | None
    strata: np.ndarray | None
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: np.ndarray) -> Samples:
        def cut(a: np.ndarray | None) -> np.ndarray | None:
            return None if a is None else a[index]

        return Samples(
            cut(self.origins), cut(self.label_ends), cut(self.groups), cut(self.strata), self.ids[index]
        )

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(self)), np.ones(len(self), dtype=bool)


@st.composite
def rolling(draw: st.DrawFn) -> Samples:
    times, items, horizon = draw(st.integers(30, 60)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    start = np.datetime64("2024-01-01", "us") + np.arange(times) * np.timedelta64(1, "h")
    origins, groups = np.repeat(start, items), np.tile(np.arange(items), times)
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(origins))
    ends = origins + np.timedelta64(horizon, "h")
    return Samples(origins[order], ends[order], groups[order], None, np.arange(len(order)))


@st.composite
def labelled(draw: st.DrawFn) -> Samples:
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    groups = np.repeat(np.arange(40), rng.integers(3, 8, 40))
    strata = rng.integers(0, draw(st.integers(2, 3)), len(groups))
    return Samples(None, None, groups, strata, np.arange(len(groups)))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(30, 400),
    st.integers(0, 3),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.7, 0.15, 0.15)]),
)
def test_time_parts_follow_each_other_and_cover_all_rows_but_the_gaps(
    rows: int, gap: int, ratios: tuple[float, float, float]
) -> None:
    panel = sample_panel(rows=rows, items=2)
    try:
        split = time_split(panel, ratios, gap=gap)
    except ShapeError:
        assert min(rows * r for r in ratios) < gap + 2
        return
    train, valid, test = split
    second = round(rows * (ratios[0] + ratios[1]), 6)
    assert test.timestamps[0] == panel.timestamps[int(second)]
    assert valid.timestamps[0] == panel.timestamps[int(round(rows * ratios[0], 6))]
    assert len(train) + len(valid) + len(test) == rows - 2 * gap
    assert test.timestamps[-1] == panel.timestamps[-1]
    assert split.report.sizes == (len(train), len(valid), len(test))
    step = np.timedelta64(gap + 1, "h")
    assert valid.timestamps[0] - train.timestamps[-1] == step
    assert test.timestamps[0] - valid.timestamps[-1] == step


def test_future_rows_stay_with_the_test_part_and_do_not_count() -> None:
    panel = sample_panel(rows=100, future_covariates=1)
    values = panel.values.copy()
    values[90:] = np.nan
    ahead = replace(panel, values=values)
    train, _, test = time_split(ahead, (0.8, 0.1, 0.1))
    assert len(train) == 72
    assert test.timestamps[-1] == panel.timestamps[-1]
    assert test.known_rows == 9


@pytest.mark.parametrize("ratios", [(0.5, 0.5), (0.9, 0.1, 0.0), (0.5, 0.3, 0.3), (1.2, -0.1, -0.1)])
def test_wrong_ratios_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="ratios"):
        time_split(sample_panel(rows=50), ratios)


def test_too_few_rows_and_wrong_gaps_are_refused() -> None:
    with pytest.raises(ShapeError, match="valid"):
        time_split(sample_panel(rows=5))
    with pytest.raises(InvalidInputError, match="gap"):
        time_split(sample_panel(rows=50), gap=-1)


@settings(max_examples=40, deadline=None)
@given(rolling(), st.integers(2, 4), st.integers(0, 3))
def test_folds_over_time_never_leak(windows: Samples, n_splits: int, between: int) -> None:
    for splitter in (
        TimeSeriesSplit(n_splits=n_splits, gap=between),
        TimeSeriesSplit(n_splits=n_splits, max_train_size=10, gap=between),
        PurgedWalkForward(n_splits=n_splits, embargo=between, min_train=12),
    ):
        tested: list[int] = []
        for train, test in splitter.split(windows):
            check_leaks(windows, train, test).raise_if_any()
            assert windows.label_ends is not None
            assert windows.origins is not None
            assert (windows.label_ends[train] <= windows.origins[test].min()).all()
            distance = np.unique(windows.origins)
            last, first = windows.origins[train].max(), windows.origins[test].min()
            assert np.searchsorted(distance, first) - np.searchsorted(distance, last) > between
            tested += test.tolist()
        assert len(set(tested)) == len(tested)


@settings(max_examples=30, deadline=None)
@given(labelled(), st.integers(0, 9))
def test_group_folds_keep_groups_whole_and_test_everything_once(windows: Samples, seed: int) -> None:
    assert windows.groups is not None
    for splitter in (GroupSplit(n_splits=4, seed=seed), StratifiedGroupSplit(n_splits=4, seed=seed)):
        folds = list(splitter.split(windows))
        for train, test in folds:
            check_leaks(windows, train, test, over="groups").raise_if_any()
            assert len(train) + len(test) == len(windows)
        assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(len(windows)))


@settings(max_examples=30, deadline=None)
@given(labelled(), st.integers(0, 9))
def test_strata_are_shared_out_alike(windows: Samples, seed: int) -> None:
    assert windows.strata is not None
    overall = np.bincount(windows.strata) / len(windows)
    for _, test in StratifiedSplit(n_splits=4, seed=seed).split(windows):
        share = np.bincount(windows.strata[test], minlength=len(overall)) / len(test)
        assert np.abs(share - overall).max() < 2.0 / len(test) + 1e-9
    parts = stratified_split(windows, (0.6, 0.2, 0.2), seed=seed)
    assert sum(parts.report.sizes) == len(windows)
    assert parts.report.strata is not None
    for part in parts:
        assert np.abs(np.bincount(part.strata, minlength=len(overall)) / len(part) - overall).max() < 0.08


@settings(max_examples=30, deadline=None)
@given(labelled(), st.integers(0, 9))
def test_three_part_group_splits_are_whole_seeded_and_near_their_shares(windows: Samples, seed: int) -> None:
    for split in (group_split, stratified_group_split):
        parts = split(windows, (0.6, 0.2, 0.2), seed=seed)
        ids = [set(part.ids.tolist()) for part in parts]
        groups = [set(part.groups.tolist()) for part in parts]
        assert sum(map(len, ids)) == len(windows)
        assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
        assert abs(len(parts.train) / len(windows) - 0.6) < 0.15
        again = split(windows, (0.6, 0.2, 0.2), seed=seed)
        assert np.array_equal(again.test.ids, parts.test.ids)


def test_planted_leaks_of_every_sort_are_found() -> None:
    windows = sample_panel(rows=60, items=2).windows(context_length=5, horizon=4)
    train, test = np.flatnonzero(windows.rows < 20), np.flatnonzero(windows.rows >= 40)
    check_leaks(windows, train, test).raise_if_any()
    assert check_leaks(windows, np.append(train, test[0]), test).shared_windows == 1
    overlap = np.flatnonzero(windows.rows < 38)
    report = check_leaks(windows, overlap, test)
    assert report.label_overlaps == 2
    with pytest.raises(LeakError, match="2 training windows whose targets end after"):
        report.raise_if_any()
    assert check_leaks(windows, np.flatnonzero(windows.rows > 50), test).late_origins
    assert check_leaks(windows, train, test, over="groups").shared_groups == 2
    twice = windows.take(np.concatenate([np.arange(len(windows)), test[:1]]))
    assert check_leaks(twice, np.append(train, len(windows)), test).shared_windows == 1
    assert not check_leaks(windows, train, test, embargo=np.timedelta64(30, "h")).clean


def test_windows_that_lack_what_a_split_needs_are_refused() -> None:
    windows = sample_panel(rows=60).windows(context_length=5, horizon=4)
    with pytest.raises(InvalidInputError, match="strata"):
        list(StratifiedSplit().split(windows))
    with pytest.raises(InvalidInputError, match="over"):
        check_leaks(windows, np.array([0]), np.array([1]), over="space")
    with pytest.raises(InvalidInputError, match="origins"):
        list(PurgedWalkForward(n_splits=100).split(windows))
    bare = Samples(None, None, None, np.array([0, 0, 1]), np.arange(3))
    with pytest.raises(InvalidInputError, match="origins"):
        list(TimeSeriesSplit().split(bare))
    with pytest.raises(InvalidInputError, match="at least 5"):
        list(StratifiedSplit().split(bare))


def test_walk_forward_trains_its_first_fold_on_as_many_origins_as_it_tests() -> None:
    times = np.datetime64("2024-01-01", "us") + np.arange(600) * np.timedelta64(1, "h")
    windows = Samples(times, times + np.timedelta64(24, "h"), None, None, np.arange(600))
    folds = list(PurgedWalkForward(n_splits=3).split(windows))
    assert [len(test) for _, test in folds] == [150, 150, 150]
    assert [len(train) for train, _ in folds] == [127, 277, 427]  # those whose targets are known by then


@pytest.mark.parametrize(
    ("splitter", "wrong"),
    [
        (TimeSeriesSplit, {"n_splits": 0}),
        (TimeSeriesSplit, {"n_splits": "a"}),
        (TimeSeriesSplit, {"test_size": 0}),
        (GroupSplit, {"n_splits": 1}),
        (StratifiedSplit, {"n_splits": None}),
        (StratifiedGroupSplit, {"seed": -1}),
        (PurgedWalkForward, {"n_splits": 2.5}),
        (PurgedWalkForward, {"min_train": 0}),
    ],
)
def test_counts_of_splitters_are_whole_numbers(splitter: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=f"{next(iter(wrong))}: is a whole number"):
        splitter(**wrong)


def test_only_data_is_split_in_time() -> None:
    with pytest.raises(InvalidInputError, match="data: follows the Data protocol, got int"):
        time_split(3)  # type: ignore[type-var]
