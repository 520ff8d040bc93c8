"""Sample forecasts: draws of each step, or of whole paths."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.data.freq import Freq
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.checks import check_finite
from forecast_core.prediction.forecast import ForecastPrediction

__all__ = ["SamplePrediction"]


class SamplePrediction(ForecastPrediction):
    """values [sample, item, horizon, target]: equally likely draws, in the target's unit.

    joint: one sample index is one path through all steps (and, of one prediction, all items), so that
    sums over steps mean something; False where steps were drawn one by one.
    """

    kind: ClassVar[str] = "sample"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {**ForecastPrediction.axes, "values": (1, 2)}

    values: FloatArray
    joint: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.values.ndim != 4 or self.values.shape[0] < 1 or 0 in self.values.shape[2:]:
            raise ShapeError("values", "is [sample, item, horizon, target]", got=self.values.shape)
        check_finite("values", self.values)
        self._check_axes()
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, horizon, targets)."""
        _, i, h, t = self.values.shape
        return i, h, t

    def mean(self) -> np.ndarray:
        """Mean of the draws [item, horizon, target]."""
        mean: np.ndarray = self.values.mean(0, dtype=np.float64)
        return mean

    def variance(self) -> np.ndarray:
        """Variance of the draws [item, horizon, target] (divided by their number)."""
        variance: np.ndarray = self.values.var(0, dtype=np.float64)
        return variance

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        return np.moveaxis(np.quantile(self.values.astype(np.float64), levels, axis=0), 0, -1)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), np.nan, (self.values <= x).mean(0))

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        drawn = len(self.values)
        if self.joint:
            return np.take(self.values, rng.integers(0, drawn, n), axis=0)
        index = rng.integers(0, drawn, (n, *self.shape))
        return np.take_along_axis(self.values, index, axis=0)

    def aggregate(self, freq: str | Freq, *, how: Literal["sum", "mean"] = "sum") -> SamplePrediction:
        """Sums or means of every path over periods of `freq` that the horizon covers whole.

        freq: a multiple of the prediction's own step. Steps of a period that begins before the first or
        ends after the last step are left out. Raises CapabilityError unless the draws are joint, and
        InvalidInputError where timestamps are missing or uneven, or no whole period is covered.
        """
        if not self.joint:
            return super().aggregate(freq, how=how)  # type: ignore[return-value]
        if how not in ("sum", "mean"):
            raise InvalidInputError("how", "is 'sum' or 'mean'", got=repr(how))
        stamps = self.timestamps
        if stamps is None or stamps.ndim != 1 or len(stamps) < 2:
            raise InvalidInputError("timestamps", "are needed to aggregate, one a step, at least two steps")
        own, wide = Freq.infer(stamps), Freq.parse(freq)
        following = own.shift(stamps, 1)
        if (following[:-1] != stamps[1:]).any():
            raise InvalidInputError("timestamps", f"are one step of {own} apart to aggregate")
        starts, first, count = np.unique(wide.floor(stamps), return_index=True, return_counts=True)
        begins = stamps[first] == starts
        ends = following[first + count - 1] == wide.shift(starts, 1)
        whole = np.flatnonzero(begins & ends)
        if not len(whole):
            raise InvalidInputError("freq", f"has a whole period of {wide} within the horizon")
        summed = np.add.reduceat(self.values.astype(np.float64), first, axis=2)[:, :, whole]
        if how == "mean":
            summed = summed / count[whole][None, None, :, None]
        return self.replace(
            values=summed,
            timestamps=starts[whole],
            steps=tuple(float(k) for k in range(1, len(whole) + 1)),
            confidence=None,
        )
