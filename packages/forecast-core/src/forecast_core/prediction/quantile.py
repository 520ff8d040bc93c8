"""Quantile forecasts: linear between the levels, exponential tails beyond them."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.base import ForecastPrediction
from forecast_core.prediction.checks import check_dims, check_finite

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
        if not ((levels > 0) & (levels < 1)).all() or not (np.diff(levels) > 0).all():
            raise InvalidInputError("levels", "increase strictly within (0, 1)", got=levels.tolist())
        check_dims("values", values, ("item", "horizon", "target", "level"))
        if values.shape[-1] != len(levels):
            raise ShapeError("values", f"has one entry a level ({len(levels)})", got=values.shape)
        check_finite("values", values)
        crossing = np.diff(values, axis=-1) < 0
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
        values, u = self.values.astype(np.float64), np.diff(self.levels.astype(np.float64))
        inner = (u * (values[..., :-1] + values[..., 1:]) / 2.0).sum(-1)
        p_left, b_left, p_right, b_right = self._tails()
        return inner + p_left * (values[..., 0] - b_left) + p_right * (values[..., -1] + b_right)

    def variance(self) -> np.ndarray:
        """Variance [item, horizon, target] of the whole distribution, tails included."""
        centred = self.values.astype(np.float64) - self.mean()[..., None]
        u = np.diff(self.levels.astype(np.float64))
        low, high = centred[..., :-1], centred[..., 1:]
        inner = (u * (low * low + low * high + high * high) / 3.0).sum(-1)
        p_left, b_left, p_right, b_right = self._tails()
        ends = (centred[..., 0], centred[..., -1])
        left = p_left * (ends[0] ** 2 - 2.0 * ends[0] * b_left + 2.0 * b_left**2)
        right = p_right * (ends[1] ** 2 + 2.0 * ends[1] * b_right + 2.0 * b_right**2)
        return inner + left + right

    def _tails(self) -> tuple[float, np.ndarray, float, np.ndarray]:
        """Mass and scale of the left and of the right tail."""
        u, values = self.levels.astype(np.float64), self.values.astype(np.float64)
        b_left = (values[..., 1] - values[..., 0]) / np.log(u[1] / u[0])
        b_right = (values[..., -1] - values[..., -2]) / np.log((1.0 - u[-2]) / (1.0 - u[-1]))
        return float(u[0]), b_left, float(1.0 - u[-1]), b_right

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        u, values = self.levels.astype(np.float64), self.values.astype(np.float64)
        right = np.clip(np.searchsorted(u, levels, side="left"), 1, len(u) - 1)  # [q']
        share = np.clip((levels - u[right - 1]) / (u[right] - u[right - 1]), 0.0, 1.0)
        out = values[..., right - 1] * (1.0 - share) + values[..., right] * share  # [i, h, t, q']
        out = np.clip(out, values[..., right - 1], values[..., right])  # rounding must not cross
        p_left, b_left, p_right, b_right = self._tails()
        below, above = (
            np.log(np.minimum(levels / p_left, 1.0)),
            np.log(np.minimum((1.0 - levels) / p_right, 1.0)),
        )
        return out + b_left[..., None] * below - b_right[..., None] * above

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        u, values = self.levels.astype(np.float64), self.values.astype(np.float64)
        below = (values <= x[..., None]).sum(-1)  # knots at or below x, [i, h, t]
        k = np.clip(below, 1, len(u) - 1)
        low = np.take_along_axis(values, (k - 1)[..., None], -1)[..., 0]
        high = np.take_along_axis(values, k[..., None], -1)[..., 0]
        width = np.where(high > low, high - low, 1.0)
        inner = u[k - 1] + (u[k] - u[k - 1]) * np.clip((x - low) / width, 0.0, 1.0)
        p_left, b_left, p_right, b_right = self._tails()
        left = p_left * _decay(values[..., 0] - x, b_left)
        right = 1.0 - p_right * _decay(x - values[..., -1], b_right)
        return np.where(below == 0, left, np.where(below == len(u), right, inner))

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        uniform = rng.uniform(np.finfo(np.float64).tiny, 1.0, (n, *self.shape))
        u, values = self.levels.astype(np.float64), self.values.astype(np.float64)
        k = np.clip(np.searchsorted(u, uniform), 1, len(u) - 1)  # [s, i, h, t]
        at = np.moveaxis(k, 0, -1)  # [i, h, t, s]
        low = np.moveaxis(np.take_along_axis(values, at - 1, -1), -1, 0)
        high = np.moveaxis(np.take_along_axis(values, at, -1), -1, 0)
        share = np.clip((uniform - u[k - 1]) / (u[k] - u[k - 1]), 0.0, 1.0)
        p_left, b_left, p_right, b_right = self._tails()
        below = np.log(np.minimum(uniform / p_left, 1.0))
        above = np.log(np.minimum((1.0 - uniform) / p_right, 1.0))
        return low + (high - low) * share + b_left * below - b_right * above

    def _value_columns(self) -> dict[str, Any]:
        columns = {"mean": self.mean().reshape(-1)}
        for k, level in enumerate(self.levels.tolist()):
            columns[f"{level:g}"] = self.values[..., k].reshape(-1)
        return columns


def _decay(distance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """exp(-distance / scale) for distance >= 0; with scale 0 all mass sits at distance 0."""
    positive = np.maximum(distance, 0.0)
    safe = np.where(scale > 0, scale, 1.0)
    return np.where(scale > 0, np.exp(-positive / safe), (positive == 0).astype(np.float64))
