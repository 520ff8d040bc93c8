"""Quantile forecasts: linear between the levels, exponential tails beyond them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.checks import check_dims, check_finite
from forecast_core.prediction.forecast import ForecastPrediction

__all__ = ["QuantilePrediction"]


class QuantilePrediction(ForecastPrediction):
    """levels [q], strictly increasing in (0, 1), at least two; values [item, horizon, target, q].

    The distribution is the one whose quantile function runs linearly between the levels and has
    exponential tails through the two outermost quantiles of each side:
    Q(u) = Q_1 + b ln(u / u_1) for u < u_1, b = (Q_2 - Q_1) / ln(u_2 / u_1), and the mirror image above.
    Mean, variance, cdf and samples all follow from that one function. Values may tie but not cross.
    """

    kind: ClassVar[str] = "quantile"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {**ForecastPrediction.axes, "values": (0, 1)}

    levels: FloatArray
    values: FloatArray

    @model_validator(mode="after")
    def _check(self) -> Self:
        levels, values = self.levels, self.values
        if levels.ndim != 1 or len(levels) < 2:
            raise ShapeError("levels", "is a list of at least two", got=levels.shape)
        if not ((levels > 0) & (levels < 1)).all() or not (levels[1:] > levels[:-1]).all():
            raise InvalidInputError("levels", "increase strictly within (0, 1)", got=levels.tolist())
        check_dims("values", values, ("item", "horizon", "target", "level"))
        if values.shape[-1] != len(levels):
            raise ShapeError("values", f"has one entry a level ({len(levels)})", got=values.shape)
        check_finite("values", values)
        crossing = values[..., 1:] < values[..., :-1]
        if crossing.any():
            place = tuple(int(i) for i in np.argwhere(crossing)[0])
            raise InvalidInputError(
                "values", "do not fall from one level to the next", place=f"index {place}"
            )
        self._check_axes()
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, horizon, targets)."""
        i, h, t, _ = self.values.shape
        return i, h, t

    def mean(self) -> np.ndarray:
        """Expected value [item, horizon, target] of the whole distribution, tails included."""
        u, values = self._knots()
        inner = (np.diff(u) * (values[..., :-1] + values[..., 1:]) / 2.0).sum(-1)
        p_left, b_left, p_right, b_right = self._tails()
        mean: np.ndarray = inner + p_left * (values[..., 0] - b_left) + p_right * (values[..., -1] + b_right)
        return mean

    def variance(self) -> np.ndarray:
        """Variance [item, horizon, target] of the whole distribution, tails included."""
        u, values = self._knots()
        centred = values - self.mean()[..., None]
        low, high = centred[..., :-1], centred[..., 1:]
        inner = (np.diff(u) * (low * low + low * high + high * high) / 3.0).sum(-1)
        p_left, b_left, p_right, b_right = self._tails()
        first, last = centred[..., 0], centred[..., -1]
        left = p_left * ((first - b_left) ** 2 + b_left**2)
        right = p_right * ((last + b_right) ** 2 + b_right**2)
        variance: np.ndarray = inner + left + right
        return variance

    def _knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Levels [q] and values [item, horizon, target, q] in float64."""
        return self.levels.astype(np.float64), self.values.astype(np.float64)

    def _tails(self) -> tuple[float, np.ndarray, float, np.ndarray]:
        """Mass and scale of the left and of the right tail."""
        u, values = self._knots()
        b_left = (values[..., 1] - values[..., 0]) / np.log1p((u[1] - u[0]) / u[0])
        b_right = (values[..., -1] - values[..., -2]) / np.log1p((u[-1] - u[-2]) / (1.0 - u[-1]))
        return float(u[0]), b_left, float(1.0 - u[-1]), b_right

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        u, values = self._knots()
        k = np.clip(np.searchsorted(u, levels), 1, len(u) - 1)  # [q']
        return self._between(levels, u[k - 1], u[k], values[..., k - 1], values[..., k])  # [i, h, t, q']

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        u, values = self._knots()
        uniform = rng.uniform(np.finfo(np.float64).tiny, 1.0, (n, *self.shape))
        levels = np.moveaxis(uniform, 0, -1)  # [i, h, t, s]
        k = np.clip(np.searchsorted(u, levels), 1, len(u) - 1)
        low, high = np.take_along_axis(values, k - 1, -1), np.take_along_axis(values, k, -1)
        return np.moveaxis(self._between(levels, u[k - 1], u[k], low, high), -1, 0)

    def _between(
        self, level: np.ndarray, u_low: np.ndarray, u_high: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray:
        """The quantile function at `level`, given the knots around it; never falls as the level rises."""
        share = np.clip((level - u_low) / (u_high - u_low), 0.0, 1.0)
        inner = np.where(share < 1.0, np.minimum(low + (high - low) * share, high), high)
        p_left, b_left, p_right, b_right = self._tails()
        below = np.log(np.minimum(level / p_left, 1.0))  # 0 but in the left tail
        above = np.log(np.minimum((1.0 - level) / p_right, 1.0))
        quantile: np.ndarray = inner + b_left[..., None] * below - b_right[..., None] * above
        return quantile

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        u, values = self._knots()
        below = (values <= x[..., None]).sum(-1)  # knots at or below x, [i, h, t]
        k = np.clip(below, 1, len(u) - 1)
        low = np.take_along_axis(values, (k - 1)[..., None], -1)[..., 0]
        high = np.take_along_axis(values, k[..., None], -1)[..., 0]
        width = np.where(high > low, high - low, 1.0)
        inner = u[k - 1] + (u[k] - u[k - 1]) * np.clip((x - low) / width, 0.0, 1.0)
        p_left, b_left, p_right, b_right = self._tails()
        left = p_left * _decay(values[..., 0] - x, b_left)
        right = 1.0 - p_right * _decay(x - values[..., -1], b_right)
        probability = np.where(below == 0, left, np.where(below == len(u), right, inner))
        return np.where(np.isnan(x), np.nan, probability)

    def _value_columns(self) -> dict[str, Any]:
        columns = {"mean": self.mean().reshape(-1)}
        for k, level in enumerate(self.levels):
            columns[str(level)] = self.values[..., k].reshape(-1)
        return columns


def _decay(distance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """exp(-distance / scale) for distance >= 0; 0 where the scale is 0: the tail has no width."""
    ratio = np.maximum(distance, 0.0) / np.where(scale > 0, scale, 1.0)
    return np.where(scale > 0, np.exp(-ratio), 0.0)
