"""The bootstrap of whole dates in blocks: all symbols of a date together, neighbouring dates together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.evaluation.significance.bootstrap import block_length_for
from forecast_core.validation import whole

__all__ = ["DateBootstrap", "Estimate"]


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN where it cannot be told."""

    value: float
    lower: float
    upper: float

    def excludes(self, value: float) -> bool:
        """Whether a value lies outside the interval."""
        return bool(value < self.lower or value > self.upper)


@dataclass(frozen=True, eq=False)
class DateBootstrap:
    """Resamples of D dates: `counts` [resample, date] says how often each date is drawn.

    The stationary bootstrap (Politis & Romano 1994): blocks of geometric length with mean `block_length`.
    """

    counts: np.ndarray
    block_length: int
    confidence: float = 0.95

    @classmethod
    def draw(
        cls,
        series: np.ndarray,
        *,
        least: int = 1,
        n_resamples: int = 1000,
        seed: int = 0,
        confidence: float = 0.95,
    ) -> Self:
        """Resamples of as many dates as `series` [date] has.

        The block length is the one that Politis & White's rule finds for the series (a mean of what is
        scored, a date), and never below `least`, the bars that targets of neighbouring dates share.
        ShapeError for fewer than 8 dates, InvalidInputError for a confidence that is none.
        """
        if not 0 < confidence < 1:
            raise InvalidInputError("confidence", "lies between 0 and 1", got=confidence)
        given = np.asarray(series, dtype=np.float64)
        if given.ndim != 1 or len(given) < 8:
            raise ShapeError("series", "has at least 8 dates", got=given.shape)
        usual = np.where(np.isnan(given), np.nanmean(given) if not np.isnan(given).all() else 0.0, given)
        length = min(max(block_length_for(usual[:, None], None), whole("least", least)), len(given))
        rng = np.random.default_rng(whole("seed", seed, least=0))
        n, at = len(given), np.arange(len(given))
        shape = (whole("n_resamples", n_resamples), n)
        begins = rng.random(shape) * length < 1.0
        begins[:, 0] = True
        since = np.maximum.accumulate(np.where(begins, at, 0), axis=1)
        starts = np.take_along_axis(rng.integers(n, size=shape), since, axis=1)
        index = (starts + at - since) % n  # [resample, n]
        offset = np.arange(shape[0])[:, None] * n
        counts = np.bincount((index + offset).ravel(), minlength=shape[0] * n).reshape(shape)
        return cls(counts.astype(np.float64), length, confidence)

    def estimate(self, value: float, resampled: np.ndarray) -> Estimate:
        """The value with the interval between the quantiles of its resamples [resample]."""
        known = resampled[np.isfinite(resampled)]
        if not len(known) or not np.isfinite(value):
            return Estimate(float(value), float("nan"), float("nan"))
        tail = (1.0 - self.confidence) / 2.0
        lower, upper = np.quantile(known, [tail, 1.0 - tail])
        return Estimate(float(value), float(lower), float(upper))

    def mean(self, series: np.ndarray) -> Estimate:
        """The mean of a series [date]; dates without a value (NaN) do not count."""
        known = ~np.isnan(series)
        if not known.any():
            return Estimate(float("nan"), float("nan"), float("nan"))
        drawn = self.counts[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = drawn @ series[known] / drawn.sum(axis=1)
        return self.estimate(float(series[known].mean()), resampled)
