"""How well directions and ranks of returns are told, each figure with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import numbers, whole
from forecast_finance.bar_windows import BarWindows
from forecast_finance.evaluation.dates import DateBootstrap, Estimate

__all__ = ["DirectionScores", "Estimate", "score_directions"]

_ROUNDING = 1e-6  # by which a probability, often 1 less a sum of others, may miss its bounds


@dataclass(frozen=True)
class DirectionScores:
    """Scores over one horizon (in bars): metric -> estimate, on how many windows and dates.

    accuracy, balanced_accuracy, mcc, f1 (of "up") and auc of the sign; demeaned_accuracy of the sign against
    the mean of all symbols of the date; ic and rank_ic, the mean over dates of the (rank) correlation across
    symbols, NaN with fewer than three; always_up, the share of returns above 0, which is the accuracy of
    always saying up; above_always_up, accuracy less that share. advantage [date]: the last one's parts.
    """

    horizon: int
    metrics: dict[str, Estimate]
    windows: int
    dates: int
    block_length: int

    def __getitem__(self, metric: str) -> Estimate:
        """The estimate of one metric."""
        return self.metrics[metric]

    @property
    def has_edge(self) -> bool:
        """Whether accuracy is above that of always saying up, by an interval that excludes no advantage,
        and the AUC's interval excludes 1/2 as well.
        """
        return self["above_always_up"].lower > 0 and self["auc"].lower > 0.5


def score_directions(
    windows: BarWindows,
    probability: np.ndarray,
    *,
    expected: np.ndarray | None = None,
    step: int = 0,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> DirectionScores:
    """Score the probability of a rise [n] over the `step`-th horizon against what came.

    expected: predicted returns [n], for correlations across symbols; default the probabilities. Returns of
    exactly 0 and unknown ones do not count. Intervals come from drawing whole dates in blocks no shorter than
    the horizon, since returns of neighbouring dates overlap. Raises ShapeError where lengths differ or fewer
    than 8 dates are known, DataError for a probability outside [0, 1] or an expected return that is not
    finite, InvalidInputError for a step that the windows do not have.
    """
    if whole("step", step, least=0) >= windows.horizon:
        raise InvalidInputError("step", f"is below {windows.horizon}, the windows' horizon", got=step)
    returns = windows.targets()[0][:, step, 0]
    told = numbers("probability", probability)
    score = told if expected is None else numbers("expected", expected)
    if told.shape != returns.shape or score.shape != returns.shape:
        raise ShapeError("probability", f"is [{len(returns)}]", got=f"{told.shape}, {score.shape}")
    _check("probability", "lies in [0, 1]", told, np.abs(told - 0.5) <= 0.5 + _ROUNDING, windows)
    _check("expected", "is finite", score, np.isfinite(score), windows)
    known = np.flatnonzero(~np.isnan(returns) & (returns != 0))
    if not len(known):
        raise ShapeError("windows", "have a known return")
    returns, told, score = returns[known], told[known], score[known]
    date = np.unique(windows.origins[known], return_inverse=True)[1]
    dates = int(date.max()) + 1
    up, says_up = returns > 0, told > 0.5
    correct = (up == says_up).astype(np.float64)
    size = np.bincount(date, minlength=dates).astype(np.float64)
    drawn = DateBootstrap.draw(
        np.bincount(date, correct, dates) / size,
        least=windows.data.horizons[step],
        n_resamples=n_resamples,
        seed=seed,
        confidence=confidence,
    )
    cells = np.stack(  # true up, false up, false down, true down: [date, 4]
        [
            np.bincount(date[mask], minlength=dates)
            for mask in (up & says_up, ~up & says_up, up & ~says_up, ~up & ~says_up)
        ],
        axis=1,
    ).astype(np.float64)
    scores, resampled = _table_scores(cells.sum(0)), _table_scores(drawn.counts @ cells)
    metrics = {name: drawn.estimate(float(value), resampled[name]) for name, value in scores.items()}
    metrics["auc"] = drawn.estimate(
        float(_auc(told, up, date, np.ones((1, dates)))[0]), _auc(told, up, date, drawn.counts)
    )
    metrics["demeaned_accuracy"] = _demeaned(returns, score, date, size, drawn)
    metrics["ic"] = drawn.mean(_correlation(score, returns, date, dates))
    metrics["rank_ic"] = drawn.mean(_correlation(_ranks(score, date), _ranks(returns, date), date, dates))
    return DirectionScores(
        horizon=windows.data.horizons[step],
        metrics=metrics,
        windows=len(known),
        dates=dates,
        block_length=drawn.block_length,
    )


def _check(argument: str, rule: str, values: np.ndarray, good: np.ndarray, windows: BarWindows) -> None:
    """DataError for the first window whose value is not good."""
    if not good.all():
        first = int(good.argmin())
        place = f"window {first} ({windows.item_ids[first]}, {windows.origins[first]})"
        raise DataError(argument, rule, place=place, got=float(values[first]))


def _table_scores(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of tables [..., 4] of true up, false up, false down, true down."""
    tp, fp, fn, tn = np.moveaxis(cells, -1, 0)
    n = tp + fp + fn + tn
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy, always = (tp + tn) / n, (tp + fn) / n
        balanced = 0.5 * (tp / (tp + fn) + tn / (tn + fp))
        spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        mcc = np.where(spread > 0, (tp * tn - fp * fn) / spread, 0.0)
        f1 = np.where(2 * tp + fp + fn > 0, 2 * tp / (2 * tp + fp + fn), 0.0)
    return {
        "accuracy": accuracy,
        "always_up": always,
        "above_always_up": accuracy - always,
        "balanced_accuracy": balanced,
        "mcc": mcc,
        "f1": f1,
    }


def _auc(told: np.ndarray, up: np.ndarray, date: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve [resample], each window weighing as often as its date is drawn; ties half."""
    order = np.argsort(told, kind="stable")
    tie = np.concatenate([[0], np.cumsum(np.diff(told[order]) != 0)])  # number of each distinct score
    groups = int(tie[-1]) + 1
    out = np.empty(len(counts))
    where, rise = date[order], up[order]
    for k, drawn in enumerate(counts):
        weight = drawn[where]
        above = np.bincount(tie, np.where(rise, weight, 0.0), groups)
        below = np.bincount(tie, np.where(rise, 0.0, weight), groups)
        pairs = above.sum() * below.sum()
        ahead = np.cumsum(below) - 0.5 * below
        out[k] = above @ ahead / pairs if pairs > 0 else np.nan
    return out


def _demeaned(
    returns: np.ndarray, score: np.ndarray, date: np.ndarray, size: np.ndarray, drawn: DateBootstrap
) -> Estimate:
    """Accuracy of signs after each date's mean is taken off; dates with one symbol do not count."""
    actual = returns - (np.bincount(date, returns) / size)[date]
    guess = score - (np.bincount(date, score) / size)[date]
    counted = (size[date] > 1) & (actual != 0)
    if not counted.any():
        return Estimate(float("nan"), float("nan"), float("nan"))
    # A guess of exactly the mean says neither: half right.
    right = np.where(guess == 0, 0.5, (actual > 0) == (guess > 0))
    per_date = np.bincount(date[counted], right[counted], len(size))
    number = np.bincount(date[counted], minlength=len(size)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = (drawn.counts @ per_date) / (drawn.counts @ number)
    return drawn.estimate(float(per_date.sum() / number.sum()), resampled)


def _ranks(values: np.ndarray, date: np.ndarray) -> np.ndarray:
    """Ranks within each date [n], ties at their mean rank."""
    order = np.lexsort((values, date))
    sorted_values, sorted_dates = values[order], date[order]
    position = np.arange(len(values), dtype=np.float64)
    new = np.concatenate([[True], (np.diff(sorted_values) != 0) | (np.diff(sorted_dates) != 0)])
    group = np.cumsum(new) - 1
    mean = np.bincount(group, position) / np.bincount(group)
    ranks = np.empty(len(values))
    ranks[order] = mean[group]
    return ranks  # offsets between dates do not matter: correlations take means off


def _correlation(a: np.ndarray, b: np.ndarray, date: np.ndarray, dates: int) -> np.ndarray:
    """Pearson's correlation of a and b within each date [date]; NaN for fewer than three or no spread."""
    size = np.bincount(date, minlength=dates).astype(np.float64)
    a = a - (np.bincount(date, a, dates) / size)[date]
    b = b - (np.bincount(date, b, dates) / size)[date]
    products = np.bincount(date, a * b, dates)
    squares = np.bincount(date, a * a, dates) * np.bincount(date, b * b, dates)
    scale = np.bincount(date, np.abs(a), dates) * np.bincount(date, np.abs(b), dates)
    usable = (size >= 3) & (scale > 1e-24)
    return np.where(usable, products / np.sqrt(np.where(usable, squares, 1.0)), np.nan)
