"""Changing any point of the future changes no feature and no prediction made before it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core import registry
from forecast_traffic.trajectory import Tracks, motion_features, sample_tracks, with_features
from forecast_traffic.trajectory.features import neighbour_features
from forecast_traffic.trajectory.strategies import tracks

MODELS = [m for m in fc.available_models() if registry.model_spec(m).task == "trajectory"]
quick = settings(max_examples=10, deadline=None)


def with_other_future(data: Tracks, frame: int, seed: int) -> Tracks:
    """The tracks with every later point and number replaced."""
    rng = np.random.default_rng(seed)
    later = data.frames > frame
    xy = np.where(later[:, None], rng.normal(0, 1e3, data.xy.shape), data.xy)
    columns = {n: np.where(later, rng.normal(size=len(c)), c) for n, c in data.columns.items()}
    return replace(data, xy=xy, columns=columns)


@given(data=tracks(), seed=st.integers(0, 2**16), share=st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_no_feature_sees_the_future(data: Tracks, seed: int, share: float) -> None:
    frame = int(np.quantile(data.frames, share))
    known = data.frames <= frame
    expected, got = with_features(data), with_features(with_other_future(data, frame, seed))
    assert expected.columns.keys() == got.columns.keys()
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(got.columns[name][known], column[known], err_msg=name)


@cache
def fitted(model_id: str, config: int) -> Any:
    params = registry.model_spec(model_id).test_configs[config]
    return fc.create_model(model_id, **params).fit(sample_tracks(), seed=0)


@pytest.mark.parametrize("model_id", MODELS)
@given(seed=st.integers(0, 2**16), origin=st.integers(60, 100))
@quick
def test_no_prediction_sees_the_future(model_id: str, seed: int, origin: int) -> None:
    model = fitted(model_id, 0)
    data = sample_tracks(seed % 5)
    other = with_other_future(data, origin, seed)
    at = data.times(np.array([origin]))
    before, after = (
        d.windows(context_length=model.config.context_length, horizon=model.config.horizon, origins=at)
        for d in (data, other)
    )
    p, q = model.predict_windows(before), model.predict_windows(after)
    np.testing.assert_array_equal(p.means, q.means)
    np.testing.assert_array_equal(p.covariances, q.covariances)
    np.testing.assert_array_equal(p.weights, q.weights)
    for name, values in p.aux.items():
        np.testing.assert_array_equal(values, q.aux[name], err_msg=name)


def test_derivatives_are_exact_on_motions_of_constant_derivative() -> None:
    t = np.arange(12) * 0.5
    data = Tracks(
        xy=np.stack([3.0 * t + t**2, 0 * t], 1),
        frames=np.arange(12),
        offsets=np.array([0, 12]),
        item_ids=("a",),
        dt=0.5,
    )
    found = motion_features(data)
    assert np.isnan(found["vx"][0])
    assert np.isnan(found["ax"][:2]).all()
    np.testing.assert_allclose(found["ax"][2:], 2.0)
    np.testing.assert_allclose(found["acceleration"][2:], 2.0)
    np.testing.assert_allclose(found["heading"][1:], 0.0)
    np.testing.assert_allclose(found["turn_rate"][2:], 0.0)
    np.testing.assert_allclose(found["vx"][1:], np.diff(data.xy[:, 0]) / 0.5)


def test_turn_rate_is_that_of_a_circle_through_the_cut_of_angles() -> None:
    angle = 3.0 + 0.2 * np.arange(20)
    data = Tracks(
        xy=10 * np.stack([np.cos(angle), np.sin(angle)], 1),
        frames=np.arange(20),
        offsets=np.array([0, 20]),
        item_ids=("a",),
        dt=0.1,
    )
    np.testing.assert_allclose(motion_features(data)["turn_rate"][2:], 2.0)


def test_histories_begin_anew_after_a_gap() -> None:
    data = Tracks(
        xy=np.arange(12.0).reshape(6, 2),
        frames=np.array([0, 1, 2, 5, 6, 7]),
        offsets=np.array([0, 6]),
        item_ids=("a",),
        dt=1.0,
    )
    np.testing.assert_array_equal(np.isnan(motion_features(data)["vx"]), [True, False, False] * 2)
    np.testing.assert_array_equal(np.isnan(motion_features(data)["ax"]), [True, True, False] * 2)


@given(data=tracks(), radius=st.floats(0.5, 10), limit=st.integers(1, 3))
@quick
def test_neighbours_are_the_nearest_of_scene_and_moment(data: Tracks, radius: float, limit: int) -> None:
    found = neighbour_features(data, radius=radius, limit=limit)
    for row in range(0, len(data.xy), 7):
        here = (data.frames == data.frames[row]) & (data.scene_of_row == data.scene_of_row[row])
        here[row] = False
        apart = np.sort(np.linalg.norm(data.xy[here] - data.xy[row], axis=1))
        apart = apart[apart <= radius]
        assert found["density"][row] == pytest.approx(len(apart) / (np.pi * radius**2))
        for k in range(limit):
            way = np.hypot(found[f"near_{k + 1}_ahead"][row], found[f"near_{k + 1}_left"][row])
            if k < len(apart):
                assert way == pytest.approx(apart[k])
            else:
                assert np.isnan(way)


def test_somebody_ahead_and_faster_is_told_so() -> None:
    xy = np.array(
        [[[0.0, 0.0], [0.0, 1.0]], [[-2.0, 5.0], [-2.0, 7.0]]]
    )  # both go in y, one is left and ahead
    data = Tracks(
        xy=xy.reshape(4, 2),
        frames=np.array([0, 1, 0, 1]),
        offsets=np.array([0, 2, 4]),
        item_ids=(0, 1),
        dt=1.0,
    )
    found = neighbour_features(data, radius=20.0, limit=1)
    assert found["near_1_ahead"][1] == pytest.approx(6.0)
    assert found["near_1_left"][1] == pytest.approx(2.0)
    assert found["near_1_vahead"][1] == pytest.approx(1.0)
    assert found["near_1_vleft"][1] == pytest.approx(0.0)
