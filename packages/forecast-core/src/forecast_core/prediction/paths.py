"""Mixtures of Gaussian paths in the plane: several ways to go on, each with an ellipse a step."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction.base import ForecastPrediction
from forecast_core.prediction.checks import check_finite, check_simplex
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
        a, b, c, d = (self.covariances[:, :, i, j] for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)))
        if not np.allclose(b, c, rtol=1e-5, atol=1e-12):
            raise InvalidInputError("covariances", "are symmetric")
        if not ((a > 0) & (d > 0) & (a * d - b * b > 0)).all():
            raise InvalidInputError("covariances", "are positive definite")
        self._check_axes()
        return self

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
        sigmas = np.sqrt(np.stack([self.covariances[:, :, 0, 0], self.covariances[:, :, 1, 1]], 2))
        weights = np.broadcast_to(weights / weights.sum(-1, keepdims=True), means.shape)
        return weights, means, sigmas.astype(np.float64)

    def mean(self) -> np.ndarray:
        """Expected position [n, step, 2]."""
        weights, means, _ = self._parameters()
        return (weights * means).sum(-1)

    def variance(self) -> np.ndarray:
        """Variance of each coordinate [n, step, 2]."""
        weights, means, sigmas = self._parameters()
        centre = (weights * means).sum(-1, keepdims=True)
        return (weights * (sigmas**2 + (means - centre) ** 2)).sum(-1)

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        return mixture_quantile(*self._parameters(), levels)

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        return mixture_cdf(*self._parameters(), x)

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        rows, steps, two = self.shape
        cumulative = np.cumsum(self.weights.astype(np.float64), -1)[:, :-1]  # [n, k-1]
        mode = (rng.random((n, rows, 1)) > cumulative).sum(-1)  # [s, n]
        row = np.arange(rows)[None, :]
        centre = np.moveaxis(self.means, -1, 1)[row, mode]  # [s, n, step, 2]
        root = np.linalg.cholesky(
            np.moveaxis(self.covariances, -1, 1).astype(np.float64)
        )  # [n, k, step, 2, 2]
        noise = rng.standard_normal((n, rows, steps, two, 1))
        return centre + (root[row, mode] @ noise)[..., 0]
