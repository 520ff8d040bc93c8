"""Mixtures of Gaussian paths in the plane: several ways to go on, each with an ellipse a step."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.checks import check_finite, check_simplex
from forecast_core.prediction.forecast import ForecastPrediction
from forecast_core.prediction.mixture import mixture_cdf, mixture_quantile

__all__ = ["PathMixturePrediction"]


class PathMixturePrediction(ForecastPrediction):
    """weights [n, k]; means [n, step, 2, k]; covariances [n, step, 2, 2, k], in metres and metres^2.

    A path keeps its mode through all steps and is independent noise around it; `sample` draws modes
    jointly over steps. Quantiles, intervals and cdf are of each coordinate alone.
    """

    kind: ClassVar[str] = "path-mixture"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {
        **ForecastPrediction.axes,
        "weights": (0, None),
        "means": (0, 1),
        "covariances": (0, 1),
    }

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    target_names: tuple[str, ...] = ("x", "y")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.means.ndim != 4 or self.means.shape[2] != 2 or 0 in self.means.shape[1:]:
            raise ShapeError("means", "is [n, step, 2, mode]", got=self.means.shape)
        n, steps, _, modes = self.means.shape
        if self.weights.shape != (n, modes):
            raise ShapeError("weights", f"is [{n}, {modes}]", got=self.weights.shape)
        if self.covariances.shape != (n, steps, 2, 2, modes):
            raise ShapeError("covariances", f"is [{n}, {steps}, 2, 2, {modes}]", got=self.covariances.shape)
        check_simplex("weights", self.weights)
        check_finite("means", self.means)
        check_finite("covariances", self.covariances)
        self._check_positive()
        self._check_axes()
        return self

    def _check_positive(self) -> None:
        variances = np.stack([self.covariances[:, :, 0, 0], self.covariances[:, :, 1, 1]])
        if not (variances > 0).all():
            raise InvalidInputError(
                "covariances", "are positive definite", got=f"a variance of {variances.min()}"
            )
        _, upper, lower = self._scaled()
        if not (np.abs(upper - lower) <= 1e-5).all():
            raise InvalidInputError("covariances", "are symmetric")
        if not (np.abs(lower) < 1.0).all():
            raise InvalidInputError("covariances", "are positive definite")

    def _scaled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standard deviations [n, step, 2, k], and both off-diagonals as correlations [n, step, k]."""
        covariances = self.covariances.astype(np.float64)
        sigmas = np.sqrt(np.stack([covariances[:, :, 0, 0], covariances[:, :, 1, 1]], 2))
        x, y = sigmas[:, :, 0], sigmas[:, :, 1]
        return sigmas, covariances[:, :, 0, 1] / x / y, covariances[:, :, 1, 0] / x / y

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, steps, 2)."""
        n, steps, two, _ = self.means.shape
        return n, steps, two

    def modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Paths by falling probability: probabilities [n, k] and means [n, k, step, 2]."""
        order = np.argsort(-self.weights, axis=-1, kind="stable")  # [n, k]
        paths = np.moveaxis(self.means, -1, 1)  # [n, k, step, 2]
        return (
            np.take_along_axis(self.weights, order, 1),
            np.take_along_axis(paths, order[:, :, None, None], 1),
        )

    def _parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = self.weights.astype(np.float64)[:, None, None, :]  # [n, 1, 1, k]
        means = self.means.astype(np.float64)
        weights = np.broadcast_to(weights / weights.sum(-1, keepdims=True), means.shape)
        return weights, means, self._scaled()[0]

    def mean(self) -> np.ndarray:
        """Expected position [n, step, 2]."""
        weights, means, _ = self._parameters()
        mean: np.ndarray = (weights * means).sum(-1)
        return mean

    def variance(self) -> np.ndarray:
        """Variance of each coordinate [n, step, 2]."""
        weights, means, sigmas = self._parameters()
        centre = (weights * means).sum(-1, keepdims=True)
        variance: np.ndarray = (weights * (sigmas**2 + (means - centre) ** 2)).sum(-1)
        return variance

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        return mixture_quantile(*self._parameters(), levels)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return mixture_cdf(*self._parameters(), x)

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        rows, steps, two = self.shape
        cumulative = np.cumsum(self.weights.astype(np.float64), -1)[:, :-1]  # [n, k-1]
        mode = (rng.random((n, rows, 1)) >= cumulative).sum(-1)  # [s, n]
        noise = rng.standard_normal((n, rows, steps, two))
        sigmas, _, correlation = self._scaled()
        row = np.arange(rows)
        r = np.moveaxis(correlation, -1, 1)[row, mode]  # [s, n, step]
        noise[..., 1] = r * noise[..., 0] + np.sqrt((1.0 - r) * (1.0 + r)) * noise[..., 1]
        centre, spread = (np.moveaxis(p, -1, 1)[row, mode] for p in (self.means, sigmas))  # [s, n, step, 2]
        paths: np.ndarray = centre + spread * noise
        return paths
