"""The paired block bootstrap of a mean loss difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core.errors import InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.evaluation.significance.checks import loss_differences
from forecast_core.validation import fraction, whole

__all__ = ["BlockBootstrap", "arch_bootstrap", "block_bootstrap", "block_length_for"]

_LEAST_FOR_LENGTH = 8  # origins below which autocorrelations say nothing about a block length
_AT_ONCE = 2**22  # resampled values held in memory together


@dataclass(frozen=True)
class BlockBootstrap:
    """Result of `block_bootstrap`; a negative mean difference, or interval, speaks for model a.

    mean_difference, lower, upper: in the unit of the loss. The interval excludes 0 exactly where
    p_value <= 1 - confidence. block_length: mean length of a block in origins.
    """

    mean_difference: float
    lower: float
    upper: float
    p_value: float
    confidence: float
    block_length: int
    n_resamples: int
    observations: int


def block_bootstrap(
    loss_a: Any,
    loss_b: Any,
    *,
    block_length: int | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> BlockBootstrap:
    """Interval and two-sided p-value of the mean of loss_a - loss_b, by the stationary bootstrap.

    loss_a, loss_b: [origin] in order of time. Pairs are drawn together in blocks of geometric length with
    mean block_length (Politis & Romano 1994), which keeps the correlation between near origins. Default:
    the length of Politis & White (2004) as corrected by Patton, Politis & White (2009), from arch. Origins
    at which either loss is NaN are left out, which only makes blocks span more time.

    The interval is mean -/+ the quantile of |resampled mean - mean|; the p-value is the share of these that
    reach |mean|, counting the observed one as a resample. Approximate: with few origins, or correlation
    that lasts long against their number, intervals are somewhat too short.

    Raises ShapeError for unequal lengths or too few origins (2; 8 for the default block length), DataError
    for infinity, InvalidInputError for numbers out of bounds, MissingDependencyError without arch.
    """
    confidence = fraction("confidence", confidence)
    rank = math.ceil(round(confidence * (whole("n_resamples", n_resamples) + 1), 9))
    if rank > n_resamples:
        least = math.ceil(round(confidence / (1.0 - confidence), 9))
        raise InvalidInputError("n_resamples", f"is at least {least} for this confidence", got=n_resamples)
    seed = whole("seed", seed, least=0)
    difference, _ = loss_differences(loss_a, loss_b)
    difference = difference[~np.isnan(difference)]
    n = len(difference)
    if n < 2:
        raise ShapeError("loss_a, loss_b", "have at least 2 origins in common", got=n)
    length = block_length_for(difference[:, None], block_length)
    mean = float(difference.mean())
    means = _resampled_means(difference, length, n_resamples, np.random.default_rng(seed))
    distance = np.sort(np.abs(means - mean))  # [resample]
    half_width = float(distance[rank - 1])
    reaching = n_resamples - int(np.searchsorted(distance, abs(mean)))
    return BlockBootstrap(
        mean_difference=mean,
        lower=mean - half_width,
        upper=mean + half_width,
        p_value=(reaching + 1) / (n_resamples + 1),
        confidence=confidence,
        block_length=length,
        n_resamples=n_resamples,
        observations=n,
    )


def block_length_for(series: np.ndarray, given: int | None) -> int:
    """The block length as given, or the longest that is optimal for one of series [origin, series]."""
    n = len(series)
    if given is not None:
        if whole("block_length", given) > n:
            raise InvalidInputError("block_length", f"is at most the {n} origins in common", got=given)
        return int(given)
    if n < _LEAST_FOR_LENGTH:
        rule = f"have at least {_LEAST_FOR_LENGTH} origins in common to choose a block length from"
        raise ShapeError("losses", rule, got=n, hint="give block_length=")
    with np.errstate(all="ignore"):  # a constant series has no autocorrelations; its length is NaN
        found = np.asarray(arch_bootstrap().optimal_block_length(series)["stationary"], dtype=np.float64)
    return max(1, math.ceil(np.nanmax(found, initial=1.0)))


def arch_bootstrap() -> Any:
    """The module arch.bootstrap; MissingDependencyError where arch is not installed."""
    try:
        from arch import bootstrap
    except ImportError as error:
        raise MissingDependencyError(
            "arch", purpose="the block bootstrap", install="pip install 'forecast-core[evaluate]'"
        ) from error
    return bootstrap


def _resampled_means(
    values: np.ndarray, block_length: int, n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Means of resamples of values [n], wrapped around at the end: [n_resamples]."""
    n, at = len(values), np.arange(len(values))
    means = []
    for done in range(0, n_resamples, max(1, _AT_ONCE // n)):
        shape = (min(n_resamples - done, max(1, _AT_ONCE // n)), n)
        starts = rng.integers(n, size=shape)
        begins = rng.random(shape) * block_length < 1.0
        begins[:, 0] = True
        since = np.maximum.accumulate(np.where(begins, at, 0), axis=1)  # [resample, n] where the block began
        index = (np.take_along_axis(starts, since, axis=1) + at - since) % n
        means.append(values[index].mean(axis=1))
    return np.concatenate(means)
