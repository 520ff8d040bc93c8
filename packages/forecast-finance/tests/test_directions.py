"""Scores of directions equal scikit-learn's and scipy's, and their intervals hold what they should."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_finance import random_walk, score_directions
from forecast_finance.evaluation import DateBootstrap


def test_scores_equal_scikit_learns() -> None:
    windows = random_walk(symbols=6, rows=120).windows()
    returns = windows.targets()[0][:, 1, 0]
    rng = np.random.default_rng(0)
    told = np.clip(0.5 + 4 * returns + 0.2 * rng.standard_normal(len(returns)), 0, 1).round(2)
    scores = score_directions(windows, told, step=1, n_resamples=50)
    up, says = returns > 0, told > 0.5
    expected = {
        "accuracy": sk.accuracy_score(up, says),
        "balanced_accuracy": sk.balanced_accuracy_score(up, says),
        "mcc": sk.matthews_corrcoef(up, says),
        "f1": sk.f1_score(up, says),
        "auc": sk.roc_auc_score(up, told),
        "always_up": up.mean(),
        "above_always_up": sk.accuracy_score(up, says) - up.mean(),
    }
    for name, value in expected.items():
        assert scores[name].value == pytest.approx(value, abs=1e-12), name
        assert scores[name].lower <= value <= scores[name].upper, name
    by_date = [np.flatnonzero(windows.origins == t) for t in np.unique(windows.origins)]
    ics = [stats.pearsonr(told[at], returns[at]).statistic for at in by_date if np.ptp(told[at])]
    ranks = [stats.spearmanr(told[at], returns[at]).statistic for at in by_date if np.ptp(told[at])]
    assert scores["ic"].value == pytest.approx(np.mean(ics), abs=1e-12)
    assert scores["rank_ic"].value == pytest.approx(np.mean(ranks), abs=1e-12)
    right = [((returns[at] > returns[at].mean()) == (told[at] > told[at].mean())).mean() for at in by_date]
    assert scores["demeaned_accuracy"].value == pytest.approx(np.mean(right), abs=0.01)
    assert scores.horizon == 5
    assert scores.block_length >= 5
    assert scores.has_edge


def test_one_symbol_has_no_ranks_across_symbols() -> None:
    windows = random_walk(symbols=1, rows=80).windows()
    scores = score_directions(windows, np.full(len(windows), 0.6))
    assert np.isnan(scores["ic"].value)
    assert np.isnan(scores["demeaned_accuracy"].value)
    assert scores["above_always_up"].value == 0.0
    assert not scores.has_edge


def test_what_cannot_be_scored_is_refused() -> None:
    windows = random_walk(rows=80).windows()
    with pytest.raises(ShapeError, match="probability"):
        score_directions(windows, np.zeros(3))
    with pytest.raises(ShapeError, match="8 dates"):
        score_directions(windows.take(np.arange(9)), np.zeros(9))


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.5])
def test_what_is_no_probability_is_refused(value: float) -> None:
    windows = random_walk(rows=80).windows()
    told = np.full(len(windows), 0.5)
    told[7] = value
    with pytest.raises(DataError, match=r"probability at window 7 \(S1, 2010-01-06.*: lies in \[0, 1\]"):
        score_directions(windows, told)


def test_rounding_does_not_make_a_probability_wrong() -> None:
    windows = random_walk(rows=80).windows()
    told = np.where(np.arange(len(windows)) % 2, 1 + 1e-12, -1e-12)
    assert np.isfinite(score_directions(windows, told)["auc"].value)


def test_wrong_steps_returns_and_confidences_are_named() -> None:
    windows = random_walk(rows=80).windows()
    told = np.full(len(windows), 0.5)
    with pytest.raises(InvalidInputError, match="step: is below 3"):
        score_directions(windows, told, step=3)
    for step in (-1, 0.5, True):
        with pytest.raises(InvalidInputError, match="step: is a whole number of at least 0"):
            score_directions(windows, told, step=step)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"expected at window 2 .*: is finite, got nan"):
        score_directions(windows, told, expected=np.where(np.arange(len(told)) == 2, np.nan, 0.0))
    with pytest.raises(DataError, match="probability: holds numbers"):
        score_directions(windows, np.full(len(windows), "up"))
    for confidence in (95, 0.0, 1.0, np.nan):
        with pytest.raises(InvalidInputError, match="confidence: lies between 0 and 1"):
            score_directions(windows, told, confidence=confidence)


@pytest.mark.parametrize("horizon", [3, 10])
def test_intervals_of_overlapping_sums_cover_what_they_claim(horizon: int) -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        daily = rng.standard_normal(500 + horizon)
        sums = np.convolve(daily, np.ones(horizon), "valid")[:500]
        interval = DateBootstrap.draw(sums, least=horizon, n_resamples=300).mean(sums)
        covered += not interval.excludes(0.0)
    assert covered / 150 > 0.86  # of 0.95 asked for: blocks of a finite series are somewhat short
