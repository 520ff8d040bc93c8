"""Point metrics agree with scikit-learn and with the published formulas, on whatever was observed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn import metrics as sk

from forecast_core.metrics import MetricContext, by_item, evaluate_metrics
from forecast_core.prediction import MixturePrediction, PointPrediction

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=30, deadline=None)


def _case(seed: int, *, offset: float = 0.0) -> tuple[PointPrediction, np.ndarray, np.ndarray]:
    """A point forecast, targets with gaps, and a mask that hides more."""
    rng = np.random.default_rng(seed)
    n, h, t = rng.integers(2, 6, 3)
    values, targets = offset + 3.0 * rng.standard_normal((2, n, h, t))
    targets[rng.random((n, h, t)) < 0.2] = np.nan
    mask = rng.random((n, h, t)) < 0.8
    targets[0, 0], mask[0, 0] = offset + rng.uniform(1.0, 2.0, t), True
    targets[1, 1], mask[1, 1] = offset - rng.uniform(1.0, 2.0, t), True
    ids = tuple(f"item-{k % 2}" for k in range(n))
    names = tuple(f"y{k}" for k in range(t))
    return PointPrediction(values=values, item_ids=ids, target_names=names), targets, mask


def _observed(p: PointPrediction, targets: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen = mask & ~np.isnan(targets)
    return targets[seen], p.values[seen]


@FEW
@given(seed=SEEDS, offset=st.sampled_from([0.0, 1e6]))
def test_point_metrics_agree_with_scikit_learn(seed: int, offset: float) -> None:
    p, targets, mask = _case(seed, offset=offset)
    y, f = _observed(p, targets, mask)
    ours = evaluate_metrics(p, targets, mask, ["mae", "mse", "rmse", "mape", "r2"])
    assert ours["mae"] == pytest.approx(sk.mean_absolute_error(y, f), rel=1e-6)
    assert ours["mse"] == pytest.approx(sk.mean_squared_error(y, f), rel=1e-6)
    assert ours["rmse"] == pytest.approx(sk.root_mean_squared_error(y, f), rel=1e-6)
    assert ours["mape"] == pytest.approx(sk.mean_absolute_percentage_error(y, f), rel=1e-6)
    assert ours["r2"] == pytest.approx(sk.r2_score(y, f), rel=1e-6, abs=1e-6)


@FEW
@given(seed=SEEDS)
def test_relative_metrics_follow_their_formulas(seed: int) -> None:
    p, targets, mask = _case(seed)
    y, f = _observed(p, targets, mask)
    ours = evaluate_metrics(p, targets, mask, ["smape", "wape", "me"])
    assert ours["smape"] == pytest.approx(np.mean(np.abs(f - y) / (np.abs(f) + np.abs(y))), rel=1e-9)
    assert ours["wape"] == pytest.approx(np.abs(f - y).sum() / np.abs(y).sum(), rel=1e-9)
    assert ours["me"] == pytest.approx(np.mean(f - y), rel=1e-9, abs=1e-12)


@FEW
@given(seed=SEEDS, season=st.integers(1, 3))
def test_scaled_metrics_of_an_item_are_its_error_over_the_in_sample_naive_error(
    seed: int, season: int
) -> None:
    rng = np.random.default_rng(seed)
    history = rng.standard_normal((2, 20))
    values, targets = rng.standard_normal((2, 4, 3, 1))
    item = np.array([0, 1, 1, 0])
    p = PointPrediction(values=values, item_ids=tuple(item.tolist()))
    lag = (
        np.diff(history.reshape(2, -1), axis=1) if season == 1 else history[:, season:] - history[:, :-season]
    )
    context = MetricContext(
        scale=lambda m: np.abs(history[:, m:] - history[:, :-m]).mean(1)[item, None],
        squared_scale=lambda m: ((history[:, m:] - history[:, :-m]) ** 2).mean(1)[item, None],
    )
    names = [f"mase@{season}", f"rmsse@{season}"]
    ours = by_item(p, targets, None, names, context=context)
    for k in (0, 1):
        error = (values - targets)[item == k]
        mase = np.abs(error).mean() / np.abs(lag[k]).mean()
        rmsse = np.sqrt((error**2).mean()) / np.sqrt((lag[k] ** 2).mean())
        assert ours[names[0]][k] == pytest.approx(mase, rel=1e-9)
        assert ours[names[1]][k] == pytest.approx(rmsse, rel=1e-9)


def test_mase_is_one_for_a_forecast_as_bad_as_the_naive_one_and_leaves_out_scale_zero() -> None:
    p = PointPrediction(values=np.zeros((3, 2, 1)), item_ids=("a", "b", "flat"))
    targets = np.array([2.0, 5.0, 7.0])[:, None, None] * np.ones((3, 2, 1))
    context = MetricContext(scale=lambda season: np.array([[2.0], [5.0], [0.0]]))
    assert evaluate_metrics(p, targets, None, ["mase"], context=context) == {"mase": 1.0}
    items = by_item(p, targets, None, ["mase"], context=context)["mase"]
    assert items["a"] == items["b"] == 1.0
    assert np.isnan(items["flat"])


def test_mase_without_an_argument_asks_for_the_seasonality_of_the_data() -> None:
    asked: list[int | None] = []

    def scale(season: int | None) -> np.ndarray:
        asked.append(season)
        return np.ones((1, 1))

    p = PointPrediction(values=np.zeros((1, 1, 1)), item_ids=("a",))
    evaluate_metrics(p, np.ones((1, 1, 1)), None, ["mase", "mase@24"], context=MetricContext(scale=scale))
    assert asked == [None, 24]


def test_absolute_errors_score_the_median_and_squared_errors_the_mean() -> None:
    skewed = MixturePrediction(
        weights=np.array([[[[0.9, 0.1]]]]),
        means=np.array([[[[0.0, 100.0]]]]),
        sigmas=np.full((1, 1, 1, 2), 1e-3),
        item_ids=("a",),
    )
    zero = np.zeros((1, 1, 1))
    got = evaluate_metrics(skewed, zero, None, ["mae", "mse", "rmse", "me"])
    assert got["mae"] == pytest.approx(0.0, abs=0.01)
    assert got["me"] == got["rmse"] == pytest.approx(10.0)
    assert got["mse"] == pytest.approx(100.0)


def test_targets_of_zero_do_not_count_in_mape_and_perfect_zeros_are_zero_in_smape() -> None:
    p = PointPrediction(values=np.array([[[5.0], [3.0], [0.0]]]), item_ids=("a",))
    targets = np.array([[[0.0], [2.0], [0.0]]])
    got = evaluate_metrics(p, targets, None, ["mape", "smape", "wape"])
    assert got["mape"] == 0.5
    assert got["smape"] == pytest.approx((1.0 + 0.2 + 0.0) / 3)
    assert got["wape"] == 3.0


def test_metrics_without_a_denominator_are_nan() -> None:
    p = PointPrediction(values=np.ones((2, 2, 1)), item_ids=("a", "b"))
    got = evaluate_metrics(p, np.zeros((2, 2, 1)), None, ["mape", "wape", "r2"])
    assert np.isnan(list(got.values())).all()
    constant = evaluate_metrics(p, np.full((2, 2, 1), 0.1), None, ["r2"])
    assert np.isnan(constant["r2"])
