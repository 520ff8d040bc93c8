"""Trajectory models in core's ensembles, cross-validation and tuning, and with calibrated ellipses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import CapabilityError, DataError, InvalidInputError, LeakError
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory import calibrate_ellipses, event_scores, sample_tracks
from forecast_traffic.trajectory.calibration import ellipse_factors

MOTIONS = ("trajectory/constant-velocity", "trajectory/constant-turn", "trajectory/kalman")


class TestCalibrated(PredictorConformance):
    model_id = "trajectory/calibrated"


def test_an_ensemble_is_the_mixture_of_its_members_paths() -> None:
    data = sample_tracks()
    members = [fc.create_model(m).fit(data) for m in MOTIONS]
    ensemble = fc.create_ensemble(members, weights=(0.5, 0.3, 0.2))
    p = ensemble.predict(data)
    assert isinstance(p, PathMixturePrediction)
    parts = [m.predict(data) for m in members]
    expected = sum(w * part.mean() for w, part in zip((0.5, 0.3, 0.2), parts, strict=True))
    np.testing.assert_allclose(p.mean(), expected)
    total, noise, doubt = (
        ensemble.predict_uncertainty(data, kind=kind).variance for kind in ("total", "aleatoric", "epistemic")
    )
    np.testing.assert_allclose(total, noise + doubt)
    np.testing.assert_allclose(
        noise, sum(w * q.variance() for w, q in zip((0.5, 0.3, 0.2), parts, strict=True))
    )
    assert (doubt > 0).any()


def test_an_ensemble_knows_who_is_there_together_and_what_its_members_expect() -> None:
    train, test = (sample_tracks(k, items=12).without_clock() for k in (0, 1))
    small = {"modes": 2, "hidden_size": 8, "max_epochs": 1, "windows_per_epoch": 64}
    members = [fc.create_model("trajectory/lstm", **small).fit(train, seed=k) for k in (0, 1)]
    windows = test.windows(context_length=8, horizon=12, stride=10)
    ensemble = fc.create_ensemble(members, weights=(0.25, 0.75))
    found = fc.evaluate(ensemble, windows, metrics=["collision_rate", "minade@4"])
    assert found.metrics["collision_rate"] is not None
    one, two = (m.predict_windows(windows).aux["turn"].astype(float) for m in members)
    np.testing.assert_allclose(found.prediction.aux["turn"], 0.25 * one + 0.75 * two, rtol=1e-6)
    assert set(event_scores(found.prediction, windows)) == {"turn"}  # all that these data teach
    motions = fc.create_ensemble([fc.create_model(m).fit(train) for m in MOTIONS])
    assert fc.evaluate(motions, windows, metrics=["collision_rate"]).metrics["collision_rate"] is not None


def test_fitted_weights_are_no_worse_than_uniform_ones() -> None:
    train, valid, test = (sample_tracks(k, items=20).without_clock() for k in range(3))
    windows = test.windows(context_length=8, horizon=12)
    scores = {
        weights: fc.evaluate(
            fc.create_ensemble(MOTIONS, weights=weights).fit(train, validation=valid),
            windows,
            metrics=["crps"],
        ).metrics["crps"]
        for weights in ("fit", "uniform")
    }
    assert scores["fit"] <= scores["uniform"] * 1.005


def test_ensembles_are_saved_whole(tmp_path: Path) -> None:
    data = sample_tracks()
    ensemble = fc.create_ensemble(MOTIONS).fit(data)
    ensemble.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(data) == ensemble.predict(data)


@pytest.mark.parametrize("by", ["track", "scene"])
def test_cross_validation_leaves_whole_vehicles_or_scenes_out(by: str) -> None:
    windows = sample_tracks(items=12).windows(context_length=8, horizon=12).by(by)  # type: ignore[arg-type]
    folds = 2 if by == "scene" else 3
    found = fc.cross_validate(
        "trajectory/constant-acceleration", windows, fc.splits.GroupSplit(n_splits=folds), ["ade", "path_nll"]
    )
    assert len(found.folds) == folds
    assert sum(fold.test for fold in found.folds) == len(windows)
    assert found.mean["ade"] is not None
    assert found.baseline["ade"] is not None


def test_cross_validation_over_time_and_scenarios() -> None:
    data = sample_tracks(items=12)
    windows = data.windows(context_length=8, horizon=12)
    for splitter in (fc.splits.TimeSeriesSplit(n_splits=2), fc.splits.StratifiedGroupSplit(n_splits=2)):
        found = fc.cross_validate("trajectory/kalman", windows, splitter, ["ade"])
        assert len(found.folds) == 2


def test_tuning_finds_a_better_polynomial_than_the_default() -> None:
    pytest.importorskip("optuna")
    tracks = sample_tracks(items=12)
    found = fc.tune("trajectory/polynomial", tracks, objective="ade", n_trials=12, seed=0)
    default = fc.create_model("trajectory/polynomial")
    held = tracks.between(tracks.timeline[int(0.8 * len(tracks.timeline))], None)
    score = fc.evaluate(default, held.windows(context_length=8, horizon=12)).metrics["ade"]
    assert found.best_value is not None
    assert score is not None
    assert found.best_value < score


def test_ellipses_hold_their_share_after_calibration() -> None:
    train, valid, test = (sample_tracks(k, items=40, frames=160).without_clock() for k in range(3))
    for model_id in ("trajectory/constant-velocity", "trajectory/gaussian-process"):
        model = fc.create_model(model_id).fit(train.windows(context_length=8, horizon=12))
        narrow = calibrate_ellipses(model, valid)
        found = fc.evaluate(
            narrow, test.windows(context_length=8, horizon=12), metrics=["ellipse_coverage@0.9", "ade"]
        ).metrics
        assert found["ellipse_coverage@0.9"] == pytest.approx(0.9, abs=0.03)
        p, q = model.predict(test), narrow.predict(test)
        np.testing.assert_array_equal(p.means, q.means)
        assert found["ade"] is not None


def test_factors_undo_ellipses_that_are_wrong_by_a_factor() -> None:
    rng = np.random.default_rng(0)
    for modes in (1, 3):
        means = rng.normal(0, 2, (500, 2, 2, modes))
        p = PathMixturePrediction(
            item_ids=tuple(range(500)),
            weights=np.full((500, modes), 1 / modes),
            means=means,
            covariances=np.broadcast_to(0.5 * np.eye(2)[..., None], (*means.shape[:3], 2, modes)),
        )
        y = p.sample(1, seed=1)[0]
        for wrong in (0.25, 4.0):
            factors = ellipse_factors(p.replace(covariances=p.covariances * wrong**2), y, coverage=0.9)
            np.testing.assert_allclose(factors, 1 / wrong, rtol=0.15)
    with pytest.raises(DataError, match="at least 9 paths"):
        ellipse_factors(p.take(np.arange(8)), y[:8], coverage=0.9)


def test_calibration_on_training_times_is_a_leak() -> None:
    data = sample_tracks()
    with pytest.raises(LeakError):
        calibrate_ellipses(fc.create_model("trajectory/constant-velocity").fit(data), data)
    with pytest.raises(CapabilityError):
        calibrate_ellipses(fc.create_model("trajectory/lstm"), data)


def test_one_track_cannot_be_both_fitted_and_calibrated_on() -> None:
    model = fc.create_model("trajectory/calibrated", model={"id": "trajectory/constant-velocity"})
    with pytest.raises(InvalidInputError, match="both to fit and to calibrate"):
        model.fit(sample_tracks(items=1))
    calibrated = model.fit(sample_tracks(items=10))
    assert calibrated.factors.shape == (12,)
    with pytest.raises(InvalidInputError, match="at most 12"):
        calibrated.predict(sample_tracks(), horizon=13)


def test_core_calibrates_coordinates_too() -> None:
    train, valid, test = (sample_tracks(k, items=20).without_clock() for k in range(3))
    model = fc.create_model("trajectory/constant-velocity").fit(train)
    calibrated = fc.conformalize(model, valid, coverage=0.9)
    found = fc.evaluate(calibrated, test.windows(context_length=8, horizon=12), metrics=["coverage@0.9"])
    assert found.metrics["coverage@0.9"] == pytest.approx(0.9, abs=0.05)


def test_a_predictor_with_calibrated_ellipses_is_a_copy() -> None:
    train, valid, more = (sample_tracks(k, items=20).without_clock() for k in range(3))
    model = fc.create_model("trajectory/constant-velocity").fit(train)
    own = model.predict(train)
    calibrated = calibrate_ellipses(model, valid)
    made = calibrated.predict(train)
    calibrated.fit(more)
    assert model.predict(train) == own
    calibrated = calibrate_ellipses(model, valid)
    model.fit(more)
    assert calibrated.predict(train) == made
