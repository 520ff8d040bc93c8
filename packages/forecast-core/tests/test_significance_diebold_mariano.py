"""The Diebold-Mariano test: what it is invariant to, other implementations' numbers, and what it refuses."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from statsmodels.regression.linear_model import OLS
from statsmodels.tsa.stattools import diebold_mariano_test

from forecast_core.errors import DataError, InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.evaluation.significance import DieboldMariano, diebold_mariano

SEEDS = st.integers(0, 2**31)
LENGTHS = st.integers(30, 200)
HORIZONS = st.integers(1, 12)
FEW = settings(max_examples=40, deadline=None)


def losses(seed: int, n: int, *, memory: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two models' squared errors, correlated over `memory` origins."""
    noise = np.random.default_rng(seed).standard_normal((2, n + memory - 1))
    errors = [np.convolve(e, np.ones(memory), "valid") for e in noise]
    return errors[0] ** 2, 1.1 * errors[1] ** 2


def by_hand(difference: np.ndarray, horizon: int, weights: np.ndarray) -> float:
    """The corrected statistic written as Harvey, Leybourne & Newbold (1997) have it."""
    n, centred = len(difference), difference - difference.mean()
    gamma = [np.sum(centred[k:] * centred[: n - k]) / n for k in range(horizon)]
    variance = (gamma[0] + 2 * np.dot(weights[1:], gamma[1:])) / n
    factor = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    return float(math.sqrt(factor) * difference.mean() / math.sqrt(variance))


# properties


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS)
def test_swapping_the_models_turns_the_sign(seed: int, n: int, horizon: int) -> None:
    a, b = losses(seed, n, memory=horizon)
    one, other = diebold_mariano(a, b, horizon=horizon), diebold_mariano(b, a, horizon=horizon)
    assert one.statistic == -other.statistic
    assert one.mean_difference == -other.mean_difference
    assert one.p_value == other.p_value
    assert (one.long_run_variance, one.kernel) == (other.long_run_variance, other.kernel)


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS, scale=st.sampled_from([1e-160, 1e-3, 7.0, 1e160]))
def test_the_unit_of_the_loss_does_not_matter(seed: int, n: int, horizon: int, scale: float) -> None:
    a, b = losses(seed, n, memory=horizon)
    one, other = (
        diebold_mariano(a, b, horizon=horizon),
        diebold_mariano(scale * a, scale * b, horizon=horizon),
    )
    assert other.statistic == pytest.approx(one.statistic, rel=1e-9)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
    assert other.mean_difference == pytest.approx(scale * one.mean_difference, rel=1e-9)


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS, shift=st.floats(-1e3, 1e3))
def test_what_both_models_lose_at_an_origin_does_not_matter(
    seed: int, n: int, horizon: int, shift: float
) -> None:
    a, b = losses(seed, n, memory=horizon)
    both = shift * np.random.default_rng(seed + 1).random(n)
    one, other = diebold_mariano(a, b, horizon=horizon), diebold_mariano(a + both, b + both, horizon=horizon)
    assert other.statistic == pytest.approx(one.statistic, rel=1e-6, abs=1e-9)


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS)
def test_one_sided_p_values_complement_each_other(seed: int, n: int, horizon: int) -> None:
    a, b = losses(seed, n, memory=horizon)
    less = diebold_mariano(a, b, horizon=horizon, alternative="less").p_value
    greater = diebold_mariano(a, b, horizon=horizon, alternative="greater").p_value
    two_sided = diebold_mariano(a, b, horizon=horizon).p_value
    assert less + greater == pytest.approx(1.0)
    assert two_sided == pytest.approx(2 * min(less, greater))


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS, before=st.integers(0, 9), after=st.integers(0, 9))
def test_gaps_at_the_ends_do_not_count(seed: int, n: int, horizon: int, before: int, after: int) -> None:
    a, b = losses(seed, n, memory=horizon)
    longer = np.pad(a, (before, after), constant_values=np.nan)
    padded = diebold_mariano(longer, np.pad(b, (before, after)), horizon=horizon)
    result = diebold_mariano(a, b, horizon=horizon)
    assert padded.statistic == pytest.approx(result.statistic, rel=1e-9)
    assert (padded.observations, padded.kernel) == (result.observations, result.kernel)


def test_a_lower_loss_gives_a_negative_statistic() -> None:
    a, b = losses(0, 100)
    result = diebold_mariano(a, b + 1)
    assert result.statistic < 0
    assert result.mean_difference == pytest.approx((a - b - 1).mean())
    assert diebold_mariano(a, b + 1, alternative="less").p_value < 0.01
    assert diebold_mariano(a, b + 1, alternative="greater").p_value > 0.99


def test_origins_keep_their_distance_across_a_gap() -> None:
    a, b = losses(3, 60, memory=3)
    gap = np.arange(60) % 7 == 3
    with_gaps = np.where(gap, np.nan, a)
    difference = a - b
    n = 60 - int(gap.sum())
    mean = difference[~gap].mean()
    total = sum(
        (difference[s] - mean) * (difference[t] - mean)
        for s in range(60)
        for t in range(60)
        if abs(s - t) < 3 and not gap[s] and not gap[t]
    )
    result = diebold_mariano(with_gaps, b, horizon=3)
    assert result.observations == n
    assert result.long_run_variance == pytest.approx(total / n)
    closed_up = diebold_mariano(a[~gap], b[~gap], horizon=3)
    assert closed_up.mean_difference == pytest.approx(result.mean_difference)
    assert abs(closed_up.long_run_variance / result.long_run_variance - 1) > 0.01


# other implementations


@FEW
@given(seed=SEEDS, n=LENGTHS)
def test_equals_statsmodels_at_horizon_1(seed: int, n: int) -> None:
    truth, first, second = np.random.default_rng(seed).standard_normal((3, n))
    theirs = diebold_mariano_test(truth, first, second, lags=0, harvey_adj=True, horizon=1)
    ours = diebold_mariano((truth - first) ** 2, (truth - second) ** 2, horizon=1)
    assert abs(ours.statistic - theirs.statistic) < 1e-8
    assert abs(ours.p_value - theirs.pvalue) < 1e-8


@FEW
@given(seed=SEEDS, n=LENGTHS, horizon=HORIZONS)
def test_equals_a_regression_on_a_constant_with_the_same_kernel(seed: int, n: int, horizon: int) -> None:
    a, b = losses(seed, n, memory=horizon)
    ours = diebold_mariano(a, b, horizon=horizon)
    if ours.kernel == "bartlett":
        theirs = diebold_mariano_test(
            np.zeros(n), a, b, criterion=lambda _, f: f, lags=horizon - 1, harvey_adj=True, horizon=horizon
        ).statistic
    else:
        fit = OLS(a - b, np.ones(n)).fit(
            cov_type="HAC", cov_kwds={"maxlags": horizon - 1, "kernel": "uniform"}
        )
        theirs = math.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n) * fit.tvalues[0]
    assert abs(ours.statistic - theirs) < 1e-8 * max(1.0, abs(theirs))


def test_published_numbers() -> None:
    # tests of the package dieboldmariano 1.1, to four digits
    errors = np.array([[0, 1, 2, 3, 4, 5], [0, 2, 3, 3, 5, 6]])
    squares = diebold_mariano(errors[0] ** 2, errors[1] ** 2)
    assert squares.statistic == pytest.approx(-2.4905, abs=5e-5)
    assert squares.p_value == pytest.approx(0.05513, abs=5e-6)


def test_bartlett_only_where_rectangular_is_not_positive() -> None:
    a, b = losses(1, 300, memory=4)
    assert diebold_mariano(a, b, horizon=4).kernel == "rectangular"
    wave = np.tile([1.0, -1.0], 20) + 0.01 * np.arange(40)
    result = diebold_mariano(wave, np.zeros(40), horizon=2)
    assert result.kernel == "bartlett"
    assert result.long_run_variance > 0
    assert result.statistic == pytest.approx(by_hand(wave, 2, np.array([1.0, 0.5])))
    assert diebold_mariano(a, b, horizon=4).statistic == pytest.approx(by_hand(a - b, 4, np.ones(4)))


@FEW
@given(seed=SEEDS, n=st.integers(2, 30), data=st.data())
def test_every_horizon_below_the_number_of_origins_gives_a_p_value(
    seed: int, n: int, data: st.DataObject
) -> None:
    horizon = data.draw(st.integers(1, n - 1))
    result = diebold_mariano(*losses(seed, n), horizon=horizon)
    assert result.long_run_variance > 0
    assert 0 <= result.p_value <= 1


# degenerate losses, and bad ones


@pytest.mark.parametrize("horizon", [1, 5])
def test_equal_losses_give_no_evidence(horizon: int) -> None:
    a, _ = losses(0, 40)
    for b in (a, a * (1 + 2e-16)):
        result = diebold_mariano(a, b, horizon=horizon)
        assert (result.statistic, result.p_value, result.long_run_variance) == (0.0, 1.0, 0.0)


def test_a_constant_difference_is_beyond_chance() -> None:
    a, _ = losses(0, 40)
    assert diebold_mariano(a, a + 0.1) == DieboldMariano(
        statistic=-math.inf,
        p_value=0.0,
        mean_difference=pytest.approx(-0.1),
        horizon=1,
        observations=40,
        long_run_variance=0.0,
        kernel="rectangular",
    )
    assert diebold_mariano(a, a + 0.1, alternative="greater").p_value == 1.0
    nearly = a + 0.1 + 1e-9 * np.random.default_rng(0).standard_normal(40)
    assert diebold_mariano(a, nearly).p_value < 1e-100


BAD: list[tuple[Any, Any, dict[str, Any], type[Exception], str]] = [
    ([1.0, 2, 3], [1.0, 2], {}, ShapeError, r"loss_b: has as many origins as loss_a \(3\), got 2"),
    ([[1.0, 2]], [1.0, 2], {}, ShapeError, r"loss_a: is one loss an origin.*got \(1, 2\)"),
    ([1.0, np.inf], [1.0, 2], {}, DataError, "loss_a at origin 1: is finite, got inf"),
    ([1.0, 2], [-np.inf, 2], {}, DataError, "loss_b at origin 0: is finite, got -inf"),
    (["x", "y"], [1.0, 2], {}, DataError, "loss_a: holds numbers"),
    ([1.0], [2.0], {}, ShapeError, "at least 2 origins in common for horizon 1, got 1"),
    (
        [1.0, 2, 4],
        [2.0, 1, 1],
        {"horizon": 3},
        ShapeError,
        "at least 4 origins in common for horizon 3, got 3",
    ),
    ([1.0, np.nan, 3], [np.nan, 2.0, 4], {}, ShapeError, "at least 2 origins in common.*got 1"),
    ([1.0, 2], [2.0, 1], {"horizon": 0}, InvalidInputError, "horizon: is a whole number of at least 1"),
    ([1.0, 2], [2.0, 1], {"horizon": 1.5}, InvalidInputError, "horizon: is a whole number of at least 1"),
    ([1.0, 2], [2.0, 1], {"alternative": "smaller"}, InvalidInputError, "alternative: is one of"),
]


@pytest.mark.parametrize(("a", "b", "options", "kind", "message"), BAD)
def test_bad_input_is_named(
    a: Any, b: Any, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        diebold_mariano(a, b, **options)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[evaluate\]'"):
        diebold_mariano(*losses(0, 20))
