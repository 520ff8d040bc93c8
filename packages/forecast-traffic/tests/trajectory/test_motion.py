"""Motions carried on: exact on their own kind of path, indifferent to where and how the world lies."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import InvalidInputError
from forecast_traffic.trajectory import Tracks, sample_tracks
from forecast_traffic.trajectory.extrapolation import polynomial_weights
from forecast_traffic.trajectory.geometry import along, directions, turned, turned_covariances, wrapped

MODELS = ("constant-velocity", "constant-acceleration", "constant-turn")
of_points = partial(Tracks.from_array, dt=0.4)
quick = settings(max_examples=40, deadline=None)


class TestConstantVelocity(PredictorConformance):
    model_id = "trajectory/constant-velocity"


class TestConstantAcceleration(PredictorConformance):
    model_id = "trajectory/constant-acceleration"


class TestConstantTurn(PredictorConformance):
    model_id = "trajectory/constant-turn"


def path(kind: str, seed: int, points: int) -> np.ndarray:
    """A path [points, 2] that a model carries on exactly."""
    rng = np.random.default_rng(seed)
    start, velocity = rng.normal(0, 50, 2), rng.normal(0, 1, 2)
    t = np.arange(points)[:, None]
    if kind == "constant-velocity":
        return start + velocity * t
    if kind == "constant-acceleration":
        return start + velocity * t + rng.normal(0, 0.1, 2) * t**2
    angle = rng.uniform(-np.pi, np.pi) + rng.uniform(-0.35, 0.35) * t
    return start + rng.uniform(1, 20) * np.concatenate([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize("kind", MODELS)
@given(seed=st.integers(0, 2**16), history=st.integers(3, 12))
@quick
def test_each_carries_on_its_own_kind_of_path(kind: str, seed: int, history: int) -> None:
    whole = path(kind, seed, history + 6)
    assume(kind != "constant-turn" or np.linalg.norm(whole[1] - whole[0]) > 0.05)  # else too slow to turn
    choices = {"constant-acceleration": ("last", "fit")}.get(kind, ("last", "mean"))
    for estimate in choices:
        model = (
            fc.create_model(f"trajectory/{kind}", estimate=estimate, horizon=6, max_turn_rate=1.0)
            if kind == "constant-turn"
            else fc.create_model(f"trajectory/{kind}", estimate=estimate, horizon=6)
        )
        p = model.predict(of_points(whole[None, :history]))
        np.testing.assert_allclose(p.mean()[0], whole[history:], atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
@given(seed=st.integers(0, 2**16), angle=st.floats(-3, 3), shift=st.floats(-1e4, 1e4))
@quick
def test_predictions_move_and_turn_with_the_world(kind: str, seed: int, angle: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    xy = np.cumsum(rng.normal(0.5, 0.3, (3, 40, 2)), 1)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    model = fc.create_model(f"trajectory/{kind}", horizon=5).fit(of_points(xy))
    moved = fc.create_model(f"trajectory/{kind}", horizon=5).fit(of_points(xy @ turn + shift))
    a, b = model.predict(of_points(xy)), moved.predict(of_points(xy @ turn + shift))
    np.testing.assert_allclose(b.mean(), a.mean() @ turn + shift, atol=1e-6)
    expected = np.einsum("ji,nhjkm,kl->nhilm", turn, a.covariances, turn)
    np.testing.assert_allclose(b.covariances, expected, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
@given(seed=st.integers(0, 2**16), cut=st.integers(30, 100))
@quick
def test_update_equals_a_fit_on_everything(kind: str, seed: int, cut: int) -> None:
    data = sample_tracks(seed, items=4)
    early = data.between(None, data.timeline[cut])
    updated = fc.create_model(f"trajectory/{kind}").fit(early).update(data).predict(data)
    whole = fc.create_model(f"trajectory/{kind}").fit(data).predict(data)
    np.testing.assert_allclose(updated.covariances, whole.covariances, rtol=1e-9)


def test_recordings_without_a_clock_are_learned_as_they_come() -> None:
    fields = {n: getattr(sample_tracks(), n) for n in Tracks.__dataclass_fields__}
    one = Tracks(**{**fields, "start": None})
    two = Tracks(**{**fields, "start": None, "xy": one.xy * 1.5})
    model = fc.create_model("trajectory/constant-velocity").fit(one).update(two)
    squares = model._squares
    expected = [fc.create_model("trajectory/constant-velocity").fit(d)._squares for d in (one, two)]
    np.testing.assert_allclose(squares, expected[0] + expected[1])


def test_spread_is_that_of_the_errors_on_unseen_paths() -> None:
    train, test = (sample_tracks(k, items=40, frames=200).without_clock() for k in (0, 1))
    for kind in MODELS:
        model = fc.create_model(f"trajectory/{kind}").fit(train)
        found = fc.evaluate(
            model,
            test.windows(context_length=8, horizon=12),
            metrics=["ellipse_coverage@0.5", "ellipse_coverage@0.9", "coverage@0.9", "path_nll"],
        )
        assert found.metrics["ellipse_coverage@0.9"] == pytest.approx(0.9, abs=0.04)
        assert found.metrics["coverage@0.9"] == pytest.approx(0.9, abs=0.04)
        assert found.metrics["ellipse_coverage@0.5"] == pytest.approx(0.6, abs=0.15)  # two sorts of road user


def test_unfitted_spread_grows_as_documented() -> None:
    p = fc.create_model("trajectory/constant-velocity", horizon=10).predict(sample_tracks())
    t = 0.4 * np.arange(1, 11)
    np.testing.assert_allclose(p.variance()[0, :, 0], 0.05**2 + 0.02 * t**3 / 3)


def test_a_fitted_model_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    data = sample_tracks()
    model = fc.create_model("trajectory/constant-velocity").fit(data)
    model.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(data) == model.predict(data)


def test_training_windows_have_the_configured_horizon() -> None:
    data = sample_tracks()
    with pytest.raises(InvalidInputError, match="horizon 12"):
        fc.create_model("trajectory/constant-velocity").fit(data.windows(horizon=3))


def test_somebody_who_stands_still_stays() -> None:
    still = np.ones((2, 10, 2))
    for kind in MODELS:
        model = fc.create_model(f"trajectory/{kind}").fit(of_points(np.ones((2, 30, 2))))
        p = model.predict(of_points(still))
        np.testing.assert_allclose(p.mean(), 1.0, atol=1e-9)
        assert (p.variance() > 0).all()


@given(n=st.integers(2, 12), degree=st.integers(0, 3), decay=st.floats(0.5, 1.0))
@quick
def test_polynomials_equal_weighted_least_squares(n: int, degree: int, decay: float) -> None:
    rng = np.random.default_rng(n)
    y = rng.normal(0, 1, n)
    used = min(degree, n - 1)
    t = np.arange(1 - n, 1)
    fitted = np.polynomial.polynomial.polyfit(t, y, used, w=decay ** (0.5 * -t))
    expected = np.polynomial.polynomial.polyval(np.arange(1, 6), fitted)
    weights = polynomial_weights(n, 5, degree=degree, ridge=0.0, decay=decay)
    np.testing.assert_allclose(weights @ y, expected, rtol=1e-6, atol=1e-6 * np.abs(weights).max())
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-7 * np.abs(weights).max())


@given(seed=st.integers(0, 2**16))
@quick
def test_turning_there_and_back_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, heading = rng.normal(size=(5, 3, 2)), directions(rng.normal(size=(5, 2)))
    np.testing.assert_allclose(turned(along(vectors, heading), heading), vectors, atol=1e-12)
    root = rng.normal(size=(1, 3, 2, 2))
    local = root @ root.transpose(0, 1, 3, 2)
    world = turned_covariances(local, heading)
    matrix = np.stack([heading, np.stack([-heading[:, 1], heading[:, 0]], 1)], -1)[:, None]  # columns
    np.testing.assert_allclose(world, matrix @ local @ matrix.transpose(0, 1, 3, 2), atol=1e-12)
    assert directions(np.zeros((1, 2))).tolist() == [[1.0, 0.0]]


@given(angle=st.floats(-50, 50))
@quick
def test_angles_are_wrapped_into_half_a_turn_each_way(angle: float) -> None:
    inside = wrapped(np.array(angle))
    assert -np.pi < inside <= np.pi + 1e-12
    np.testing.assert_allclose([np.cos(inside), np.sin(inside)], [np.cos(angle), np.sin(angle)], atol=1e-9)


def test_calibration_follows_recordings_without_a_clock() -> None:
    data = sample_tracks().without_clock()
    model = fc.create_model("trajectory/constant-velocity").fit(data)
    calibrated = fc.conformalize(model, sample_tracks(1).without_clock(), method="adaptive")
    before = calibrated.predict(data)
    after = calibrated.update(sample_tracks(2).without_clock()).predict(data)
    assert not np.array_equal(before.values, after.values)


def test_a_model_may_be_scored_on_recordings_without_a_clock() -> None:
    model = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=5).fit(sample_tracks(0))
    other = sample_tracks(1).without_clock()
    blind = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=5)
    blind.fit(sample_tracks(0).without_clock())
    found = [fc.evaluate(each, other, metrics=["ade"]).metrics for each in (model, blind)]
    assert found[0] == found[1]
    assert fc.conformalize(model, other).is_fitted


def test_tracks_too_young_for_a_model_are_left_out_of_its_backtest() -> None:
    data = sample_tracks(0, items=12)
    model = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=5)
    found = fc.backtest([model], data, start=data.timeline[40], horizon=5, metrics=["ade"])
    assert found.windows.lengths.min() == 2
    whole = data.windows(horizon=5, origins=np.unique(found.windows.origins))
    assert len(found.windows) < len(whole)
    tuned = fc.tune("trajectory/constant-turn", data, n_trials=2, objective="ade", base={"horizon": 5})
    assert np.isfinite(tuned.best_value)
