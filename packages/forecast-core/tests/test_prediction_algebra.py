"""The algebra of predictions where it is hard: far scales, ties, narrow gaps, ends, slim ellipses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

import forecast_core as fc
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.strategies import predictions

CONTINUOUS = ["quantile", "mixture", "path-mixture"]
LEVELS = st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=8)
SCALES = st.sampled_from([1e-30, 1e-12, 1.0, 1e12, 1e30])


def mixture(weights: Any, means: Any, sigmas: Any) -> fc.MixturePrediction:
    """One row and step of a Gaussian mixture."""
    w, m, s = (np.asarray(a, dtype=np.float64)[None, None, None] for a in (weights, means, sigmas))
    return fc.MixturePrediction(item_ids=("a",), weights=w, means=m, sigmas=s)


def quantiles(levels: Any, values: Any) -> fc.QuantilePrediction:
    """One row and step of a quantile forecast."""
    return fc.QuantilePrediction(item_ids=("a",), levels=levels, values=np.asarray(values)[None, None, None])


def ellipse(covariance: Any, dtype: Any = np.float64) -> fc.PathMixturePrediction:
    """One row and step of one path."""
    return fc.PathMixturePrediction(
        item_ids=("a",),
        weights=[[1.0]],
        means=np.zeros((1, 1, 2, 1)),
        covariances=np.asarray(covariance, dtype=dtype)[None, None, :, :, None],
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 1), st.floats(-3, 3), SCALES, SCALES), min_size=2, max_size=4), LEVELS
)
def test_mixtures_of_any_scales_invert_and_stay_finite(
    parts: list[tuple[float, float, float, float]], levels: list[float]
) -> None:
    weights = np.array([w for w, *_ in parts])
    means = np.array([m * scale for _, m, scale, _ in parts])
    sigmas = np.maximum([s for *_, s in parts], np.abs(means).max() * 1e-9)  # resolved by float64
    p = mixture(weights / weights.sum(), means, sigmas)
    at = p.quantile(levels)[0, 0, 0]
    reached = np.array([p.cdf(x)[0, 0, 0] for x in at])
    np.testing.assert_allclose(reached, levels, atol=1e-6)
    for answer in (p.mean(), p.variance(), p.sample(5, 0)):
        assert np.isfinite(answer).all()


def test_components_sixty_orders_of_magnitude_apart_are_told_apart() -> None:
    p = mixture([0.5, 0.5], [0.0, 1e30], [1e-30, 1.0])
    np.testing.assert_allclose(p.quantile(0.25)[0, 0, 0], 0.0, atol=1e-40)
    np.testing.assert_allclose(p.quantile(0.1)[0, 0, 0], stats.norm.ppf(0.2) * 1e-30, rtol=1e-9)
    np.testing.assert_allclose(p.quantile(0.75)[0, 0, 0], 1e30)
    p = mixture([2 / 3, 1 / 3], [-1e-30, 0.0], [1e-12, 1e-30])  # the median of one is that of both
    assert p.cdf(p.median()).item() == pytest.approx(0.5)


@pytest.mark.parametrize("rest", [0.0, 1e-300, 1e-17, 1e-12])
def test_components_without_weight_do_not_count(rest: float) -> None:
    levels = np.linspace(0.001, 0.999, 999)
    for means, sigmas in (([0.0, -50.0], [1.0, 0.01]), ([0.0, 50.0], [1.0, 9.0]), ([0.0, 0.0], [1.0, 1e-30])):
        p = mixture([1.0 - rest, rest], means, sigmas)
        np.testing.assert_allclose(p.quantile(levels)[0, 0, 0], stats.norm.ppf(levels), atol=1e-8)


@settings(max_examples=100, deadline=None)
@given(predictions(kinds=["sample", *CONTINUOUS]), LEVELS)
def test_quantiles_rise_with_their_level_in_whatever_order_asked(
    p: fc.ForecastPrediction, levels: list[float]
) -> None:
    got = p.quantile(levels)
    assert (np.diff(got[..., np.argsort(levels, kind="stable")], axis=-1) >= 0).all()
    assert p.quantile([]).shape == (*p.shape, 0)
    assert p.quantile(np.array(levels[0])).shape == p.shape
    lower, upper = p.interval(0.6)
    tail = (1 - 0.6) / 2
    np.testing.assert_array_equal(np.stack([lower, upper], -1), p.quantile([tail, 1 - tail]))


@settings(max_examples=80, deadline=None)
@given(predictions(kinds=["sample", *CONTINUOUS]), st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
def test_cdf_rises_from_zero_to_one(p: fc.ForecastPrediction, a: float, b: float) -> None:
    low, high = p.cdf(min(a, b)), p.cdf(max(a, b))
    assert ((low >= 0) & (high <= 1 + 1e-12)).all()
    assert (low <= high + 1e-15).all()
    np.testing.assert_allclose(p.cdf(np.inf), 1.0)
    np.testing.assert_array_equal(p.cdf(-np.inf), 0.0)
    assert np.isnan(p.cdf(np.nan)).all()
    one = np.full(p.shape, a)
    np.testing.assert_array_equal(p.cdf(one), p.cdf(a))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 99), min_size=2, max_size=6, unique=True).map(sorted),
    st.lists(st.floats(-100, 100), min_size=6, max_size=6).map(sorted),
    st.sampled_from([1e-30, 1.0, 1e30]),
)
def test_moments_of_quantile_forecasts_match_numeric_integration(
    percent: list[int], values: list[float], scale: float
) -> None:
    levels = np.array(percent) / 100
    p = quantiles(levels, np.array(values[: len(levels)]) * scale)

    # Gauss-Laguerre in the tails, where the level falls as exp(-s), and Gauss-Legendre between the knots
    s, w = np.polynomial.laguerre.laggauss(8)
    x, v = np.polynomial.legendre.leggauss(3)
    middle, half = (levels[1:] + levels[:-1]) / 2, np.diff(levels) / 2
    at = [levels[0] * np.exp(-s), 1 - (1 - levels[-1]) * np.exp(-s), (middle + half * x[:, None]).ravel()]
    mass = np.concatenate([levels[0] * w, (1 - levels[-1]) * w, (half * v[:, None]).ravel()])
    q = p.quantile(np.concatenate(at))[0, 0, 0] / scale
    size = np.abs(values).max() + 1e-9
    assert mass.sum() == pytest.approx(1.0)
    assert p.mean()[0, 0, 0] / scale == pytest.approx(mass @ q, abs=1e-6 * size)
    spread = mass @ (q - mass @ q) ** 2
    assert p.variance()[0, 0, 0] / scale**2 == pytest.approx(spread, abs=1e-5 * max(spread, size**2))


def test_tails_without_width_hold_all_their_mass_at_the_outermost_quantile() -> None:
    p = quantiles([0.1, 0.5, 0.9], [1.0, 1.0, 1.0])
    assert p.quantile([0.01, 0.5, 0.99]).tolist() == [[[[1.0, 1.0, 1.0]]]]
    assert [p.cdf(x).item() for x in (0.999, 1.0, 1.001)] == [0.0, 1.0, 1.0]
    assert p.mean().item() == 1.0
    assert p.variance().item() == 0.0
    p = quantiles([0.1, 0.5, 0.9], [0.0, 1.0, 1.0])
    assert p.cdf(1.0).item() == 1.0
    assert 0 < p.cdf(-0.5).item() < 0.1


@settings(max_examples=100, deadline=None)
@given(predictions(kinds=CONTINUOUS), st.floats(0.001, 0.999))
def test_cdf_is_at_least_the_level_at_its_quantile(p: fc.ForecastPrediction, level: float) -> None:
    assert (p.cdf(p.quantile(level)) >= level - 1e-9).all()


@pytest.mark.parametrize(
    "levels", [[1e-20, 2e-20], [1e-20, 0.5], [0.1, np.nextafter(0.1, 1)], [0.5, 1 - 1e-16], [1e-300, 1e-299]]
)
def test_levels_next_to_each_other_or_to_an_end_stay_finite(levels: list[float]) -> None:
    p = quantiles(levels, [0.0, 1.0])
    for answer in (p.quantile([0.01, 0.5, 0.99]), p.quantile(levels), p.cdf(0.5), p.sample(9, 0)):
        assert np.isfinite(answer).all()
    np.testing.assert_array_equal(p.quantile(levels)[0, 0, 0], [0.0, 1.0])


@settings(max_examples=40, deadline=None)
@given(predictions(kinds=["quantile"]))
def test_asked_for_its_own_levels_a_quantile_forecast_gives_its_values(p: fc.QuantilePrediction) -> None:
    np.testing.assert_array_equal(p.quantile(p.levels), p.values.astype(np.float64))


def test_float32_extremes_are_compared_without_overflow() -> None:
    values = np.array([-3e38, 3e38], dtype=np.float32)
    p = fc.QuantilePrediction(item_ids=("a",), levels=[0.1, 0.9], values=values[None, None, None])
    assert abs(p.mean().item()) < 1e-9 * 3e38
    with pytest.raises(InvalidInputError, match="do not fall"):
        quantiles([0.1, 0.9], values[::-1])


@pytest.mark.parametrize("coverage", [0.0, 1.0, np.nextafter(1.0, 0.0), -0.5, np.nan])
def test_coverage_lies_strictly_between_zero_and_one(coverage: float) -> None:
    for p in (mixture([1.0], [0.0], [1.0]), quantiles([0.1, 0.9], [0.0, 1.0])):
        with pytest.raises(InvalidInputError, match="coverage"):
            p.interval(coverage)
        lower, upper = p.interval(1 - 1e-12)
        assert np.isfinite([lower, upper]).all()


@pytest.mark.parametrize("levels", ["half", [0.5, "x"], [[0.5]], [np.nan], 0, 1, {}])
def test_levels_are_numbers_between_zero_and_one(levels: Any) -> None:
    with pytest.raises(InvalidInputError, match="levels"):
        mixture([1.0], [0.0], [1.0]).quantile(levels)


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (1.5, 0), (True, 0), (1, -1), (1, None), (1, "x")])
def test_draws_need_a_count_and_a_seed(n: Any, seed: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"n: |seed: "):
        mixture([1.0], [0.0], [1.0]).sample(n, seed)
    assert mixture([1.0], [0.0], [1.0]).sample(np.int64(3), np.uint8(1)).shape == (3, 1, 1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15, 1e30])
@pytest.mark.parametrize("correlation", [-0.999, 0.0, 0.7, 0.9999])
def test_ellipses_of_any_size_and_slimness_are_drawn_as_they_are(
    dtype: Any, scale: float, correlation: float
) -> None:
    p = ellipse(scale * np.array([[4.0, 2 * correlation], [2 * correlation, 1.0]]), dtype)
    draws = p.sample(4000, seed=0)[:, 0, 0] / np.sqrt(scale)  # [s, 2]
    covariance = np.cov(draws.T)
    np.testing.assert_allclose(np.diag(covariance), [4, 1], rtol=0.15)
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(correlation, abs=0.05)
    np.testing.assert_allclose(p.variance()[0, 0] / scale, [4, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("covariance", "says"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], "positive definite"),
        ([[1.0, 2.0], [2.0, 1.0]], "positive definite"),
        ([[-1.0, 0.0], [0.0, 1.0]], "positive definite, got a variance of -1"),
        ([[1e-30, 2e-30], [2e-30, 1e-30]], "positive definite"),
        ([[1.0, 0.5], [0.1, 1.0]], "symmetric"),
        ([[1e-30, 0.5e-30], [0.0, 1e-30]], "symmetric"),
        ([[1.0, np.nan], [np.nan, 1.0]], "finite"),
    ],
)
def test_what_is_no_covariance_is_refused(covariance: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        ellipse(covariance)


def test_rounding_in_a_large_covariance_is_not_asymmetry() -> None:
    covariance = np.array([[1e6, 0.003], [0.001, 1e6]])
    assert np.isfinite(ellipse(covariance).sample(3, 0)).all()


def test_uncertainty_is_equal_by_content_and_checked() -> None:
    mean, given_fields = np.zeros((1, 2, 1)), {"coverage": 0.9, "kind": "total"}
    u = fc.Uncertainty(mean=mean, variance=mean + 1, lower=mean - 1, upper=mean + 1, **given_fields)
    assert u == fc.Uncertainty(mean=mean, variance=mean + 1, lower=mean - 1, upper=mean + 1, **given_fields)
    assert u != fc.Uncertainty(mean=mean, variance=mean + 2, lower=mean - 1, upper=mean + 1, **given_fields)
    with pytest.raises(ShapeError, match="variance"):
        fc.Uncertainty(mean=mean, variance=mean[0], lower=mean, upper=mean, **given_fields)
    with pytest.raises(InvalidInputError, match="variance"):
        fc.Uncertainty(mean=mean, variance=mean - 1, lower=mean, upper=mean, **given_fields)
    with pytest.raises(InvalidInputError, match="lower"):
        fc.Uncertainty(mean=mean, variance=mean, lower=mean + 1, upper=mean, **given_fields)
    with pytest.raises(InvalidInputError, match=r"Uncertainty\.coverage"):
        fc.Uncertainty(mean=mean, variance=mean, lower=mean, upper=mean, coverage=1.0, kind="total")


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, float("nan"), 1 - 1e-17, "x", None, [0.5, 0.9], 1j])
def test_coverage_is_one_number_between_0_and_1(coverage: Any) -> None:
    with pytest.raises(InvalidInputError, match="coverage: lies strictly between 0 and 1"):
        quantiles([0.1, 0.9], [0.0, 1.0]).interval(coverage)
