"""Simulations: tests reject true hypotheses as often as they say, and false ones more often."""

from __future__ import annotations

import numpy as np
import pytest

from forecast_core.evaluation.significance import (
    block_bootstrap,
    compare_losses,
    diebold_mariano,
    model_confidence_set,
)


def moving_average(rng: np.random.Generator, n: int, order: int, decay: float) -> np.ndarray:
    """A series of mean 0 correlated up to lag `order`, as errors of order + 1 steps are."""
    return np.convolve(rng.standard_normal(n + order), decay ** np.arange(order + 1), "valid")


def rejections(
    pairs: int, *, n: int, horizon: int, decay: float, effect: float = 0.0, seed: int = 0
) -> float:
    """The share of pairs told apart at 5 %; effect: mean difference in standard errors of the mean."""
    rng = np.random.default_rng(seed)
    shift = effect * np.sum(decay ** np.arange(horizon)) / np.sqrt(n)
    common = rng.random(n)
    p_values = [
        diebold_mariano(
            common + shift + moving_average(rng, n, horizon - 1, decay), common, horizon=horizon
        ).p_value
        for _ in range(pairs)
    ]
    return float(np.mean(np.array(p_values) <= 0.05))


def test_size_is_5_percent_with_12_step_differences() -> None:
    size = rejections(2000, n=1000, horizon=12, decay=0.9)
    print(f"size at 5 %, 2000 differences MA(11): {size:.4f}")
    assert 0.035 <= size <= 0.065


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0])
def test_size_is_5_percent_however_errors_decay(decay: float) -> None:
    size = rejections(20_000, n=1000, horizon=12, decay=decay)  # 2000 would tell it to a percent only
    print(f"size at 5 %, differences MA(11), decay {decay}: {size:.4f}")
    assert 0.035 <= size <= 0.065


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.5, 0.9, 1.0])
def test_size_is_5_percent_with_squares_of_12_step_errors(decay: float) -> None:
    rng = np.random.default_rng(5)
    squares = (np.stack([moving_average(rng, 1000, 11, decay) for _ in "ab"]) ** 2 for _ in range(20_000))
    size = np.mean([diebold_mariano(a, b, horizon=12).p_value <= 0.05 for a, b in squares])
    print(f"size at 5 %, squares of MA(11), decay {decay}: {size:.4f}")
    assert 0.035 <= size <= 0.065


def test_ignoring_the_overlap_rejects_far_too_often() -> None:
    rng = np.random.default_rng(0)
    errors = [moving_average(rng, 1000, 11, 0.9) for _ in range(300)]
    assert np.mean([diebold_mariano(e, np.zeros(1000), horizon=1).p_value <= 0.05 for e in errors]) > 0.3


def test_power_rises_with_the_effect() -> None:
    effects = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    power = [rejections(1000, n=1000, horizon=12, decay=0.9, effect=effect) for effect in effects]
    print("power at", dict(zip(effects, power, strict=True)))
    assert np.all(np.diff(power) > 0)
    assert power[-1] > 0.99


@pytest.mark.slow
def test_size_is_5_percent_with_gaps() -> None:
    rng, p_values = np.random.default_rng(1), []
    for _ in range(10_000):
        loss = moving_average(rng, 1000, 11, 0.9)
        loss[rng.random(1000) < 0.2] = np.nan
        p_values.append(diebold_mariano(loss, np.zeros(1000), horizon=12).p_value)
    size = np.mean(np.array(p_values) <= 0.05)
    print(f"size at 5 %, MA(11), a fifth missing: {size:.4f}")
    assert 0.035 <= size <= 0.065


@pytest.mark.slow
def test_a_family_of_true_hypotheses_is_rarely_rejected_anywhere() -> None:
    rng, any_named = np.random.default_rng(2), 0
    for _ in range(1000):
        losses = {name: moving_average(rng, 400, 3, 0.9) for name in "abcde"}
        any_named += any(pair.better is not None for pair in compare_losses(losses, horizon=4).pairs)
    print(f"any of 10 pairs named at 5 %: {any_named / 1000:.4f}")
    assert any_named / 1000 <= 0.065


@pytest.mark.slow
def test_the_bootstrap_interval_covers_the_true_difference() -> None:
    rng, covered = np.random.default_rng(3), 0
    for _ in range(500):
        loss = 0.3 + moving_average(rng, 400, 3, 0.9)
        result = block_bootstrap(loss, np.zeros(400), n_resamples=500)
        covered += result.lower <= 0.3 <= result.upper
    print(f"coverage of the 95 % interval: {covered / 500:.4f}")
    assert 0.90 <= covered / 500 <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("rivals", [0.0, 0.1])
def test_the_confidence_set_keeps_the_best_model(rivals: float) -> None:
    rng, kept, all_kept, sizes = np.random.default_rng(4), 0, 0, 0
    for _ in range(300):
        noise = np.stack([moving_average(rng, 300, 3, 0.7) for _ in range(5)])
        losses = {f"m{k}": noise[k] + rivals * k for k in range(5)}
        found = model_confidence_set(losses, n_resamples=300)
        kept += "m0" in found.included
        all_kept += not found.excluded
        sizes += len(found.included)
    print(
        f"rivals {rivals}: best kept {kept / 300:.3f}, all {all_kept / 300:.3f}, mean size {sizes / 300:.2f}"
    )
    assert kept / 300 >= 0.9
