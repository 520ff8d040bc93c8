"""Many pairs: Holm's correction, and the table of all Diebold-Mariano tests."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from statsmodels.stats.multitest import multipletests

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.evaluation.significance import compare_losses, diebold_mariano, holm

FEW = settings(max_examples=60, deadline=None)
P_VALUE = st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0])
P_VALUES = st.lists(P_VALUE, max_size=20)


def models(seed: int = 0, n: int = 120) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shared = rng.random(n)
    return {
        "good": shared + 0.3 * rng.random(n),
        "bad": shared + 0.4 + 0.3 * rng.random(n),
        "as good": shared + 0.3 * rng.random(n),
    }


@settings(max_examples=15, deadline=None)  # theirs is slow
@given(p=st.lists(P_VALUE, min_size=1, max_size=20))
def test_holm_equals_statsmodels(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=0, atol=1e-12)


@FEW
@given(p=P_VALUES)
def test_holm_never_lowers_a_p_value_nor_changes_their_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert np.all((adjusted >= p) & (adjusted <= 1))
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)


@FEW
@given(p=P_VALUES, seed=st.integers(0, 100))
def test_holm_does_not_depend_on_the_order_of_tests(p: list[float], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(holm(np.array(p)[order]), holm(p)[order])


@FEW
@given(p=P_VALUES, at=st.lists(st.integers(0, 20), max_size=4))
def test_tests_that_could_not_be_made_stay_nan_and_do_not_count(p: list[float], at: list[int]) -> None:
    where = [min(k, len(p)) for k in at]
    adjusted = holm(np.insert(np.array(p), where, np.nan))
    np.testing.assert_array_equal(adjusted[~np.isnan(adjusted)], holm(p))
    assert np.isnan(adjusted).sum() == len(at)


def test_a_textbook_example_of_holm() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(DataError, match=r"p_values at test 1: lie in \[0, 1\], got 1.5"):
        holm([0.1, 1.5])
    with pytest.raises(ShapeError, match=r"got \(1, 2\)"):
        holm([[0.1, 0.2]])


def test_every_pair_is_tested_and_adjusted() -> None:
    losses = models()
    result = compare_losses(losses, horizon=2)
    assert [(p.model_a, p.model_b) for p in result.pairs] == [
        ("good", "bad"), ("good", "as good"), ("bad", "as good"),
    ]  # fmt: skip
    for pair in result.pairs:
        alone = diebold_mariano(losses[pair.model_a], losses[pair.model_b], horizon=2)
        assert (pair.dm, pair.p, pair.mean_difference) == (
            alone.statistic,
            alone.p_value,
            alone.mean_difference,
        )
    np.testing.assert_array_equal([p.p_holm for p in result.pairs], holm([p.p for p in result.pairs]))
    assert [p.better for p in result.pairs] == ["good", None, "as good"]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_models_only_turns_signs(seed: int) -> None:
    losses = models(seed)
    one = compare_losses(losses)
    other = compare_losses({name: losses[name] for name in reversed(losses)})
    by_pair = {frozenset((p.model_a, p.model_b)): p for p in other.pairs}
    for pair in one.pairs:
        turned = by_pair[frozenset((pair.model_a, pair.model_b))]
        assert (turned.dm, turned.mean_difference) == (-pair.dm, -pair.mean_difference)
        assert (turned.p, turned.p_holm, turned.better) == (pair.p, pair.p_holm, pair.better)


def test_the_level_holds_for_the_adjusted_p_value() -> None:
    strict = compare_losses(models(), size=1e-300)
    assert [p.better for p in strict.pairs] == [None, None, None]


def test_frame_and_json_hold_the_table() -> None:
    losses = models()
    losses["worse by a constant"] = losses["bad"] + 1
    result = compare_losses(losses)
    frame = result.to_frame(backend="pandas")
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "model_a", "model_b", "mean_difference", "dm", "p", "p_holm", "better", "observations",
    ]  # fmt: skip
    assert frame.shape == (6, 8)
    told = json.loads(result.to_json(), parse_constant=pytest.fail)
    assert told["horizon"] == 1
    assert [row["p_holm"] for row in told["pairs"]] == [p.p_holm for p in result.pairs]
    infinite = next(p for p in result.pairs if math.isinf(p.dm))
    assert (infinite.model_a, infinite.better, infinite.p) == ("bad", "bad", 0.0)
    assert [row["dm"] for row in told["pairs"] if row["p"] == 0] == [None]


def test_a_pair_is_compared_where_both_have_losses() -> None:
    losses = models()
    losses["bad"][:20] = np.nan
    losses["as good"][-30:] = np.nan
    assert [p.observations for p in compare_losses(losses).pairs] == [100, 90, 70]


def test_one_model_makes_no_pair() -> None:
    alone = compare_losses({"alone": np.arange(5.0)})
    assert alone.pairs == ()
    assert len(alone.to_frame(backend="pandas")) == 0


def test_bad_input_names_the_models() -> None:
    losses = models()
    with pytest.raises(InvalidInputError, match="losses: hold at least one model"):
        compare_losses({})
    with pytest.raises(ShapeError, match=r"losses\['b'\]: has as many origins as losses\['a'\] \(3\), got 2"):
        compare_losses({"a": np.ones(3), "b": np.ones(2)})
    with pytest.raises(DataError, match=r"losses\['bad'\] at origin 7: is finite, got inf"):
        compare_losses({**losses, "bad": np.where(np.arange(120) == 7, np.inf, 1.0)})
    with pytest.raises(ShapeError, match="losses at 'good' and 'late': have at least 13 origins in common"):
        compare_losses({**losses, "late": np.where(np.arange(120) < 110, np.nan, 1.0)}, horizon=12)
    with pytest.raises(InvalidInputError, match="size: lies between 0 and 1, got 5"):
        compare_losses(losses, size=5)
