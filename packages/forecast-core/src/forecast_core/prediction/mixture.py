"""Gaussian mixtures, one for each step; a single component is the Gaussian forecast."""

from __future__ import annotations

from statistics import NormalDist
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core import normal
from forecast_core.arrays import FloatArray
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.checks import broadcasts, check_dims, check_finite, check_simplex
from forecast_core.prediction.forecast import ForecastPrediction

__all__ = ["MixturePrediction", "mixture_cdf", "mixture_quantile"]

_TOLERANCE = 1e-12  # of the narrowest component's sigma
_STEPS = 400  # bisection needs about 60, or 250 where components differ by 60 orders of magnitude


class MixturePrediction(ForecastPrediction):
    """means, sigmas [item, horizon, target, k]; weights [item, horizon | 1, target | 1, k].

    Weights sum to 1 over k; sigmas are positive, in the target's unit. Steps are independent.
    """

    kind: ClassVar[str] = "mixture"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {
        **ForecastPrediction.axes,
        "weights": (0, 1),
        "means": (0, 1),
        "sigmas": (0, 1),
    }

    weights: FloatArray
    means: FloatArray
    sigmas: FloatArray

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_dims("means", self.means, ("item", "horizon", "target", "component"))
        check_finite("means", self.means)
        if self.sigmas.shape != self.means.shape:
            raise ShapeError("sigmas", f"has the shape of means {self.means.shape}", got=self.sigmas.shape)
        check_finite("sigmas", self.sigmas)
        if not (self.sigmas > 0).all():
            place = tuple(int(i) for i in np.argwhere(self.sigmas <= 0)[0])
            raise InvalidInputError("sigmas", "are positive", place=f"index {place}")
        full = self.means.shape
        if not broadcasts(self.weights.shape, full) or self.weights.shape[-1:] != full[-1:]:
            raise ShapeError(
                "weights", "is [item, horizon | 1, target | 1, component]", got=self.weights.shape
            )
        check_simplex("weights", self.weights)
        self._check_axes()
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, horizon, targets)."""
        i, h, t, _ = self.means.shape
        return i, h, t

    def _parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = np.broadcast_to(self.weights, self.means.shape).astype(np.float64)
        return (
            weights / weights.sum(-1, keepdims=True),
            self.means.astype(np.float64),
            self.sigmas.astype(np.float64),
        )

    def mean(self) -> np.ndarray:
        """sum_k w_k mu_k, [item, horizon, target]."""
        weights, means, _ = self._parameters()
        mean: np.ndarray = (weights * means).sum(-1)
        return mean

    def variance(self) -> np.ndarray:
        """Law of total variance: sum_k w_k (sigma_k^2 + (mu_k - mean)^2), [item, horizon, target]."""
        weights, means, sigmas = self._parameters()
        centre = (weights * means).sum(-1, keepdims=True)
        variance: np.ndarray = (weights * (sigmas**2 + (means - centre) ** 2)).sum(-1)
        return variance

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        return mixture_quantile(*self._parameters(), levels)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return mixture_cdf(*self._parameters(), x)

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        weights, means, sigmas = self._parameters()
        noise = rng.standard_normal((n, *self.shape))
        pick = (
            rng.random((n, *self.shape))[..., None] >= np.cumsum(weights, -1)[..., :-1]
        )  # [s, i, h, t, k-1]
        chosen = np.moveaxis(pick.sum(-1), 0, -1)  # [i, h, t, s]
        centre = np.moveaxis(np.take_along_axis(means, chosen, -1), -1, 0)
        draws: np.ndarray = centre + noise * np.moveaxis(np.take_along_axis(sigmas, chosen, -1), -1, 0)
        return draws


def mixture_cdf(weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray, x: np.ndarray) -> np.ndarray:
    """P(X <= x) of Gaussian mixtures; parameters [..., k], x [...], result [...]."""
    probability: np.ndarray = (weights * normal.cdf((x[..., None] - means) / sigmas)).sum(-1)
    return probability


def mixture_quantile(
    weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Quantiles of Gaussian mixtures; parameters [..., k], levels [q], result [..., q].

    One component: the closed form. More: root finding between the smallest and the largest quantile of
    the components, to 1e-12 of the smallest sigma. Never falls as the level rises.
    """
    z = np.array([NormalDist().inv_cdf(level) for level in levels.tolist()])
    per_component = means[..., None, :] + sigmas[..., None, :] * z[:, None]  # [..., q, k]
    if means.shape[-1] == 1:
        only: np.ndarray = per_component[..., 0]
        return only
    full = per_component.shape
    flat = [np.broadcast_to(p[..., None, :], full).reshape(-1, full[-1]) for p in (weights, means, sigmas)]
    level = np.broadcast_to(levels, full[:-1]).reshape(-1)
    found = _roots(
        flat[0], flat[1], flat[2], level, per_component.min(-1).reshape(-1), per_component.max(-1).reshape(-1)
    )
    found, rising = found.reshape(full[:-1]), np.argsort(levels)  # [..., q]
    found[..., rising] = np.maximum.accumulate(found[..., rising], axis=-1)
    return found


def _roots(
    weights: np.ndarray,
    means: np.ndarray,
    sigmas: np.ndarray,
    level: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """x with cdf(x) = level for n mixtures [n, k] with brackets [n], those still open at a time.

    Inverse quadratic interpolation where it is safe, bisection elsewhere; each element goes its own way,
    whatever stands beside it. Source: Chandrupatla (1997), Advances in Engineering Software 28, 145-149.
    """
    out: np.ndarray = 0.5 * (low + high)
    width = _TOLERANCE * sigmas.min(-1)
    at = np.flatnonzero(high > low)  # positions still open; the arrays below run along them
    a, b, t = high[at], low[at], np.full(len(at), 0.5)
    # Where an end is the root, rounding may put it on the wrong side.
    fa = np.maximum(mixture_cdf(weights[at], means[at], sigmas[at], a) - level[at], 0.0)
    fb = np.minimum(mixture_cdf(weights[at], means[at], sigmas[at], b) - level[at], 0.0)
    for _ in range(_STEPS):
        if not len(at):
            break
        x = a + t * (b - a)
        fx = mixture_cdf(weights[at], means[at], sigmas[at], x) - level[at]
        same = np.sign(fx) == np.sign(fa)
        c, fc = np.where(same, a, b), np.where(same, fa, fb)
        b, fb = np.where(same, b, a), np.where(same, fb, fa)
        a, fa = x, fx
        best = np.where(np.abs(fa) < np.abs(fb), a, b)
        out[at] = best
        share = (width[at] + 2.0 * np.spacing(np.abs(best))) / np.maximum(np.abs(b - a), np.finfo(float).tiny)
        going = (share <= 0.5) & (fa != 0.0) & (fb != 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
            safe = (phi**2 < xi) & ((1.0 - phi) ** 2 < 1.0 - xi)
            curve = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        t = np.where(safe & np.isfinite(curve), curve, 0.5)
        t = np.clip(t, share, 1.0 - share)
        at, a, b, fa, fb, t = (values[going] for values in (at, a, b, fa, fb, t))
    return out
