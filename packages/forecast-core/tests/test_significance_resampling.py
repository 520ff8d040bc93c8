"""Tests by resampling: the paired block bootstrap and the model confidence set."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS, StationaryBootstrap, optimal_block_length
from hypothesis import given, settings, strategies as st

from forecast_core.errors import DataError, InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.evaluation.significance import block_bootstrap, model_confidence_set

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=25, deadline=None)
NAMES = ("a", "b", "c", "d")


def autoregressive(seed: int, n: int, k: int, *, memory: float = 0.5) -> np.ndarray:
    """Losses [n, k], each correlated over origins."""
    noise = np.random.default_rng(seed).standard_normal((n, k))
    for row in range(1, n):
        noise[row] += memory * noise[row - 1]
    return 5.0 + noise


def table(seed: int = 0, n: int = 150, *, worse: float = 0.5) -> dict[str, np.ndarray]:
    losses = autoregressive(seed, n, len(NAMES))
    return {name: losses[:, k] + worse * k for k, name in enumerate(NAMES)}


# the paired block bootstrap


@FEW
@given(seed=SEEDS, n=st.integers(10, 200), gap=st.floats(-0.5, 0.5))
def test_swapping_the_models_mirrors_the_interval(seed: int, n: int, gap: float) -> None:
    a, b = autoregressive(seed, n, 2).T
    one, other = (block_bootstrap(*pair, n_resamples=300) for pair in ((a, b + gap), (b + gap, a)))
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower))
    assert (one.p_value, one.block_length) == (other.p_value, other.block_length)


@FEW
@given(
    seed=SEEDS,
    gap=st.floats(-1, 1),
    confidence=st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]),
    n_resamples=st.integers(99, 400),
)
def test_the_interval_excludes_zero_where_the_p_value_says_so(
    seed: int, gap: float, confidence: float, n_resamples: int
) -> None:
    a, b = autoregressive(seed, 60, 2).T
    result = block_bootstrap(a, b + gap, n_resamples=n_resamples, confidence=confidence)
    excluded = result.lower > 0 or result.upper < 0
    assert excluded == (result.p_value <= 1 - confidence + 1e-12)
    assert result.lower <= result.mean_difference <= result.upper


@FEW
@given(seed=SEEDS, scale=st.sampled_from([0.25, 64.0]))
def test_the_unit_and_a_common_loss_do_not_matter(seed: int, scale: float) -> None:
    a, b = autoregressive(seed, 80, 2).T
    one = block_bootstrap(a, b, n_resamples=300)
    other = block_bootstrap(scale * a, scale * b, n_resamples=300)
    shifted = block_bootstrap(a + 3, b + 3, n_resamples=300)
    assert (other.lower, other.upper) == (scale * one.lower, scale * one.upper)
    assert other.p_value == one.p_value
    assert (shifted.lower, shifted.upper) == pytest.approx((one.lower, one.upper))


def test_resamples_spread_like_those_of_arch() -> None:
    a, b = autoregressive(1, 200, 2, memory=0.8).T
    theirs = StationaryBootstrap(12, a - b, seed=1).apply(np.mean, 4000)
    half = np.quantile(np.abs(theirs - (a - b).mean()), 0.9)
    ours = block_bootstrap(a, b, block_length=12, n_resamples=4000, confidence=0.9)
    assert ours.upper - ours.mean_difference == pytest.approx(half, rel=0.05)
    independent = block_bootstrap(a, b, block_length=1, n_resamples=4000, confidence=0.9)
    assert ours.upper - ours.lower > 1.5 * (independent.upper - independent.lower)


def test_the_default_block_length_is_that_of_arch() -> None:
    a, b = autoregressive(2, 300, 2, memory=0.8).T
    found = optimal_block_length(a - b)["stationary"].iloc[0]
    assert block_bootstrap(a, b, n_resamples=100).block_length == int(np.ceil(found)) > 3


def test_the_seed_decides_the_resamples() -> None:
    a, b = autoregressive(0, 100, 2).T
    assert block_bootstrap(a, b, seed=5) == block_bootstrap(a, b, seed=5)
    assert block_bootstrap(a, b, seed=5).upper != block_bootstrap(a, b, seed=6).upper


def test_many_origins_are_resampled_in_parts() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 100_000))
    result = block_bootstrap(a, b, block_length=1, n_resamples=100, confidence=0.9)
    expected = 1.645 * np.std(a - b) / np.sqrt(100_000)
    assert result.upper - result.mean_difference == pytest.approx(expected, rel=0.3)


def test_equal_losses_and_constant_differences() -> None:
    a = autoregressive(0, 50, 1)[:, 0]
    same = block_bootstrap(a, a)
    assert (same.mean_difference, same.lower, same.upper, same.p_value) == (0, 0, 0, 1)
    worse = block_bootstrap(a, a + 1)
    assert (worse.lower, worse.upper) == pytest.approx((-1, -1))
    assert worse.p_value == 1 / 2001


def test_origins_without_a_loss_are_left_out() -> None:
    a, b = autoregressive(0, 50, 2).T
    with_gaps, without = a.copy(), np.arange(50) % 5 == 2
    with_gaps[without] = np.nan
    assert block_bootstrap(with_gaps, b) == block_bootstrap(a[~without], b[~without])


# the model confidence set


@FEW
@given(seed=SEEDS)
def test_the_set_is_that_of_arch(seed: int) -> None:
    losses = table(seed, worse=0.15)
    theirs = MCS(np.stack(list(losses.values()), 1), 0.25, reps=200, block_size=6, seed=3)
    theirs.compute()
    ours = model_confidence_set(losses, size=0.25, block_length=6, n_resamples=200, seed=3)
    assert list(ours.p_values.values()) == theirs.pvalues["Pvalue"].sort_index().to_list()
    assert ours.included == tuple(NAMES[k] for k in theirs.included)


@FEW
@given(seed=SEEDS, order=st.permutations(range(4)))
def test_the_order_of_models_does_not_matter(seed: int, order: list[int]) -> None:
    losses = table(seed, n=80, worse=0.2)
    one = model_confidence_set(losses, n_resamples=200)
    other = model_confidence_set({NAMES[k]: losses[NAMES[k]] for k in order}, n_resamples=200)
    assert other.block_length == one.block_length
    assert other.p_values == one.p_values


@FEW
@given(
    seed=SEEDS,
    n=st.integers(8, 30),
    k=st.integers(1, 6),
    values=st.sampled_from([(0, 1), (0, 1, 2), (0.1, 0.7)]),
)
def test_ties_equal_columns_and_constants_do_not_break_it(
    seed: int, n: int, k: int, values: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.choice(values, n) for _ in range(k)]
    losses = {f"model {i}": x for i, x in enumerate([*columns, columns[0], columns[-1] + 2.0])}
    found = model_confidence_set(losses, n_resamples=100)
    assert set(found.included) | set(found.excluded) == set(losses)
    assert not set(found.included) & set(found.excluded)
    assert found.p_values["model 0"] == found.p_values[f"model {k}"]
    assert found.p_values[f"model {k + 1}"] == 0.0
    assert max(found.p_values.values()) == 1.0


def test_the_worst_models_are_excluded() -> None:
    found = model_confidence_set(table(worse=1.0))
    assert found.included == ("a",)
    assert found.excluded == ("b", "c", "d")
    assert found.p_values["a"] == 1.0
    assert max(found.p_values[name] for name in "bcd") <= 0.1


def test_models_of_equal_losses_count_as_one() -> None:
    losses = table(worse=0.1)
    alone = model_confidence_set(losses, block_length=5)
    with_twin = model_confidence_set({**losses, "twin of b": losses["b"].copy()}, block_length=5)
    assert with_twin.p_values == pytest.approx(
        {**alone.p_values, "twin of b": alone.p_values["b"]}, abs=0.003
    )
    assert with_twin.p_values["twin of b"] == with_twin.p_values["b"]
    only = model_confidence_set({"x": losses["a"], "twin": losses["a"]})
    assert (only.included, only.excluded) == (("x", "twin"), ())
    assert model_confidence_set({"alone": losses["a"]}).p_values == {"alone": 1.0}


def test_a_seed_gives_the_same_set_again() -> None:
    losses = table(worse=0.1)
    assert model_confidence_set(losses, seed=2) == model_confidence_set(losses, seed=2)
    assert model_confidence_set(losses, seed=2).p_values != model_confidence_set(losses, seed=3).p_values


def test_origins_missing_from_one_model_are_left_out_for_all() -> None:
    losses, short = table(), {name: values[20:] for name, values in table().items()}
    losses["c"] = np.where(np.arange(150) < 20, np.nan, losses["c"])
    assert model_confidence_set(losses) == model_confidence_set(short)


def test_frame_and_json_hold_the_set() -> None:
    found = model_confidence_set(table(worse=1.0))
    frame = found.to_frame(backend="pandas")
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["model", "p", "included"]
    assert frame["included"].to_list() == [True, False, False, False]
    told = json.loads(found.to_json())
    assert told["included"] == ["a"]
    assert told["p_values"] == dict(found.p_values)
    assert told["observations"] == 150


# bad input of both

A, B = (x.copy() for x in autoregressive(0, 30, 2).T)
BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: block_bootstrap(A, B[:5]), ShapeError, "loss_b: has as many origins as loss_a"),
    (lambda: block_bootstrap(A[:1], B[:1]), ShapeError, "at least 2 origins in common, got 1"),
    (lambda: block_bootstrap(A[:5], B[:5]), ShapeError, "at least 8 origins.*give block_length="),
    (lambda: block_bootstrap(A, B, block_length=31), InvalidInputError, "at most the 30 origins"),
    (lambda: block_bootstrap(A, B, block_length=0), InvalidInputError, "block_length: is a whole number"),
    (lambda: block_bootstrap(A, B, confidence=1.0), InvalidInputError, "confidence: lies between 0 and 1"),
    (lambda: block_bootstrap(A, B, n_resamples=18), InvalidInputError, "n_resamples: is at least 19"),
    (lambda: block_bootstrap(A, B, seed=-1), InvalidInputError, "seed: is a whole number of at least 0"),
    (lambda: model_confidence_set({}), InvalidInputError, "losses: hold at least one model"),
    (lambda: model_confidence_set({"a": A, "b": B[1:]}), ShapeError, r"losses\['b'\]: has as many origins"),
    (
        lambda: model_confidence_set({"a": A, "b": A / 0.0}),
        DataError,
        r"losses\['b'\] at origin 0: is finite",
    ),
    (lambda: model_confidence_set({"a": A, "b": np.full(30, np.nan)}), ShapeError, "at least 2 origins"),
    (lambda: model_confidence_set({"a": A, "b": B}, size=0), InvalidInputError, "size: lies between 0 and 1"),
    (lambda: model_confidence_set({"a": A, "b": B}, n_resamples=9), InvalidInputError, "at least 100"),
]


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input_is_named(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with np.errstate(divide="ignore"), pytest.raises(kind, match=message):
        call()


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch", None)
    for call in (lambda: block_bootstrap(A, B), lambda: model_confidence_set({"a": A, "b": B})):
        with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[evaluate\]'"):
            call()
    assert block_bootstrap(A, B, block_length=3).block_length == 3
