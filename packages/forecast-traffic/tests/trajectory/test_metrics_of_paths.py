"""Metrics of paths against sums by hand, their definitions and each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

import forecast_core as fc
from forecast_core.errors import MetricError
from forecast_core.metrics import evaluate_metrics
from forecast_core.prediction import PathMixturePrediction, PointPrediction, SamplePrediction
from forecast_traffic.trajectory.metrics import TRAJECTORY_METRICS
from forecast_traffic.trajectory.metrics.density import density_levels, log_densities

quick = settings(max_examples=40, deadline=None)


def paths(seed: int = 0, *, n: int = 5, h: int = 4, k: int = 3, **aux: np.ndarray) -> PathMixturePrediction:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, h, 2, 2, k)) * 0.4 + np.eye(2)[:, :, None]
    return PathMixturePrediction(
        item_ids=tuple(range(n)),
        weights=rng.dirichlet(np.ones(k), n),
        means=rng.normal(size=(n, h, 2, k)) * 2,
        covariances=np.einsum("nhijk,nhljk->nhilk", root, root),
        steps=tuple(float(s) for s in range(1, h + 1)),
        aux=aux,
    )


def value(prediction: object, targets: np.ndarray, name: str) -> float:
    return evaluate_metrics(prediction, targets, None, [name])[name]  # type: ignore[arg-type]


def truth(seed: int = 9, n: int = 5, h: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, h, 2)) * 2


def test_all_are_registered_under_their_names() -> None:
    known = fc.metrics.available_metrics()
    assert {metric.name for metric in TRAJECTORY_METRICS} <= set(known)


@given(seed=st.integers(0, 2**16), k=st.integers(1, 4))
@quick
def test_displacements_are_sums_by_hand(seed: int, k: int) -> None:
    p, y = paths(seed, k=4), truth(seed)
    apart = np.linalg.norm(p.mean() - y, axis=-1)
    assert value(p, y, "ade") == pytest.approx(apart.mean())
    assert value(p, y, "fde") == pytest.approx(apart[:, -1].mean())
    assert value(p, y, "ade@2") == pytest.approx(apart[:, 1].mean())
    assert value(p, y, "ade@1-2") == pytest.approx(apart[:, :2].mean())
    each = np.linalg.norm(p.modes()[1][:, :k] - y[:, None], axis=-1)  # [n, k, h]
    average, end = each.mean(-1), each[..., -1]
    row = np.arange(len(y))
    assert value(p, y, f"minade@{k}") == pytest.approx(average.min(1).mean())
    assert value(p, y, f"minfde@{k}") == pytest.approx(end.min(1).mean())
    assert value(p, y, f"minfde_by_ade@{k}") == pytest.approx(end[row, average.argmin(1)].mean())
    assert value(p, y, f"minade_by_fde@{k}") == pytest.approx(average[row, end.argmin(1)].mean())
    weights = p.modes()[0][:, :k] / p.modes()[0][:, :k].sum(1, keepdims=True)
    brier = end.min(1) + (1 - weights[row, end.argmin(1)]) ** 2
    assert value(p, y, f"brier_minfde@{k}") == pytest.approx(brier.mean())
    assert value(p, y, "missrate@1.5") == pytest.approx(
        (np.linalg.norm(p.modes()[1][..., -1, :] - y[:, None, -1], axis=-1).min(1) > 1.5).mean()
    )


@given(seed=st.integers(0, 2**16))
@quick
def test_the_same_path_never_scores_better_than_the_best_of_each(seed: int) -> None:
    p, y = paths(seed), truth(seed + 1)
    assert value(p, y, "minfde@3") <= value(p, y, "minfde_by_ade@3") + 1e-12
    assert value(p, y, "minade@3") <= value(p, y, "minade_by_fde@3") + 1e-12
    assert value(p, y, "minade@3") <= value(p, y, "minade@2") + 1e-12


def test_fewer_modes_than_asked_for_are_drawn() -> None:
    p, y = paths(k=1), truth()
    draws = p.sample(20, seed=0)
    expected = np.linalg.norm(draws - y, axis=-1).mean(-1).min(0).mean()
    assert value(p, y, "minade@20") == pytest.approx(expected)
    samples = SamplePrediction(item_ids=p.item_ids, values=draws, target_names=("x", "y"))
    assert value(samples, y, "minade@20") == pytest.approx(expected)


def test_steps_not_observed_do_not_count() -> None:
    p, y = paths(), truth()
    y[0, 2:], y[1] = np.nan, np.nan
    apart = np.linalg.norm(p.mean() - y, axis=-1)
    assert value(p, y, "ade") == pytest.approx(np.nanmean(apart))
    assert value(p, y, "fde") == pytest.approx(apart[2:, -1].mean())
    each = np.linalg.norm(p.modes()[1] - y[:, None], axis=-1)
    expected = [each[0, :, :2].mean(-1).min(), *each[2:].mean(-1).min(1)]
    assert value(p, y, "minade@3") == pytest.approx(np.mean(expected))
    assert np.isnan(value(p, np.full_like(y, np.nan), "minade_by_fde@3"))
    assert np.isnan(value(p, np.full_like(y, np.nan), "missrate"))


@given(seed=st.integers(0, 2**16))
@quick
def test_density_equals_scipys(seed: int) -> None:
    p, y = paths(seed, n=2, h=2), truth(seed, n=2, h=2)
    ours = log_densities(p, y)
    for n in range(2):
        for h in range(2):
            parts = [
                p.weights[n, k]
                * stats.multivariate_normal(p.means[n, h, :, k], p.covariances[n, h, :, :, k]).pdf(y[n, h])
                for k in range(3)
            ]
            assert ours[n, h] == pytest.approx(np.log(sum(parts)), rel=1e-6, abs=1e-6)
    assert value(p, y, "path_nll") == pytest.approx(-ours.mean())


def test_one_modes_region_is_the_ellipse_of_the_chi_squared_law() -> None:
    p, y = paths(k=1), truth()
    apart = y - p.means[..., 0]
    squared = np.einsum("nhi,nhij,nhj->nh", apart, np.linalg.inv(p.covariances[..., 0]), apart)
    for q in (0.5, 0.9, 0.95):
        expected = (squared <= stats.chi2(2).ppf(q)).mean()
        assert value(p, y, f"ellipse_coverage@{q}") == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 3])
def test_regions_hold_their_share_of_draws(k: int) -> None:
    p = paths(n=40, h=3, k=k)
    inside = [(density_levels(p, draw) <= 0.9).mean() for draw in p.sample(40, seed=5)]
    assert np.mean(inside) == pytest.approx(0.9, abs=0.015)


def test_energy_score_is_proper_and_that_of_its_definition() -> None:
    p = paths(n=60, h=3, k=1)
    y = p.sample(1, seed=77)[0]
    honest = value(p, y, "energy")
    for factor in (0.2, 4.0):
        assert value(p.replace(covariances=p.covariances * factor), y, "energy") > honest
    assert value(p.replace(means=p.means + 1.0), y, "energy") > honest
    # With one sharp mode it is the distance.
    sharp = p.replace(covariances=np.broadcast_to(1e-10 * np.eye(2)[..., None], p.covariances.shape))
    assert value(sharp, y, "energy") == pytest.approx(value(p, y, "ade"), rel=1e-3)
    point = PointPrediction(item_ids=p.item_ids, values=p.mean(), target_names=("x", "y"))
    assert value(point, y, "energy") == pytest.approx(value(p, y, "ade"))


def test_collisions_are_of_one_scene_and_moment() -> None:
    p = paths(n=4, h=3, k=1)
    means = np.zeros((4, 3, 2, 1))
    means[1, :, 0, 0] = [5.0, 0.1, 5.0]  # meets path 0 at step 2
    means[2], means[3, :, 0] = 50.0, 0.05
    y = np.zeros((4, 3, 2))

    def rate(scene: list[int], frame: list[int], name: str = "collision_rate") -> float:
        aux = {"scene": np.array(scene), "frame": np.array(frame)}
        return value(p.replace(means=means, aux=aux), y, name)

    assert rate([0, 0, 0, 0], [7, 7, 7, 7]) == 0.75
    assert rate([0, 0, 0, 1], [7, 7, 7, 7]) == 0.5
    assert rate([0, 0, 0, 0], [7, 8, 7, 9]) == 0.0
    assert rate([0, 0, 0, 1], [7, 7, 7, 7], "collision_rate@0.05") == 0.0


def test_what_a_prediction_cannot_answer_is_said() -> None:
    p, y = paths(), truth()
    point = PointPrediction(item_ids=p.item_ids, values=p.mean(), target_names=("x", "y"))
    for name in ("path_nll", "ellipse_coverage", "brier_minfde", "collision_rate"):
        with pytest.raises(MetricError, match=name):
            value(point, y, name)
    wide = PointPrediction(item_ids=(0,), values=np.zeros((1, 2, 3)), target_names=("a", "b", "c"))
    with pytest.raises(MetricError, match="two coordinates"):
        value(wide, np.zeros((1, 2, 3)), "ade")
    with pytest.raises(MetricError, match="whole number"):
        value(p, y, "minade@0")
