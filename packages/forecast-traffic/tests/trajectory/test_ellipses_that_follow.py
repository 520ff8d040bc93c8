"""Adaptive calibration: a bound that holds for any paths, and never a look ahead."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import ConfigError, InvalidInputError, ShapeError
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory import FactorTracker, Tracks, calibrate_ellipses, sample_tracks
from forecast_traffic.trajectory.models.calibrated import Calibrated
from forecast_traffic.trajectory.windows import TrackWindows

SMALL = {"modes": 2, "hidden_size": 8, "max_epochs": 1, "windows_per_epoch": 64}
logs = st.floats(math.log(0.021), math.log(49.0))


@cache
def adaptive(name: str) -> Calibrated:
    train, valid = (sample_tracks(k, items=12).without_clock() for k in (0, 1))
    params = SMALL if name == "lstm" else {}
    model = fc.create_model(f"trajectory/{name}", **params).fit(train)
    some = valid.windows(context_length=8, horizon=12, stride=8)
    return calibrate_ellipses(model, some, method="adaptive", learning_rate=0.2)


def noisier(data: Tracks, metres: float, seed: int = 0) -> Tracks:
    rng = np.random.default_rng(seed)
    return replace(data, xy=data.xy + rng.normal(0.0, metres, data.xy.shape))


@given(
    needed=st.lists(st.tuples(logs, logs, logs), min_size=1, max_size=120),
    gaps=st.integers(0, 2**16),
    share=st.floats(0.05, 0.95),
    rate=st.floats(0.01, 1.0),
    start=st.tuples(logs, logs, logs),
)
@settings(max_examples=150, deadline=None)
def test_misses_keep_to_their_bound_whatever_comes(
    needed: list[tuple[float, float, float]],
    gaps: int,
    share: float,
    rate: float,
    start: tuple[float, float, float],
) -> None:
    tracker = FactorTracker(np.exp(start), coverage=1.0 - share, rate=rate)
    frames = np.cumsum(np.random.default_rng(gaps).integers(1, 4, len(needed)))
    missed = []
    for frame, row in zip(frames.tolist(), needed, strict=True):
        missed.append((np.exp(row) > tracker.at(frame)).astype(float))
        tracker.learn(frame, missed[-1])
    off = np.abs(np.mean(missed, axis=0) - share)
    count = len(needed)
    assert (off <= math.log(2500.0) / (rate * count) + np.array([1, 2, 3]) / count + 1e-9).all()


@given(seed=st.integers(0, 2**16), cut=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_a_step_counts_from_the_frame_on_at_which_it_is_known(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    frames = np.cumsum(rng.integers(1, 3, 31))
    shares = rng.uniform(size=(31, 4))
    one, other = (FactorTracker(np.ones(4), coverage=0.9, rate=0.1) for _ in range(2))
    for k, frame in enumerate(frames.tolist()):
        one.learn(frame, shares[k])
        known = frame + np.arange(1, 5) <= frames[cut]
        other.learn(frame, np.where(known, shares[k], rng.uniform(size=4)))
    np.testing.assert_array_equal(one.at(int(frames[cut])), other.at(int(frames[cut])))
    early = FactorTracker(np.ones(4), coverage=0.9, rate=0.1)
    early.learn(5, np.ones(4))
    for frame, count in ((5, 0), (6, 1), (8, 3), (9, 4), (99, 4)):
        expected = np.where(np.arange(4) < count, math.exp(0.09), 1.0)
        np.testing.assert_allclose(early.at(frame), expected)


@pytest.mark.parametrize("name", ["constant-velocity", "lstm"])
@given(seed=st.integers(0, 2**16), origin=st.integers(24, 51), whole=st.booleans())
@settings(max_examples=6, deadline=None)
def test_no_ellipse_sees_what_came_after_its_origin(name: str, seed: int, origin: int, whole: bool) -> None:
    data = noisier(sample_tracks(seed % 5, items=4, frames=64), 0.3)
    model, at = adaptive(name), data.times(np.array([origin]))
    if whole:
        rng = np.random.default_rng(seed)
        later = (data.frames > origin)[:, None]
        other = replace(data, xy=np.where(later, rng.normal(0, 1e3, data.xy.shape), data.xy))
        after = model.predict_windows(other.windows(context_length=8, horizon=12, origins=at))
    else:
        other = data.between(None, data.times(np.array([origin + 1]))[0])
        after = model.predict(other)
    before = model.predict_windows(data.windows(context_length=8, horizon=12, origins=at))
    there = [after.item_ids.index(name) for name in before.item_ids]
    np.testing.assert_allclose(after.take(there).covariances, before.covariances, rtol=1e-5)
    np.testing.assert_allclose(after.take(there).means, before.means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["constant-velocity", "lstm"])
def test_recordings_unlike_calibration_are_covered_once_they_are_known(name: str) -> None:
    calm = sample_tracks(5, items=6, frames=240).without_clock()
    params = SMALL if name == "lstm" else {"spread": "alike"}
    train, valid = (sample_tracks(k, items=12).without_clock() for k in (0, 1))
    model = fc.create_model(f"trajectory/{name}", **params).fit(train)
    some = valid.windows(context_length=8, horizon=12, stride=8)
    split, follows = (calibrate_ellipses(model, some, method=method) for method in ("split", "adaptive"))
    for data, alike in ((calm, True), (noisier(calm, 0.5), False)):
        windows = data.windows(context_length=8, horizon=12)
        fixed, led = (
            fc.evaluate(m, windows, metrics=["ellipse_coverage@0.9"]).metrics["ellipse_coverage@0.9"]
            for m in (split, follows)
        )
        assert led == pytest.approx(0.9, abs=0.05)
        assert fixed is not None
        assert alike or fixed < 0.75


def test_recordings_are_followed_each_by_itself() -> None:
    model, both = adaptive("constant-velocity"), noisier(sample_tracks(3, items=8), 0.4)
    windows = both.windows(context_length=8, horizon=12)
    p = model.predict_windows(windows)
    for scene in range(len(both.scene_ids)):
        rows = np.flatnonzero(windows.scenes == scene)
        ids = [name for k, name in enumerate(both.item_ids) if both.scenes[k] == scene]  # type: ignore[index]
        alone = model.predict_windows(both.select_items(ids).windows(context_length=8, horizon=12))
        np.testing.assert_array_equal(alone.covariances, p.take(rows).covariances)


def test_long_recordings_are_followed_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    follows, data = adaptive("constant-velocity"), noisier(sample_tracks(6), 0.4)
    windows = data.windows(context_length=8, horizon=12)
    whole = follows.predict_windows(windows)
    for at_once in (1, 7, 100):
        monkeypatch.setattr("forecast_traffic.trajectory.models.calibrated._AT_ONCE", at_once)
        anew = replace(windows, data=replace(data))  # nothing is remembered of it
        np.testing.assert_array_equal(follows.predict_windows(anew).covariances, whole.covariances)


def test_before_anything_is_known_it_is_split_calibration(tmp_path: Path) -> None:
    follows = adaptive("constant-velocity")
    data = noisier(sample_tracks(4), 0.4)
    first = data.windows(context_length=8, horizon=12, origins=data.times(np.array([7])))
    plain = follows.model.predict_windows(first)
    assert isinstance(plain, PathMixturePrediction)
    squares = follows.factors[:, None, None, None] ** 2
    np.testing.assert_allclose(follows.predict_windows(first).covariances, plain.covariances * squares)
    ends = follows.predict(data)
    at_ends = TrackWindows.at_ends(data, context_length=8, horizon=12)
    np.testing.assert_array_equal(ends.covariances, follows.predict_windows(at_ends).covariances)
    assert (ends.covariances != follows.model.predict(data).covariances * squares).any()
    follows.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(data) == ends


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ShapeError, match="start"):
        FactorTracker(np.ones((2, 2)), coverage=0.9, rate=0.1)
    with pytest.raises(InvalidInputError, match=r"start: lies within 0.02 and 50"):
        FactorTracker(np.array([1.0, np.nan]), coverage=0.9, rate=0.1)
    with pytest.raises(InvalidInputError, match="coverage"):
        FactorTracker(np.ones(2), coverage=1.0, rate=0.1)
    with pytest.raises(InvalidInputError, match="rate"):
        FactorTracker(np.ones(2), coverage=0.9, rate=0.0)
    tracker = FactorTracker(np.ones(2), coverage=0.9, rate=0.1)
    tracker.learn(3, np.array([0.5, np.nan]))
    with pytest.raises(InvalidInputError, match="after 3, the last one learned"):
        tracker.learn(3, np.zeros(2))
    with pytest.raises(ShapeError, match="missed"):
        tracker.learn(4, np.zeros(3))
    with pytest.raises(ConfigError, match="method"):
        calibrate_ellipses(
            fc.create_model("trajectory/constant-velocity"),
            sample_tracks(),
            method="online",  # type: ignore[arg-type]
        )
