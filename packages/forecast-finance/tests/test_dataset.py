"""Data sets on disk, splits without leaks, and what is fitted on training rows alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import ConfigError, DataError, InvalidInputError, ShapeError
from forecast_core.splits import PurgedWalkForward, check_leaks
from forecast_finance import (
    Bars,
    CombinatorialPurgedSplit,
    build_dataset,
    embeddings,
    features,
    open_dataset,
    random_walk,
)
from forecast_finance.scaling import ContextScaling


def test_a_data_set_survives_the_disk(tmp_path: Path) -> None:
    bars = random_walk(rows=150)
    made = build_dataset(bars, tmp_path / "ds")
    read = open_dataset(tmp_path / "ds")
    assert read.bars.plain().fingerprint() == bars.fingerprint()
    np.testing.assert_array_equal(read.bars.features, made.bars.features)
    np.testing.assert_array_equal(read.bars.vectors, made.bars.vectors)
    np.testing.assert_array_equal(made.bars.features, features.table(bars).values)
    assert read.bars.embedding == made.bars.embedding


def test_what_is_only_history_stays_so_on_disk(tmp_path: Path) -> None:
    part = random_walk(rows=300).between("2010-06-01", None)
    build_dataset(part, tmp_path / "ds", embedding="none")
    read = open_dataset(tmp_path / "ds").bars
    assert read.start == np.datetime64("2010-06-01", "us")
    assert np.array_equal(read.timeline, part.timeline)
    assert read.plain().fingerprint() == part.fingerprint()


def test_rows_left_out_are_told_on_disk_too(tmp_path: Path) -> None:
    bars = random_walk(symbols=1, rows=150)
    table = pd.DataFrame(bars.values.copy(), columns=["open", "high", "low", "close", "volume"])
    table.insert(0, "timestamp", bars.timestamps)
    table.loc[5, "close"] = np.nan
    table.loc[9, "low"] = -1.0
    kept = Bars.from_frame(table, symbol=None, invalid="drop")
    build_dataset(kept, tmp_path / "ds", embedding="none")
    assert open_dataset(tmp_path / "ds").bars.dropped == kept.dropped
    assert [row.row for row in kept.dropped.rows] == [5, 9]


def test_intervals_and_horizons_of_any_kind_survive_the_disk(tmp_path: Path) -> None:
    bars = random_walk(rows=150)
    given = replace(bars, interval=np.timedelta64(1, "D"), horizons=np.array([3, 5, 10]))
    assert given.fingerprint() == bars.fingerprint()
    build_dataset(given, tmp_path / "ds", embedding="none")
    read = open_dataset(tmp_path / "ds").bars
    assert read.horizons == (3, 5, 10)
    assert read.interval == np.timedelta64(1, "D")


def test_a_data_set_of_the_first_format_is_read(tmp_path: Path) -> None:
    bars = random_walk(rows=150)
    build_dataset(bars, tmp_path / "ds")
    about = tmp_path / "ds" / "dataset.json"
    told = json.loads(about.read_text())
    for name in ("start", "dropped_rows"):
        del told[name]
    about.write_text(json.dumps({**told, "format": 1}))
    read = open_dataset(tmp_path / "ds").bars
    assert read.plain().fingerprint() == bars.fingerprint()
    assert read.start is None
    assert not read.dropped.rows
    about.write_text(json.dumps({"format": 99, "feature_version": 99}))
    with pytest.raises(DataError, match="has a format up to 2, got 99"):
        open_dataset(tmp_path / "ds")


@pytest.mark.parametrize(
    "lacking", ["format", "feature_version", "embedding", "horizons", "symbols", "interval_us", "bars"]
)
def test_a_data_set_that_tells_too_little_of_itself_is_refused(tmp_path: Path, lacking: str) -> None:
    build_dataset(random_walk(rows=150), tmp_path / "ds", embedding="none")
    about = tmp_path / "ds" / "dataset.json"
    told = json.loads(about.read_text())
    del told[lacking]
    about.write_text(json.dumps(told))
    with pytest.raises(DataError, match=rf"build_dataset wrote \(dataset\.json\.{lacking}"):
        open_dataset(tmp_path / "ds")
    for broken in ("[]", "{", "null"):
        about.write_text(broken)
        with pytest.raises(DataError, match="build_dataset wrote"):
            open_dataset(tmp_path / "ds")


def test_tables_unlike_what_is_told_of_them_are_refused(tmp_path: Path) -> None:
    build_dataset(random_walk(rows=150), tmp_path / "ds")
    about, part = tmp_path / "ds" / "dataset.json", tmp_path / "ds" / "symbol=S1" / "part-0.parquet"
    told = json.loads(about.read_text())
    about.write_text(json.dumps({**told, "embedding": {**told["embedding"], "width": 7}}))
    with pytest.raises(DataError, match=r"at symbol=S0: holds embeddings of 35 numbers, got 60"):
        open_dataset(tmp_path / "ds")
    about.write_text(json.dumps(told))
    pd.read_parquet(part).drop(columns="rsi_14").to_parquet(part)
    with pytest.raises(DataError, match=r"holds each symbol's rows.*rsi_14"):
        open_dataset(tmp_path / "ds")


def test_parquet_has_a_row_a_bar_with_features_mask_targets_and_metadata(tmp_path: Path) -> None:
    bars = random_walk(rows=150)
    build_dataset(bars, tmp_path / "ds")
    table = pd.read_parquet(tmp_path / "ds" / "symbol=S1" / "part-0.parquet")
    assert len(table) == 150
    assert set(features.names()) <= set(table.columns)
    assert (table["rsi_14"].notna() == table["rsi_14_known"]).all()
    close = np.log(table["close"].to_numpy())
    np.testing.assert_allclose(table["log_return_5"][:145], close[5:] - close[:-5])
    assert table["log_return_5"][145:].isna().all()
    assert table["direction_10"].isna().sum() == 10
    assert set(table["direction_3"].dropna()) <= {-1, 0, 1}
    assert len(table["embedding"][149]) == 60
    about = json.loads((tmp_path / "ds" / "dataset.json").read_text())
    assert about["feature_version"] == features.VERSION
    assert about["horizons"] == [3, 5, 10]
    assert about["embedding"]["digest"] == embeddings.create("statistical").digest


def test_nothing_is_written_where_a_symbol_is_too_short(tmp_path: Path) -> None:
    bars = random_walk(rows=150)
    short = bars.between(None, bars.timeline[100])
    with pytest.raises(ShapeError, match=r"S0: have at least 120 of each symbol, got 100"):
        build_dataset(short, tmp_path / "ds")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ds").mkdir()
    with pytest.raises(InvalidInputError, match="not there yet"):
        build_dataset(random_walk(rows=150), tmp_path / "ds")
    with pytest.raises(DataError, match="build_dataset wrote"):
        open_dataset(tmp_path / "ds")


def test_another_feature_version_and_altered_bars_are_refused(tmp_path: Path) -> None:
    build_dataset(random_walk(rows=150), tmp_path / "ds", embedding="none")
    about = tmp_path / "ds" / "dataset.json"
    told = json.loads(about.read_text())
    about.write_text(json.dumps({**told, "feature_version": 99}))
    with pytest.raises(DataError, match=rf"version {features.VERSION}.*got 99; build the data set"):
        open_dataset(tmp_path / "ds")
    about.write_text(json.dumps({**told, "bars": "0" * 64}))
    with pytest.raises(DataError, match="build it again"):
        open_dataset(tmp_path / "ds")


def test_a_split_by_date_purges_every_label_and_leaves_an_embargo(tmp_path: Path) -> None:
    bars = random_walk(rows=400)
    ds = build_dataset(bars, tmp_path / "ds", embedding="none")
    first, second = bars.timeline[200], bars.timeline[300]
    split = ds.split(first, second, embargo=5)
    parts = [part.windows(context_length=120) for part in split]
    for early, late in pairwise(parts):
        assert early.label_ends.max() < late.origins.min()
    # The longest horizon and the fill's bar lie between the last training origin and the boundary.
    assert parts[0].origins.max() == bars.timeline[200 - 12]
    assert parts[1].origins.min() == bars.timeline[205]
    assert split.report.dropped == 10
    # Features of later parts have run in on the history before.
    assert not np.isnan(split.valid.features[split.valid.live][:, 0]).any()
    with pytest.raises(InvalidInputError, match="after train_end"):
        ds.split(second, first)
    with pytest.raises(ShapeError, match="leave more than 11 bars for test"):
        ds.split(first, bars.timeline[-8])


def test_walk_forward_folds_do_not_leak() -> None:
    windows = random_walk(rows=300).windows(context_length=60)
    for train, test in PurgedWalkForward(n_splits=4, embargo=5).split(windows):
        check_leaks(windows, train, test, embargo=0).raise_if_any()
        assert windows.label_ends[train].max() <= windows.origins[test].min()


def test_combinatorial_folds_do_not_leak() -> None:
    windows = random_walk(rows=300).windows(context_length=60)
    splitter = CombinatorialPurgedSplit(n_folds=5, n_test_folds=2, embargo=5)
    folds = list(splitter.split(windows))
    assert len(folds) == 10
    times = np.unique(windows.origins)
    counts = np.zeros(len(windows), dtype=int)
    for train, test in folds:
        counts[test] += 1
        for block in runs(np.searchsorted(times, np.unique(windows.origins[test]))):
            begin, last = times[block[0]], times[block[-1]]
            inside = windows.origins[test] == last
            end = windows.label_ends[test][inside].max()
            before = windows.origins[train] < begin
            assert (windows.label_ends[train][before] <= begin).all()
            after = windows.origins[train][windows.origins[train] > last]
            assert not len(after) or after.min() > end
            if len(after):  # five dates of embargo between the last label and training
                assert np.sum((times > end) & (times < after.min())) >= 5
    assert (counts == 4).all()  # each block is tested in 4 of the 10 choices


def runs(index: np.ndarray) -> Sequence[np.ndarray]:
    return np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    halts=st.lists(st.tuples(st.integers(0, 199), st.integers(1, 60)), max_size=4),
    skipped=st.floats(0.0, 0.3),
    embargo=st.integers(0, 5),
)
def test_no_label_trained_on_overlaps_a_tested_one_whatever_days_symbols_miss(
    seed: int, halts: list[tuple[int, int]], skipped: float, embargo: int
) -> None:
    full = random_walk(seed, rows=200)
    missing = np.random.default_rng(seed).random(len(full)) < skipped
    for k, (first, length) in enumerate(halts):
        missing |= (full.symbol_of_row == k % 2) & (full.position >= first) & (full.position < first + length)
    missing &= full.position >= 15  # every symbol has some bars
    windows = with_rows(full, np.flatnonzero(~missing)).windows()
    origins, ends = windows.origins, windows.label_ends
    splitter = CombinatorialPurgedSplit(n_folds=5, embargo=embargo)
    with suppress(ShapeError):  # a halt may leave nothing to train on
        for train, test in splitter.split(windows):
            overlap = (origins[train] < ends[test, None]) & (origins[test, None] < ends[train])
            assert not overlap.any()


def test_a_label_that_waits_for_a_halted_symbol_is_purged_for_all() -> None:
    full = random_walk(rows=600, symbols=2)
    halted = (full.symbol_of_row == 1) & (full.position >= 280) & (full.position < 360)
    windows = with_rows(full, np.flatnonzero(~halted)).windows()
    origins, ends = windows.origins, windows.label_ends
    for train, test in CombinatorialPurgedSplit(n_folds=6, n_test_folds=2, embargo=5).split(windows):
        waiting = test[(origins[test] < full.timeline[280]) & (ends[test] >= full.timeline[360])]
        for k in waiting:
            assert not ((origins[train] < ends[k]) & (ends[train] > origins[k])).any()


def with_rows(bars: Bars, rows: np.ndarray) -> Bars:
    """Some rows of bars, one or more a symbol."""
    count = np.bincount(bars.symbol_of_row[rows])
    return replace(
        bars,
        offsets=np.concatenate([[0], np.cumsum(count)]),
        timestamps=bars.timestamps[rows],
        values=bars.values[rows],
    )


def test_a_fold_without_training_windows_is_an_error() -> None:
    windows = random_walk(rows=100).windows(context_length=60)
    with pytest.raises(ShapeError, match="something to train on"):
        list(CombinatorialPurgedSplit(n_folds=6, n_test_folds=4).split(windows))


# scaling inside the fold


def table_of(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(bars.position >= 119)
    vectors = embeddings.embed_rows(bars, rows, embedder=embeddings.create("statistical"))
    return features.table(bars).values[rows], vectors


def test_context_is_standardised_by_training_rows_and_unknown_is_their_mean() -> None:
    given, vectors = table_of(random_walk(rows=300))
    scaling = ContextScaling.fit(given, vectors, components=12)
    context = scaling.transform(given, vectors)
    assert context.shape == (len(given), 41)
    assert context.dtype == np.float32
    np.testing.assert_allclose(context[:, :12].mean(0), 0.0, atol=1e-2)
    np.testing.assert_allclose(context[:, :12].var(0), 1.0, atol=0.1)
    np.testing.assert_allclose(np.corrcoef(context[:, :5].T), np.eye(5), atol=0.1)
    never = context[:, 12:17][:, [0, 3, 4]]  # monthly, 4 hours, 1 hour: unknown in daily bars of a year
    assert np.array_equal(never, np.zeros_like(never))
    alone = scaling.transform(given[3:4], vectors[3:4])
    assert np.array_equal(alone[0], context[3])
    again = ContextScaling.from_state(scaling.state())
    assert np.array_equal(again.transform(given, vectors), context)


def test_principal_components_equal_scikit_learns() -> None:
    from sklearn.decomposition import PCA

    given, vectors = table_of(random_walk(rows=300))
    scaling = ContextScaling.fit(given, vectors, components=6)
    standard = (vectors - vectors.mean(0)) / vectors.std(0)
    theirs = PCA(6, whiten=True, svd_solver="full").fit_transform(standard.astype(np.float64))
    ours = (vectors.astype(np.float64) - scaling.vector_mean) @ scaling.projection
    scale = np.sqrt(len(vectors) / (len(vectors) - 1))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs) * scale, rtol=1e-3, atol=1e-3)


def test_more_components_than_there_are_are_refused() -> None:
    given, vectors = table_of(random_walk(symbols=1, rows=150))
    with pytest.raises(ConfigError, match="at most 60, and fewer than the 31"):
        ContextScaling.fit(given, vectors, components=31)
    with pytest.raises(ConfigError, match="components"):
        ContextScaling.fit(given, vectors, components=61)


def test_features_of_other_rows_or_versions_are_refused(tmp_path: Path) -> None:
    bars = build_dataset(random_walk(rows=150), tmp_path / "ds").bars
    with pytest.raises(ShapeError, match="features: are"):
        replace(bars, features=bars.features[1:])
    with pytest.raises(DataError, match=f"of version {features.VERSION}"):
        replace(bars, features_version=0)
    assert isinstance(bars.extended(random_walk(rows=160).between(bars.timeline[-1] + 1, None)), Bars)
    assert fc.create_model("finance/always-up").predict(bars).shape == (3, 3, 1)
