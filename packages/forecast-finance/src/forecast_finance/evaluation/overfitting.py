"""How much of a good result the number of tries explains."""

from __future__ import annotations

from itertools import combinations
from statistics import NormalDist

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import numbers, whole

__all__ = ["deflated_sharpe_ratio", "expected_best_sharpe", "probability_of_overfitting"]

_EULER = 0.5772156649015329


def expected_best_sharpe(n_trials: int, variance: float) -> float:
    """What the best of `n_trials` Sharpe ratios of a true value of 0 is to be expected, given their variance.

    sqrt(V) ((1 - g) z(1 - 1/N) + g z(1 - 1/(N e))), g Euler's constant; a bar, not annual. Source: Bailey and
    Lopez de Prado (2014), The deflated Sharpe ratio, eq. 1.
    """
    trials = whole("n_trials", n_trials)
    if not 0 <= variance < np.inf:
        raise InvalidInputError("variance", "is at least 0", got=variance)
    if trials == 1:
        return 0.0
    z = NormalDist().inv_cdf
    return float(np.sqrt(variance) * ((1 - _EULER) * z(1 - 1 / trials) + _EULER * z(1 - 1 / (trials * np.e))))


def deflated_sharpe_ratio(returns: np.ndarray, *, n_trials: int, variance: float) -> float:
    """Probability that the true Sharpe ratio is above what the best of `n_trials` tries reaches by chance.

    returns [day] of the configuration chosen; variance: of the tries' Sharpe ratios a day (not annual).
    Corrects for skewness, kurtosis and length. Source: Bailey and Lopez de Prado (2014), eq. 2. Raises
    ShapeError for fewer than 3 returns or none that vary, DataError for one that is not finite.
    """
    r = _finite(returns)
    if r.ndim != 1 or len(r) < 3 or not r.std() > 0:
        raise ShapeError("returns", "are at least 3 that vary", got=r.shape)
    sharpe = r.mean() / r.std(ddof=1)
    z = (r - r.mean()) / r.std()
    return _deflated(
        float(sharpe),
        len(r),
        float((z**3).mean()),
        float((z**4).mean()),
        expected_best_sharpe(n_trials, variance),
    )


def _finite(returns: np.ndarray) -> np.ndarray:
    """Returns as float64; DataError for the first that is not finite."""
    r = numbers("returns", returns)
    if not (known := np.isfinite(r)).all():
        first = np.argwhere(~known)[0]
        raise DataError("returns", "are finite", place=first.tolist(), got=float(r[tuple(first)]))
    return r


def _deflated(sharpe: float, length: int, skewness: float, kurtosis: float, benchmark: float) -> float:
    spread = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    return NormalDist().cdf((sharpe - benchmark) * np.sqrt(length - 1) / np.sqrt(max(spread, 1e-12)))


def probability_of_overfitting(returns: np.ndarray, *, n_blocks: int = 16) -> float:
    """How often the configuration best in one half of the time lies below the median in the other.

    returns [day, configuration] on the same days; the days are cut into `n_blocks` (even), and every half of
    them serves to choose by Sharpe ratio once. Ties take the mean rank. Source: Bailey, Borwein, Lopez de
    Prado and Zhu (2017), The probability of backtest overfitting. Raises ShapeError for fewer than two
    configurations or fewer than two days a block, DataError for a return that is not finite,
    InvalidInputError for an odd number of blocks.
    """
    r = _finite(returns)
    blocks = whole("n_blocks", n_blocks, least=2)
    if blocks % 2:
        raise InvalidInputError("n_blocks", "is even", got=blocks)
    if r.ndim != 2 or r.shape[1] < 2 or len(r) < 2 * blocks:
        raise ShapeError(
            "returns", f"are [at least {2 * blocks} days, two configurations or more]", got=r.shape
        )
    parts = np.array_split(r, blocks)
    count = np.array([len(part) for part in parts], dtype=np.float64)
    total = np.stack([part.sum(axis=0) for part in parts])  # [block, configuration]
    square = np.stack([(part**2).sum(axis=0) for part in parts])
    chosen = np.zeros((len(list(combinations(range(blocks), blocks // 2))), blocks))
    for k, half in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[k, list(half)] = 1.0

    def sharpe(of: np.ndarray) -> np.ndarray:
        n = (of @ count)[:, None]
        mean = of @ total / n
        variance = np.maximum(of @ square / n - mean**2, 0.0)
        return np.where(variance > 0, mean / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)

    best = sharpe(chosen).argmax(axis=1)
    outside = sharpe(1.0 - chosen)
    own = np.take_along_axis(outside, best[:, None], axis=1)
    rank = (outside < own).sum(axis=1) + 0.5 * ((outside == own).sum(axis=1) + 1)
    share = rank / (r.shape[1] + 1)
    return float((share <= 0.5).mean())
