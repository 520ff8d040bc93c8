"""Ensembles: the exact mixture of their members, weights that cannot be improved, one artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.compose.pooling import pool
from forecast_core.compose.weighting import fit_weights
from forecast_core.errors import (
    CapabilityError,
    ConfigError,
    DataError,
    InvalidInputError,
    NotFittedError,
    ShapeError,
)
from forecast_core.metrics.scoring import evaluate_metrics
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=240, items=3)
TRAIN, VALID, TEST = fc.splits.time_split(PANEL, (0.5, 0.25, 0.25))
NAMES = ("a", "b")
WEIGHTS = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=3).filter(lambda w: sum(w) > 0.1)


def gaussians(seed: int, *, components: int = 2) -> fc.MixturePrediction:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(components), (2, 3, 1))
    return fc.MixturePrediction(
        item_ids=NAMES,
        weights=weights,
        means=rng.normal(0, 3, (2, 3, 1, components)),
        sigmas=rng.uniform(0.2, 3, (2, 3, 1, components)),
    )


def quantiles(seed: int, levels: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)) -> fc.QuantilePrediction:
    values = np.sort(np.random.default_rng(seed).normal(0, 3, (2, 3, 1, len(levels))), -1)
    return fc.QuantilePrediction(item_ids=NAMES, levels=np.array(levels), values=values)


def samples(seed: int, n: int = 200, *, joint: bool = True) -> fc.SamplePrediction:
    values = np.random.default_rng(seed).normal(seed % 5, 2, (n, 2, 3, 1))
    return fc.SamplePrediction(item_ids=NAMES, values=values, joint=joint)


def simplex(weights: list[float]) -> np.ndarray:
    return np.asarray(weights) / np.sum(weights)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), WEIGHTS, st.floats(-8, 8))
def test_the_pool_of_mixtures_is_the_weighted_sum_of_distributions(
    seed: int, w: list[float], x: float
) -> None:
    parts, weights = [gaussians(seed + k) for k in range(len(w))], simplex(w)
    pooled = pool(parts, weights)
    assert isinstance(pooled, fc.MixturePrediction)
    wanted = sum(v * p.cdf(x) for p, v in zip(parts, weights.tolist(), strict=True))
    np.testing.assert_allclose(pooled.cdf(x), wanted, atol=1e-12)
    wanted = sum(v * p.mean() for p, v in zip(parts, weights.tolist(), strict=True))
    np.testing.assert_allclose(pooled.mean(), wanted, atol=1e-9)
    parts_of_variance = pooled.aux["aleatoric_variance"] + pooled.aux["epistemic_variance"]
    np.testing.assert_allclose(pooled.variance(), parts_of_variance, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), WEIGHTS)
def test_pooled_quantiles_invert_the_weighted_sum_of_cdfs(seed: int, w: list[float]) -> None:
    weights = simplex(w)
    parts: list[Any] = [quantiles(seed), *[quantiles(seed + k, (0.05, 0.5, 0.95)) for k in range(1, len(w))]]
    pooled = pool(parts, weights)
    assert isinstance(pooled, fc.QuantilePrediction)
    assert set(pooled.levels) == {level for p in parts for level in p.levels}  # whatever the weights
    for k, level in enumerate(pooled.levels.tolist()):
        reached = sum(v * p.cdf(pooled.values[..., k]) for p, v in zip(parts, weights.tolist(), strict=True))
        np.testing.assert_allclose(reached, level, atol=0.005)
    assert (np.diff(pooled.values, axis=-1) >= 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.floats(0.2, 0.8))
def test_members_of_different_kinds_are_pooled_by_their_cdfs(seed: int, share: float) -> None:
    parts, weights = [gaussians(seed), quantiles(seed + 1)], np.array([share, 1 - share])
    pooled = pool(parts, weights)
    assert isinstance(pooled, fc.QuantilePrediction)
    for k, level in enumerate(pooled.levels.tolist()):
        reached = sum(v * p.cdf(pooled.values[..., k]) for p, v in zip(parts, weights.tolist(), strict=True))
        np.testing.assert_allclose(reached, level, atol=0.005)


def test_points_are_averaged_and_classes_too() -> None:
    one, two = (fc.PointPrediction(item_ids=NAMES, values=np.full((2, 3, 1), v)) for v in (1.0, 5.0))
    pooled = pool([one, two], np.array([0.25, 0.75]))
    assert isinstance(pooled, fc.PointPrediction)
    np.testing.assert_allclose(pooled.mean(), 4.0)
    p = np.array([[0.2, 0.8], [1.0, 0.0]])
    classes = [
        fc.ClassPrediction(item_ids=NAMES, probabilities=q, classes=("no", "yes")) for q in (p, p[:, ::-1])
    ]
    mixed = pool(classes, np.array([0.5, 0.5]))
    assert isinstance(mixed, fc.ClassPrediction)
    np.testing.assert_allclose(mixed.probabilities, 0.5)


def test_samples_keep_their_joint_paths_in_proportion_to_the_weights() -> None:
    parts = [samples(1), samples(2, n=50), samples(3)]
    pooled = pool(parts, np.array([0.5, 0.25, 0.25]))
    assert isinstance(pooled, fc.SamplePrediction)
    assert pooled.joint
    assert pooled.values.shape[0] == 200
    np.testing.assert_array_equal(pooled.values[:100], parts[0].values[:100])
    np.testing.assert_array_equal(pooled.values[100:150], parts[1].values)
    np.testing.assert_array_equal(pooled.values[150:], parts[2].values[:50])
    assert not pool([samples(1), samples(2, joint=False)], np.array([0.5, 0.5])).joint  # type: ignore[attr-defined]


def test_paths_keep_the_modes_of_every_member() -> None:
    def paths(seed: int) -> fc.PathMixturePrediction:
        rng = np.random.default_rng(seed)
        covariances = np.zeros((2, 4, 2, 2, 3)) + np.eye(2)[:, :, None] * rng.uniform(0.5, 2, (2, 4, 1, 1, 3))
        return fc.PathMixturePrediction(
            item_ids=NAMES,
            weights=rng.dirichlet(np.ones(3), 2),
            means=rng.normal(size=(2, 4, 2, 3)),
            covariances=covariances,
        )

    pooled = pool([paths(0), paths(1)], np.array([0.3, 0.7]))
    assert isinstance(pooled, fc.PathMixturePrediction)
    assert pooled.weights.shape == (2, 6)
    np.testing.assert_allclose(pooled.mean(), 0.3 * paths(0).mean() + 0.7 * paths(1).mean())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), w=WEIGHTS)
def test_what_members_tell_beside_their_forecast_is_pooled_where_that_means_something(
    seed: int, w: list[float]
) -> None:
    weights = simplex(w)
    rng = np.random.default_rng(seed)
    told = [
        {
            "scene": np.array([3, 1]),
            "turn": rng.uniform(size=2).astype(np.float32),
            "attention": rng.uniform(size=(2, 5)),
            "action": np.array([k, 0]),
            "length": rng.uniform(size=(2, 3 + k)),
            "knots": rng.uniform(size=7),
            "heading": rng.uniform(2.0, 3.0, size=2) * (-1) ** k,
            "gap": np.array([0.5, np.nan]) + k * 0.1,
            "epistemic_variance": np.full((2, 3, 1), 1e6),
        }
        for k in range(len(w))
    ]
    told[-1]["own"] = np.zeros(2)
    yes = fc.ClassPrediction(item_ids=NAMES, probabilities=np.full((2, 2), 0.5), classes=("no", "yes"))
    point = fc.PointPrediction(item_ids=NAMES, values=np.zeros((2, 3, 1)))
    for kind in (gaussians(seed), quantiles(seed), samples(seed), point, yes):
        pooled = pool([kind.replace(aux=aux) for aux in told], weights)
        own = set() if kind in (point, yes) else {"aleatoric_variance", "epistemic_variance"}
        assert pooled.aux.keys() == own | {"scene", "turn", "attention"}
        np.testing.assert_array_equal(pooled.aux["scene"], [3, 1])
        for name in ("turn", "attention"):
            expected = sum(v * aux[name].astype(float) for v, aux in zip(weights, told, strict=True))
            np.testing.assert_allclose(pooled.aux[name], expected, rtol=1e-9)
        assert all((pooled.aux[name] < 1e3).all() for name in own)  # not its members'


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ShapeError, match="same rows"):
        pool([gaussians(0), gaussians(1).take([0])], np.array([0.5, 0.5]))
    with pytest.raises(ShapeError, match="same steps"):
        pool([gaussians(0), gaussians(1).at_steps([0, 1])], np.array([0.5, 0.5]))
    yes = fc.ClassPrediction(item_ids=NAMES, probabilities=np.full((2, 2), 0.5), classes=("no", "yes"))
    with pytest.raises(CapabilityError, match="cannot be pooled"):
        pool([yes, gaussians(0)], np.array([0.5, 0.5]))
    point = fc.PointPrediction(item_ids=NAMES, values=np.zeros((2, 3, 1)))
    with pytest.raises(CapabilityError, match="points and distributions"):
        pool([point, gaussians(0)], np.array([0.5, 0.5]))
    with pytest.raises(ShapeError, match="same classes"):
        pool([yes, yes.replace(classes=("yes", "no"))], np.array([0.5, 0.5]))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_no_weights_score_better_than_the_fitted_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(300, 2, 1))
    ids = tuple(range(300))

    def gaussian(bias: float, sigma: float) -> fc.MixturePrediction:
        noise = rng.normal(scale=0.5, size=(300, 2, 1, 1))
        return fc.MixturePrediction(
            item_ids=ids,
            weights=np.ones((300, 1, 1, 1)),
            means=bias + noise,
            sigmas=np.full((300, 2, 1, 1), sigma),
        )

    parts = [gaussian(1.0, 0.5), gaussian(-1.0, 0.7), gaussian(3.0, 1.0)]
    seen = np.ones(truth.shape, dtype=bool)
    weights = fit_weights(parts, truth, seen)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()

    def crps(w: np.ndarray) -> float:
        return evaluate_metrics(pool(parts, w), truth, None, ["crps"])["crps"]

    best = crps(weights)
    for other in [*np.eye(3), np.full(3, 1 / 3), *rng.dirichlet(np.ones(3), 10)]:
        assert best <= crps(other) + 2e-3


def test_weights_of_points_and_classes_find_the_right_member() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(500, 2, 1))
    seen = np.ones(truth.shape, dtype=bool)
    noise = [0.1, 2.0]
    points = [
        fc.PointPrediction(item_ids=tuple(range(500)), values=truth + rng.normal(scale=s, size=truth.shape))
        for s in noise
    ]
    weights = fit_weights(points, truth, seen)
    assert weights[0] == pytest.approx(1 / (1 + (0.1 / 2.0) ** 2), abs=0.02)
    labels = rng.integers(0, 2, 500)
    right = np.where(labels[:, None] == np.arange(2), 0.9, 0.1)
    classes = [
        fc.ClassPrediction(item_ids=tuple(range(500)), probabilities=p, classes=("no", "yes"))
        for p in (right, np.full((500, 2), 0.5))
    ]
    assert fit_weights(classes, labels, np.ones(500, dtype=bool))[0] == pytest.approx(1.0)


def test_an_ensemble_of_fitted_models_predicts_at_once_and_reloads_equal(tmp_path: Path) -> None:
    base = fc.create_model("series/seasonal-naive", seasonality=24, horizon=6)
    calibrated = fc.conformalize(base, VALID, coverage=0.8)
    for members, kind in (
        ([base, fc.create_model("series/naive", horizon=6)], fc.MixturePrediction),
        ([calibrated, base], fc.QuantilePrediction),
    ):
        model = fc.create_ensemble(members, weights=[3, 1])
        assert model.is_fitted
        np.testing.assert_allclose(model.weights, [0.75, 0.25])  # type: ignore[attr-defined]
        prediction = model.predict(TEST)
        assert isinstance(prediction, kind)
        model.save(tmp_path / kind.__name__)
        again = fc.load_model(tmp_path / kind.__name__)
        assert again.predict(TEST) == prediction
        assert again.info == model.info
    assert model.info.seen_until == calibrated.info.seen_until


def test_weights_are_fitted_with_the_members_on_validation_data() -> None:
    members = [
        fc.create_model("series/naive", horizon=6),
        fc.create_model("series/seasonal-naive", horizon=6),
    ]
    model = fc.create_ensemble(members, weights="fit")
    assert not model.is_fitted
    with pytest.raises(NotFittedError):
        model.predict(TEST)
    with pytest.raises(InvalidInputError, match="validation"):
        model.fit(TRAIN)
    model.fit(TRAIN, validation=VALID)
    assert model.weights[1] > 0.5  # type: ignore[attr-defined]
    assert model.info.fitted_until == str(VALID.timestamps[-1])
    found = fc.backtest([model, *members], PANEL, start=TEST.timestamps[0], horizon=6, metrics=["crps"])
    assert found["compose/ensemble"].metrics["crps"] <= found["series/naive"].metrics["crps"]  # type: ignore[operator]


def test_uncertainty_is_taken_apart() -> None:
    members = [
        fc.create_model("series/naive", horizon=6),
        fc.create_model("series/seasonal-naive", horizon=6),
    ]
    model: Any = fc.create_ensemble(members)
    total, noise, doubt = (
        model.predict_uncertainty(TEST, kind=kind) for kind in ("total", "aleatoric", "epistemic")
    )
    np.testing.assert_allclose(total.variance, noise.variance + doubt.variance, rtol=1e-9)
    one, two = (m.predict(TEST).mean() for m in members)
    np.testing.assert_allclose(doubt.variance, (one - two) ** 2 / 4, rtol=1e-9)
    for wrong in ({"kind": "bogus"}, {"coverage": 1.5, "kind": "epistemic"}, {"coverage": "x"}):
        with pytest.raises(InvalidInputError, match=next(iter(wrong))):
            model.predict_uncertainty(TEST, **wrong)
    same: Any = fc.create_ensemble([members[0]] * 3)
    assert same.predict_uncertainty(TEST, kind="epistemic").variance.max() < 1e-20


def test_covariates_reach_those_members_that_take_them() -> None:
    rich = sample_panel(rows=120, items=2, past_covariates=1)
    model = fc.create_ensemble(["series/naive", "series/seasonal-naive"])
    with pytest.raises(CapabilityError, match="past_covariates"):
        model.predict(rich, horizon=4)
    assert len(model.predict(rich.without(frozenset({"past_covariates"})), horizon=4)) == 2


def test_wrong_ensembles_are_refused() -> None:
    for wrong in ([], "series/naive"):
        with pytest.raises(InvalidInputError, match="members"):
            fc.create_ensemble(wrong)
    with pytest.raises(ConfigError, match="weights"):
        fc.create_ensemble(["series/naive"] * 2, weights=[0.5, 0.3, 0.2])
    with pytest.raises(ConfigError, match="weights"):
        fc.create_ensemble(["series/naive"] * 2, weights=[-1, 2])
    for weights in (3, np.ones((2, 1)), "foo"):
        with pytest.raises(ConfigError, match="weights"):
            fc.create_ensemble(["series/naive"] * 2, weights=weights)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="weights: holds numbers"):
        fc.create_ensemble(["series/naive"] * 2, weights=["a", "b"])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="one horizon"):
        fc.create_ensemble([fc.create_model("series/naive", horizon=h) for h in (3, 4)])


def test_weights_are_not_fitted_on_rows_that_members_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = sample_panel(rows=260, items=2)
    members = [
        fc.create_model("series/seasonal-naive", horizon=4, seasonality=24),
        fc.create_model("compose/conformal", model={"id": "series/naive", "params": {"horizon": 4}}),
    ]
    asked: list[np.ndarray] = []

    def weigh(parts: Any, targets: np.ndarray, mask: np.ndarray, *, seed: int) -> np.ndarray:
        asked.append(targets)
        return fit_weights(parts, targets, mask, seed=seed)

    monkeypatch.setattr("forecast_core.compose.ensemble.fit_weights", weigh)
    train = panel.rows(0, 200)
    for low in (150, 100, 1):
        fc.create_ensemble(members, weights="fit").fit(train, validation=panel.rows(low, 260))
    expected = panel.windows(horizon=4, origins=panel.timestamps[199:256]).targets()[0]
    for targets in asked:
        np.testing.assert_array_equal(targets, expected)
    with pytest.raises(ShapeError, match="leaves windows to weigh members on"):
        fc.create_ensemble(members[:1], weights="fit").fit(train, validation=panel.rows(100, 202))


def test_predictors_given_as_members_stay_what_they_are() -> None:
    options: Any = {"model": {"id": "series/naive", "params": {"horizon": 4}}, "coverage": [0.8]}
    member = fc.create_model("compose/conformal", **options).fit(TRAIN)
    known, own = member.info, member.predict(TEST)
    model = fc.create_ensemble([member, fc.create_model("series/naive", horizon=4)])
    before = model.predict(TEST)
    model.fit(PANEL.rows(0, 200))
    assert member.info == known
    assert member.predict(TEST) == own
    again = fc.create_ensemble([member, fc.create_model("series/naive", horizon=4)])
    member.fit(PANEL)
    assert again.info.fitted_until == known.fitted_until
    assert again.predict(TEST) == before


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.0, 1e308), min_size=2, max_size=5).filter(any))
def test_weights_of_any_size_are_made_to_sum_to_one(weights: list[float]) -> None:
    largest = max(weights)
    model: Any = fc.create_ensemble(["series/naive"] * len(weights), weights=np.array(weights))
    expected = np.array([w / largest for w in weights])
    np.testing.assert_allclose(model.weights, expected / expected.sum(), rtol=1e-9)
