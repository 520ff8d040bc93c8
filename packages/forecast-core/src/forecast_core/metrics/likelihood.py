"""The negative log likelihood, for kinds that have a density."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch

import numpy as np

from forecast_core.errors import CapabilityError
from forecast_core.metrics.base import ForecastMetric, Metric
from forecast_core.metrics.blocks import row_blocks
from forecast_core.metrics.case import Case
from forecast_core.prediction import MixturePrediction, PathMixturePrediction, Prediction

__all__ = ["LIKELIHOOD_METRICS", "log_density"]


@singledispatch
def log_density(prediction: Prediction, targets: np.ndarray) -> np.ndarray:
    """Natural log of the forecast density at each target, [n, h, t]; NaN where the target is.

    Mixtures have one, path mixtures a coordinate at a time; a kind of a plugin may add its own with
    `log_density.register`. CapabilityError for other kinds: draws and a few quantiles have none.
    """
    raise CapabilityError(f"a {prediction.kind} prediction has no density")


@log_density.register(MixturePrediction)
@log_density.register(PathMixturePrediction)
def _(prediction: MixturePrediction | PathMixturePrediction, targets: np.ndarray) -> np.ndarray:
    weights, means, sigmas = prediction._parameters()
    out = np.empty(targets.shape)
    for rows in row_blocks(means.shape):
        out[rows] = _log_mixture(weights[rows], means[rows], sigmas[rows], targets[rows])
    return out


def _log_mixture(weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Log of the density of Gaussian mixtures; parameters [..., k], y and result [...]."""
    z = (y[..., None] - means) / sigmas
    log_weights = np.log(weights, out=np.full(weights.shape, -np.inf), where=weights > 0)
    terms = log_weights - 0.5 * z * z - np.log(sigmas) - 0.5 * math.log(2.0 * math.pi)  # [..., k]
    peak = terms.max(-1, keepdims=True)
    log_sum: np.ndarray = peak[..., 0] + np.log(np.exp(terms - peak).sum(-1))
    return log_sum


def _negative(case: Case, _: float | None) -> Iterator[np.ndarray]:
    yield -log_density(case.prediction, case.targets)


LIKELIHOOD_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="nll",
        summary="mean negative log density in nats, of each coordinate alone; needs a density",
        needs="distribution",
        unit="nat",
        from_zero=False,
        statistics=_negative,
    ),
)
