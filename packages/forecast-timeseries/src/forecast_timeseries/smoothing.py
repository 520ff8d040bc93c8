"""Exponential smoothing in state-space form: what a fitted model says of the steps ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Self

import numpy as np

__all__ = ["Smoothing"]

_PATHS = 4000  # simulated where there is no closed form


@dataclass(frozen=True, eq=False)
class Smoothing:
    """A fitted model after its last observation, all in the observations' unit.

    error, season: "A" additive, "M" multiplicative, and "N" for no season. level, slope: the last ones;
    phi: damping of the slope, 1 for none; seasonal [m]: components of the next m steps, [0] where there is
    no season. alpha, beta, gamma: shares of an error that level, slope and season take over. variance: of
    the errors, relative ones where they are multiplicative.

    Source: Hyndman, Koehler, Ord & Snyder 2008, Forecasting with Exponential Smoothing, chapters 2 and 6.
    """

    error: str
    season: str
    level: float
    slope: float
    phi: float
    seasonal: np.ndarray
    alpha: float
    beta: float
    gamma: float
    variance: float

    @classmethod
    def of(cls, fitted: Mapping[str, Any]) -> Self:
        """Of what statsforecast's AutoETS holds in `model_` after `fit`."""
        error, trend, season, damped = fitted["components"]
        alpha, beta, gamma, phi = fitted["par"][:4]
        state = np.asarray(fitted["states"][-1], dtype=np.float64)
        has_trend = trend != "N"
        return cls(
            error=error,
            season=season,
            level=float(state[0]),
            slope=float(state[1]) if has_trend else 0.0,
            phi=float(phi) if damped == "D" else 1.0,
            seasonal=state[1 + has_trend :][::-1].copy() if season != "N" else np.zeros(1),
            alpha=float(alpha),
            beta=float(beta) if has_trend else 0.0,
            gamma=float(gamma) if season != "N" else 0.0,
            variance=float(fitted["sigma2"]),
        )

    @property
    def is_linear(self) -> bool:
        """Whether errors and season are additive, so that every step ahead is normal."""
        return self.error == "A" and self.season != "M"

    def quantiles(self, levels: np.ndarray, *, steps: int) -> np.ndarray:
        """Quantiles [step, level] of each of the next steps.

        In closed form where the model is linear; else of 4,000 paths that are the same at every call, and
        the same for the first steps whatever `steps` is.
        """
        if self.is_linear:
            scores = np.array([NormalDist().inv_cdf(level) for level in levels])
            mean, variance = self.moments(steps)
            linear: np.ndarray = mean[:, None] + np.sqrt(variance)[:, None] * scores
            return linear
        simulated: np.ndarray = np.quantile(self.paths(steps), levels, axis=1).T
        return simulated

    def moments(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [step] of each of the next steps of a linear model.

        The error of a step reaches the one j later by c_j = alpha + beta (phi + ... + phi^j), and by gamma
        more where j is a whole number of seasons; the variance of step h is s^2 (1 + c_1^2 + ... +
        c_{h-1}^2).
        """
        ahead = np.arange(1, steps + 1)
        drift = (self.phi**ahead).cumsum()  # [step], slopes until then
        season = len(self.seasonal)
        mean = self.level + self.slope * drift + self.seasonal[(ahead - 1) % season]
        reach = self.alpha + self.beta * drift + np.where(ahead % season == 0, self.gamma, 0.0)
        variance = self.variance * (1.0 + np.concatenate([[0.0], (reach[:-1] ** 2).cumsum()]))
        return mean, variance

    def paths(self, steps: int) -> np.ndarray:
        """Simulated futures [step, path] of any model."""
        errors = math.sqrt(self.variance) * _scores(steps)
        level = np.full(_PATHS, self.level)
        slope = np.full(_PATHS, self.slope)
        seasonal = [np.full(_PATHS, value) for value in self.seasonal]
        out = np.empty((steps, _PATHS))
        for step, error in enumerate(errors):
            at = step % len(seasonal)
            trend = level + self.phi * slope
            if self.season == "M":
                expected = trend * seasonal[at]
                surprise, rise, turn = expected * error, trend * error, seasonal[at] * error
            else:
                expected = trend + seasonal[at]
                surprise = rise = turn = expected * error if self.error == "M" else error
            out[step] = expected + surprise
            level, slope = trend + self.alpha * rise, self.phi * slope + self.beta * rise
            seasonal[at] = seasonal[at] + self.gamma * turn
        return out


@lru_cache(maxsize=4)
def _scores(steps: int) -> np.ndarray:
    """Normal scores [step, path]: those of an even sample at each step, in an order of their own."""
    even = np.array([NormalDist().inv_cdf((k + 0.5) / _PATHS) for k in range(_PATHS)])
    rng = np.random.default_rng(0)
    scores: np.ndarray = np.stack([rng.permutation(even) for _ in range(steps)])
    scores.flags.writeable = False
    return scores
