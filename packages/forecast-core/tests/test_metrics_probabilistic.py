"""Proper scores and calibration agree with scoringrules, scikit-learn and numeric integration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import scoringrules
from hypothesis import given, settings, strategies as st
from sklearn.metrics import mean_pinball_loss

from forecast_core.errors import CapabilityError, MetricError
from forecast_core.metrics import blocks, crps_values, evaluate_metrics, log_density, pit_values
from forecast_core.prediction import (
    ClassPrediction,
    ForecastPrediction,
    MixturePrediction,
    PathMixturePrediction,
    PointPrediction,
    QuantilePrediction,
    SamplePrediction,
)

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=25, deadline=None)
N, H, T = 3, 4, 2
IDS, NAMES = ("a", "b", "c"), ("u", "v")


def _targets(seed: int, *, spread: float = 3.0) -> np.ndarray:
    return spread * np.random.default_rng(seed + 1).standard_normal((N, H, T))


def _mixture(seed: int, *, k: int = 3) -> MixturePrediction:
    rng = np.random.default_rng(seed)
    return MixturePrediction(
        weights=rng.dirichlet(np.ones(k), (N, 1, T)),
        means=3.0 * rng.standard_normal((N, H, T, k)),
        sigmas=rng.lognormal(0.0, 1.0, (N, H, T, k)),
        item_ids=IDS,
        target_names=NAMES,
    )


def _quantiles(seed: int, *, ties: bool = False) -> QuantilePrediction:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 8))
    levels = np.sort(rng.uniform(0.02, 0.98, count)) + 0.001 * np.arange(count) / count
    values = np.sort(3.0 * rng.standard_normal((N, H, T, count)), -1)
    if ties:
        values = np.round(values)
    return QuantilePrediction(levels=levels, values=values, item_ids=IDS, target_names=NAMES)


def _samples(seed: int, *, count: int = 7, ties: bool = False) -> SamplePrediction:
    values = 3.0 * np.random.default_rng(seed).standard_normal((count, N, H, T))
    values = np.round(values) if ties else values
    return SamplePrediction(values=values, item_ids=IDS, target_names=NAMES)


def _paths(seed: int, *, k: int = 2) -> PathMixturePrediction:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((N, H, k, 2, 2))
    covariances = np.moveaxis(root @ root.swapaxes(-1, -2) + np.eye(2), 2, -1)
    means = rng.standard_normal((N, H, 2, k))
    return PathMixturePrediction(
        weights=rng.dirichlet(np.ones(k), N), means=means, covariances=covariances, item_ids=IDS
    )


def _coordinates(p: PathMixturePrediction) -> MixturePrediction:
    sigmas = np.sqrt(np.stack([p.covariances[:, :, 0, 0], p.covariances[:, :, 1, 1]], 2))
    return MixturePrediction(
        weights=p.weights[:, None, None], means=p.means, sigmas=sigmas, item_ids=IDS, target_names=("x", "y")
    )


def _integral(levels: np.ndarray, values: np.ndarray, y: float) -> float:
    """CRPS by its definition: the integral of (F(x) - 1[x >= y])^2, piece by piece between kinks."""

    def cdf(x: np.ndarray) -> np.ndarray:
        rows = np.broadcast_to(values, (len(x), 1, 1, len(values)))
        p = QuantilePrediction(levels=levels, values=rows, item_ids=tuple(range(len(x))))
        return p.cdf(x[:, None, None])[:, 0, 0]

    one = QuantilePrediction(levels=levels, values=values[None, None, None], item_ids=("a",))
    far = 10.0 ** -np.arange(2.0, 15.0)
    tails = one.quantile(np.concatenate([levels[0] * far, 1.0 - (1.0 - levels[-1]) * far]))[0, 0, 0]
    edges = np.unique([y, *values, *tails])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    low, half = edges[:-1, None], np.diff(edges)[:, None] / 2.0
    x = low + half * (nodes + 1.0)  # [piece, node]
    square = (cdf(x.ravel()).reshape(x.shape) - (x >= y)) ** 2
    return float((half * weights * square).sum())


@FEW
@given(seed=SEEDS, k=st.integers(1, 5))
def test_crps_and_nll_of_mixtures_agree_with_scoringrules_and_scipy(seed: int, k: int) -> None:
    p, y = _mixture(seed, k=k), _targets(seed, spread=10.0)
    weights = np.broadcast_to(p.weights, p.means.shape)
    theirs = scoringrules.crps_mixnorm(y, p.means, p.sigmas, weights)
    np.testing.assert_allclose(crps_values(p, y), theirs, rtol=1e-6, atol=1e-9)
    density = (weights * scipy.stats.norm.pdf(y[..., None], p.means, p.sigmas)).sum(-1)
    near = density > 1e-200
    np.testing.assert_allclose(log_density(p, y)[near], np.log(density[near]), rtol=1e-9, atol=1e-9)
    got = evaluate_metrics(p, y, None, ["crps", "nll"])
    assert got["crps"] == pytest.approx(theirs.mean(), rel=1e-6)
    assert got["nll"] == pytest.approx(-log_density(p, y).mean(), rel=1e-9)


def test_crps_of_a_standard_normal_at_its_mean_is_the_published_number() -> None:
    one = np.ones((1, 1, 1, 1))
    p = MixturePrediction(weights=one, means=0.0 * one, sigmas=one, item_ids=("a",))
    got = evaluate_metrics(p, np.zeros((1, 1, 1)), None, ["crps", "nll"])
    assert got["crps"] == pytest.approx((np.sqrt(2.0) - 1.0) / np.sqrt(np.pi), rel=1e-12)
    assert got["nll"] == pytest.approx(0.5 * np.log(2.0 * np.pi), rel=1e-12)


def test_scores_of_mixtures_stay_finite_far_out_and_with_weights_of_zero() -> None:
    p = MixturePrediction(
        weights=np.array([[[[1.0, 0.0]]]]),
        means=np.array([[[[1e6, 0.0]]]]),
        sigmas=np.array([[[[1e-3, 1.0]]]]),
        item_ids=("a",),
    )
    y = np.full((1, 1, 1), 1e6 + 5.0)
    assert crps_values(p, y)[0, 0, 0] == pytest.approx(5.0 - 1e-3 / np.sqrt(np.pi), rel=1e-9)
    assert log_density(p, y)[0, 0, 0] == pytest.approx(
        -0.5 * 5e3**2 - np.log(1e-3 * np.sqrt(2 * np.pi)), rel=1e-9
    )


@pytest.mark.parametrize("kind", [_mixture, _quantiles, _samples, _paths])
def test_scores_do_not_depend_on_the_blocks_they_are_computed_in(
    kind: Callable[[int], ForecastPrediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    p, y = kind(0), _targets(0)
    whole = crps_values(p, y)
    monkeypatch.setattr(blocks, "_ELEMENTS", 1)
    assert [b.stop for b in blocks.row_blocks((N, H))] == [1, 2, 3]
    np.testing.assert_array_equal(crps_values(p, y), whole)


@FEW
@given(seed=SEEDS)
def test_path_mixtures_are_scored_a_coordinate_at_a_time(seed: int) -> None:
    p, y = _paths(seed), _targets(seed)
    names = ["mae", "rmse", "crps", "nll", "coverage@0.5", "pit"]
    ours = evaluate_metrics(p, y, None, names)
    theirs = evaluate_metrics(_coordinates(p), y, None, names)
    assert ours == pytest.approx(theirs, rel=1e-9)


@FEW
@given(seed=SEEDS, count=st.integers(1, 9), ties=st.booleans())
def test_crps_of_samples_agrees_with_scoringrules(seed: int, count: int, ties: bool) -> None:
    p, y = _samples(seed, count=count, ties=ties), _targets(seed)
    theirs = scoringrules.crps_ensemble(y, np.moveaxis(p.values, 0, -1), estimator="nrg")
    np.testing.assert_allclose(crps_values(p, y), theirs, rtol=1e-6, atol=1e-9)
    shifted = p.replace(values=p.values + 1e6)
    np.testing.assert_allclose(crps_values(shifted, y + 1e6), theirs, rtol=1e-6, atol=1e-6)


@FEW
@given(seed=SEEDS, ties=st.booleans(), spread=st.sampled_from([1.0, 8.0]))
def test_crps_of_quantiles_is_the_integral_of_its_whole_distribution(
    seed: int, ties: bool, spread: float
) -> None:
    p, y = _quantiles(seed, ties=ties), _targets(seed, spread=spread)
    if ties:
        y[0] = np.round(y[0])
    ours = crps_values(p, y)
    for at in ((0, 1, 0), (1, 2, 1), (2, 3, 0)):
        theirs = _integral(p.levels, p.values[at], float(y[at]))
        assert ours[at] == pytest.approx(theirs, rel=1e-6, abs=1e-9)


def test_crps_of_many_gaussian_quantiles_comes_close_to_the_gaussian() -> None:
    levels = np.linspace(0.005, 0.995, 199)
    values = scipy.stats.norm.ppf(levels)[None, None, None]
    p = QuantilePrediction(levels=levels, values=values, item_ids=("a",))
    for y in (-4.0, 0.3, 2.0):
        theirs = scoringrules.crps_normal(y, 0.0, 1.0)
        assert crps_values(p, np.full((1, 1, 1), y))[0, 0, 0] == pytest.approx(theirs, abs=2e-3)


@FEW
@given(seed=SEEDS)
def test_a_certain_forecast_has_its_absolute_error_as_crps_in_every_kind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, y = rng.standard_normal((2, N, H, T))
    shared = {"item_ids": IDS, "target_names": NAMES}
    point = PointPrediction(values=values, **shared)
    sample = SamplePrediction(values=np.stack([values] * 3), **shared)
    quantile = QuantilePrediction(
        levels=np.array([0.1, 0.5, 0.9]), values=np.stack([values] * 3, -1), **shared
    )
    expected = np.abs(values - y)
    for p in (point, sample, quantile):
        np.testing.assert_allclose(crps_values(p, y), expected, rtol=1e-9, atol=1e-12)


class _Uniform(ForecastPrediction):
    """A kind that answers quantiles and cdf only: uniform between two ends."""

    kind = "test-metrics-uniform"
    low: float
    high: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.item_ids), 2, 1

    def mean(self) -> np.ndarray:
        return np.full(self.shape, 0.5 * (self.low + self.high))

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.low + (self.high - self.low) * levels, (*self.shape, len(levels)))

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)


def test_a_kind_unknown_to_core_is_scored_by_its_quantiles() -> None:
    p = _Uniform(low=0.0, high=2.0, item_ids=("a",))
    y = np.array([[[0.5], [3.0]]])
    theirs = scoringrules.crps_uniform(y, 0.0, 2.0)
    np.testing.assert_allclose(crps_values(p, y), theirs, atol=1e-4)
    np.testing.assert_allclose(pit_values(p, y), [[[0.25], [1.0]]])
    got = evaluate_metrics(p, y, None, ["mae", "coverage@0.5", "wql"])
    assert got["mae"] == 1.25
    assert got["coverage@0.5"] == 0.5  # 0.5 is the lower end itself


@FEW
@given(seed=SEEDS, level=st.floats(0.02, 0.98))
def test_pinball_agrees_with_scikit_learn_and_wql_with_its_formula(seed: int, level: float) -> None:
    p, y = _mixture(seed), _targets(seed)
    got = evaluate_metrics(p, y, None, [f"pinball@{level!r}", "wql", "pinball", "mae"])
    theirs = mean_pinball_loss(y.ravel(), p.quantile(level).ravel(), alpha=level)
    assert got[f"pinball@{level!r}"] == pytest.approx(theirs, rel=1e-6)
    assert got["pinball"] == pytest.approx(0.5 * got["mae"], rel=1e-12)
    losses = [mean_pinball_loss(y.ravel(), p.quantile(k / 10).ravel(), alpha=k / 10) for k in range(1, 10)]
    assert got["wql"] == pytest.approx(2.0 * np.mean(losses) / np.abs(y).mean(), rel=1e-6)


@FEW
@given(seed=SEEDS, coverage=st.floats(0.05, 0.95))
def test_interval_metrics_agree_with_scoringrules(seed: int, coverage: float) -> None:
    p, y = _quantiles(seed), _targets(seed)
    names = [f"{name}@{coverage!r}" for name in ("interval_score", "coverage", "width")]
    score, share, width = evaluate_metrics(p, y, None, names).values()
    lower, upper = p.interval(coverage)
    theirs = scoringrules.interval_score(y, lower, upper, 1.0 - coverage)
    assert score == pytest.approx(theirs.mean(), rel=1e-6)
    assert share == pytest.approx(((lower <= y) & (y <= upper)).mean(), rel=1e-12)
    assert width == pytest.approx((upper - lower).mean(), rel=1e-12)


@pytest.mark.parametrize("kind", ["mixture", "sample", "quantile"])
def test_pit_of_targets_drawn_from_the_forecast_is_uniform(kind: str) -> None:
    rng = np.random.default_rng(0)
    rows = 4000
    centre = rng.standard_normal((rows, 1, 1))
    y = centre + 2.0 * rng.standard_normal((rows, 1, 1))
    ids = tuple(range(rows))
    p: ForecastPrediction
    if kind == "mixture":
        one = np.ones((rows, 1, 1, 1))
        p = MixturePrediction(weights=one, means=centre[..., None], sigmas=2.0 * one, item_ids=ids)
    elif kind == "sample":
        values = centre + 2.0 * rng.standard_normal((19, rows, 1, 1))
        p = SamplePrediction(values=values, item_ids=ids)
    else:
        levels = np.linspace(0.05, 0.95, 19)
        p = QuantilePrediction(
            levels=levels, values=centre[..., None] + 2.0 * scipy.stats.norm.ppf(levels), item_ids=ids
        )
    pit = pit_values(p, y).ravel()
    assert scipy.stats.kstest(pit, "uniform").statistic < 0.05
    good = evaluate_metrics(p, y, None, ["pit", "calibration_error"])
    assert max(good.values()) < 0.03
    biased = evaluate_metrics(p, y + 2.0, None, ["pit", "calibration_error"])
    assert biased["pit"] > 0.2
    narrow = evaluate_metrics(p, centre + 0.2 * (y - centre), None, ["pit", "calibration_error"])
    assert narrow["calibration_error"] > 0.3


def test_calibration_metrics_are_mean_deviations_of_shares_from_levels() -> None:
    one = np.ones((4, 1, 1, 1))
    p = MixturePrediction(weights=one, means=0.0 * one, sigmas=one, item_ids=(0, 1, 2, 3))
    pit = np.array([0.12, 0.33, 0.34, 0.81])
    y = scipy.stats.norm.ppf(pit)[:, None, None]
    np.testing.assert_allclose(pit_values(p, y).ravel(), pit)
    levels = np.arange(1, 20) / 20
    got = evaluate_metrics(p, y, None, ["pit", "calibration_error"])
    assert got["pit"] == pytest.approx(np.mean([abs(np.mean(pit <= u) - u) for u in levels]))
    within = np.abs(2 * pit - 1)
    assert got["calibration_error"] == pytest.approx(np.mean([abs(np.mean(within <= c) - c) for c in levels]))


def test_pit_of_draws_and_of_atoms_is_a_mid_rank() -> None:
    draws = SamplePrediction(values=np.array([1.0, 2.0, 2.0])[:, None, None, None], item_ids=("a",))
    at = {0.0: 0.125, 1.5: 0.375, 2.0: 0.625, 3.0: 0.875}
    for y, expected in at.items():
        assert pit_values(draws, np.full((1, 1, 1), y))[0, 0, 0] == expected
    atom = QuantilePrediction(
        levels=np.array([0.1, 0.4, 0.8, 0.9]), values=np.array([[[[0.0, 1.0, 1.0, 2.0]]]]), item_ids=("a",)
    )
    assert pit_values(atom, np.ones((1, 1, 1)))[0, 0, 0] == pytest.approx(0.6)
    assert np.isnan(pit_values(atom, np.ones((1, 1, 1)), np.zeros((1, 1, 1), dtype=bool))).all()


def test_what_a_prediction_cannot_answer_is_an_error_or_a_dash() -> None:
    p = PointPrediction(values=np.ones((1, 1, 1)), item_ids=("a",))
    y = np.zeros((1, 1, 1))
    for name in (
        "coverage@0.9",
        "pinball@0.1",
        "wql",
        "width",
        "interval_score",
        "pit",
        "calibration_error",
        "nll",
    ):
        with pytest.raises(MetricError, match=name):
            evaluate_metrics(p, y, None, ["mae", name])
        got = evaluate_metrics(p, y, None, ["mae", name, "crps"], missing="nan")
        assert got["mae"] == got["crps"] == 1.0
        assert np.isnan(got[name])
    for kind in (_samples(0), _quantiles(0)):
        with pytest.raises(MetricError, match="density"):
            evaluate_metrics(kind, _targets(0), None, ["nll"])


def test_class_predictions_have_no_distribution_over_numbers() -> None:
    p = ClassPrediction(probabilities=np.array([[0.5, 0.5]]), classes=("no", "yes"), item_ids=("a",))
    for function in (crps_values, log_density, pit_values):
        with pytest.raises(CapabilityError, match="class"):
            function(p, np.zeros(1))
