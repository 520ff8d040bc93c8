"""Polynomial, Gaussian process and Kalman filter against numpy, scikit-learn and statsmodels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import ShapeError
from forecast_traffic.trajectory import Tracks, sample_tracks
from forecast_traffic.trajectory.filtering import LinearMotion, smoothed

of_points = partial(Tracks.from_array, dt=0.4)
quick = settings(max_examples=30, deadline=None)


class TestPolynomial(PredictorConformance):
    model_id = "trajectory/polynomial"


class TestGaussianProcess(PredictorConformance):
    model_id = "trajectory/gaussian-process"


class TestKalman(PredictorConformance):
    model_id = "trajectory/kalman"


def walks(seed: int, points: int, tracks: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 100, (tracks, 1, 2)) + np.cumsum(rng.normal(0.5, 0.3, (tracks, points, 2)), 1)


@given(
    seed=st.integers(0, 2**16),
    points=st.integers(2, 12),
    degree=st.integers(1, 3),
    ridge=st.sampled_from([0.0, 0.01, 1.0]),
)
@quick
def test_polynomial_is_ridge_least_squares(seed: int, points: int, degree: int, ridge: float) -> None:
    xy = walks(seed, points)
    model = fc.create_model(
        "trajectory/polynomial", degree=degree, ridge=ridge, context_length=points, horizon=5
    )
    time = np.arange(1 - points, 1) / (points - 1)
    used = min(degree, points - 1)
    design = time[:, None] ** np.arange(used + 1)
    padded = np.concatenate([design, np.sqrt(ridge) * np.eye(used + 1)[1:]])
    ahead = (np.arange(1, 6) / (points - 1))[:, None] ** np.arange(used + 1)
    got = model.predict(of_points(xy)).mean()
    for k in range(2):
        centred = xy[k] - xy[k, -1]
        coefficients = np.linalg.lstsq(padded, np.concatenate([centred, np.zeros((used, 2))]), rcond=None)[0]
        expected = ahead @ coefficients + xy[k, -1]
        np.testing.assert_allclose(got[k], expected, atol=1e-6 * max(1.0, np.abs(ahead).max()))


@pytest.mark.parametrize("trend", ["last", "line"])
@given(
    seed=st.integers(0, 2**16),
    points=st.integers(2, 12),
    length_scale=st.floats(0.5, 10),
    variance=st.floats(0.1, 10),
    noise=st.floats(0.01, 0.5),
)
@settings(max_examples=8, deadline=None)
def test_gaussian_process_equals_scikit_learns(
    trend: str, seed: int, points: int, length_scale: float, variance: float, noise: float
) -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    xy = walks(seed, points)
    model = fc.create_model(
        "trajectory/gaussian-process",
        length_scale=length_scale,
        variance=variance,
        noise=noise,
        trend=trend,
        context_length=points,
        horizon=5,
    )
    got = model.predict(of_points(xy))
    past, ahead = 0.4 * np.arange(1 - points, 1), 0.4 * np.arange(1, 6)
    kernel = ConstantKernel(variance, "fixed") * RBF(length_scale, "fixed") + WhiteKernel(noise, "fixed")
    for k in range(2):
        for axis in range(2):
            y = xy[k, :, axis]
            line = np.polynomial.Polynomial.fit(past, y, 1)
            known = line(past) if trend == "line" else np.full(points, y[-1])
            beyond = line(ahead) if trend == "line" else np.full(5, y[-1])
            peer = GaussianProcessRegressor(kernel, alpha=0.0, optimizer=None).fit(past[:, None], y - known)
            mean, deviation = peer.predict(ahead[:, None], return_std=True)
            np.testing.assert_allclose(got.mean()[k, :, axis], mean + beyond, atol=1e-6)
            np.testing.assert_allclose(got.variance()[k, :, axis], deviation**2, atol=1e-6)


def linear(motion: str = "velocity", **changes: float) -> LinearMotion:
    given = {"dt": 0.4, "process": 0.3, "noise": 0.04, "speed": 2.0, "acceleration": 0.7, **changes}
    return LinearMotion.of(motion, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("motion", ["velocity", "acceleration"])
def test_kalman_equals_statsmodels(motion: str) -> None:
    from statsmodels.tsa.statespace.mlemodel import MLEModel

    ours = linear(motion)
    size = len(ours.first)
    measured = walks(3, 25, 1)[0, :, 0]

    class Peer(MLEModel):  # type: ignore[misc]
        def __init__(self, series: np.ndarray) -> None:
            super().__init__(series, k_states=size, k_posdef=size)
            self["design", 0, 0] = 1.0
            self["obs_cov", 0, 0] = ours.noise
            self["transition"], self["selection"], self["state_cov"] = (
                ours.transition,
                np.eye(size),
                ours.process,
            )
            mean = ours.transition @ np.array([measured[0], *[0.0] * (size - 1)])
            spread = ours.transition @ ours.first @ ours.transition.T + ours.process
            self.ssm.initialize_known(mean, spread)  # the second measurement, given the first

    peer = Peer(measured[1:]).ssm
    assert ours.log_likelihood(measured) == pytest.approx(peer.filter().llf, abs=1e-6)
    forecast = peer.filter().predict(start=24, end=30)
    weights, variances = ours.ahead(25, 6)
    np.testing.assert_allclose(
        measured[0] + weights @ (measured - measured[0]), forecast.forecasts[0][:6], atol=1e-6
    )
    np.testing.assert_allclose(variances, forecast.forecasts_error_cov[0, 0][:6], atol=1e-6)
    states, spread = smoothed(ours, measured)
    expected = peer.smooth()
    np.testing.assert_allclose(states[1:], expected.smoothed_state[0], atol=1e-6)
    np.testing.assert_allclose(spread[1:], expected.smoothed_state_cov[0, 0], atol=1e-6)


def simulated(model: LinearMotion, *, tracks: int, points: int, seed: int) -> np.ndarray:
    """Tracks [track, point, 2] of the model itself."""
    rng = np.random.default_rng(seed)
    d = len(model.first)
    root, start = np.linalg.cholesky(model.process), np.linalg.cholesky(model.first)
    state = rng.normal(size=(tracks, 2, d)) @ start.T
    state[..., 0] += rng.normal(0, 50, (tracks, 2))
    out = np.empty((tracks, points, 2))
    for k in range(points):
        out[:, k] = state[..., 0] + np.sqrt(model.noise) * rng.normal(size=(tracks, 2))
        state = state @ model.transition.T + rng.normal(size=(tracks, 2, d)) @ root.T
    return out


def test_kalman_finds_the_noise_that_made_the_tracks() -> None:
    truth = linear(process=0.2, noise=0.01, speed=1.5)
    data = of_points(simulated(truth, tracks=3000, points=20, seed=0))
    model = fc.create_model("trajectory/kalman", context_length=8, horizon=12).fit(data)
    assert model.noise["process_noise"] == pytest.approx(0.2, rel=0.05)
    assert model.noise["position_noise"] == pytest.approx(0.1, rel=0.05)
    assert model.noise["first_speed"] == pytest.approx(1.5, rel=0.05)
    unseen = of_points(simulated(truth, tracks=3000, points=20, seed=1))
    found = fc.evaluate(model, unseen, metrics=["ellipse_coverage@0.5", "ellipse_coverage@0.9"]).metrics
    assert found["ellipse_coverage@0.5"] == pytest.approx(0.5, abs=0.02)
    assert found["ellipse_coverage@0.9"] == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("name", ["kalman", "gaussian-process", "polynomial"])
@given(seed=st.integers(0, 2**16), cut=st.integers(40, 100))
@example(seed=53256, cut=40)  # so flat a likelihood that last bits of sums move paths by .06 mm
@settings(max_examples=4, deadline=None)
def test_update_equals_a_fit_on_everything(name: str, seed: int, cut: int) -> None:
    data = sample_tracks(seed, items=6)
    early = data.between(None, data.timeline[cut])
    updated: Any = fc.create_model(f"trajectory/{name}").fit(early).update(data)
    whole: Any = fc.create_model(f"trajectory/{name}").fit(data)
    if name != "polynomial":  # what is maximised is the same, so the maximum is, as far as it can be found
        for key, sums in whole._moments.arrays().items():
            np.testing.assert_allclose(updated._moments.arrays()[key], sums, rtol=1e-9, atol=1e-9)
    one, other = updated.predict(data), whole.predict(data)
    np.testing.assert_allclose(one.mean(), other.mean(), atol=1e-3)
    np.testing.assert_allclose(one.variance(), other.variance(), rtol=1e-3)


@pytest.mark.parametrize("name", ["kalman", "gaussian-process"])
def test_fitting_makes_unseen_paths_likelier(name: str) -> None:
    train, test = (sample_tracks(k, items=30).without_clock() for k in (0, 1))
    windows = test.windows(context_length=8, horizon=12)
    before = fc.evaluate(fc.create_model(f"trajectory/{name}"), windows, metrics=["path_nll"]).metrics
    after = fc.evaluate(
        fc.create_model(f"trajectory/{name}").fit(train), windows, metrics=["path_nll"]
    ).metrics
    assert after["path_nll"] < before["path_nll"]


def test_smoothing_comes_nearer_to_the_true_path() -> None:
    truth = linear(process=0.05, noise=0.25, speed=1.5)
    quiet = LinearMotion(transition=truth.transition, process=truth.process, noise=1e-12, first=truth.first)
    path = simulated(quiet, tracks=200, points=40, seed=0)
    noisy = of_points(path + np.random.default_rng(1).normal(0, 0.5, path.shape))
    model = fc.create_model("trajectory/kalman").fit(noisy)
    clean = model.smooth(noisy)
    flat = path.reshape(-1, 2)
    assert np.abs(clean.xy - flat).mean() < 0.6 * np.abs(noisy.xy - flat).mean()
    inside = np.abs(clean.xy - flat) < 1.645 * clean.columns["position_sd"][:, None]
    assert inside.mean() == pytest.approx(0.9, abs=0.03)
    with_gap = Tracks(
        xy=noisy.xy[:40],
        frames=np.r_[0:20, 25:45],
        offsets=np.array([0, 40]),
        item_ids=(0,),
        dt=0.4,
    )
    halves = [model.smooth(of_points(noisy.xy[None, k : k + 20])).xy for k in (0, 20)]
    np.testing.assert_allclose(model.smooth(with_gap).xy, np.concatenate(halves))


def test_what_cannot_be_fitted_is_refused() -> None:
    short = of_points(walks(0, 12))
    with pytest.raises(ShapeError, match=r"points without a gap"):
        fc.create_model("trajectory/kalman", context_length=8, horizon=12).fit(short)
    with pytest.raises(ShapeError, match="8 points of history"):
        fc.create_model("trajectory/gaussian-process", context_length=8, horizon=6).fit(
            short.windows(context_length=4, horizon=6)
        )


@pytest.mark.parametrize("name", ["polynomial", "gaussian-process", "kalman"])
def test_saved_and_loaded_whole(name: str, tmp_path: Path) -> None:
    data = sample_tracks()
    model = fc.create_model(f"trajectory/{name}").fit(data)
    model.save(tmp_path / "m")
    loaded = fc.load_model(tmp_path / "m")
    assert loaded.predict(data) == model.predict(data)
