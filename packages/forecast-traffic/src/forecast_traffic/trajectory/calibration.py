"""How much ellipses have to grow or shrink to hold their share: split conformal calibration in the plane."""

from __future__ import annotations

import math

import numpy as np

from forecast_core.errors import DataError
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory.metrics.density import density_levels, squared_mahalanobis

__all__ = ["ellipse_factors", "scaled"]

_LEAST, _MOST = 0.02, 50.0  # factors of a standard deviation
_ROUNDS = 12  # of bisection, on a log scale: to 0.2 %
_DRAWS = 100


def scaled(prediction: PathMixturePrediction, factors: np.ndarray) -> PathMixturePrediction:
    """The prediction with the standard deviations of step h times factors[h]."""
    squares = factors[: prediction.horizon, None, None, None] ** 2  # [h, 1, 1, 1]
    return prediction.replace(covariances=prediction.covariances * squares)


def ellipse_factors(prediction: PathMixturePrediction, targets: np.ndarray, *, coverage: float) -> np.ndarray:
    """Factors [h] of standard deviations with which regions of probability `coverage` hold that share.

    targets [n, h, 2], NaN where unknown. Of n distances the ceil((n + 1) coverage)-th smallest sets the
    factor of a step, so that with one mode the ellipse of a new, exchangeable path holds its position at
    least that often (Vovk, Gammerman & Shafer 2005; for ellipses Messoudi, Destercke & Rousseau 2022). With
    several modes regions are those of highest density, and the factor is found by bisection. Raises DataError
    for too few paths.
    """
    count = (~np.isnan(targets[..., 0])).sum(0)  # [h]
    rank = np.ceil(np.round((count + 1) * coverage, 9)).astype(np.int64)
    if (rank > count).any():
        needed = math.ceil(round(coverage / (1.0 - coverage), 9))
        raise DataError(
            "calibration", f"holds at least {needed} paths for coverage {coverage:g}", got=int(count.min())
        )
    if prediction.weights.shape[1] == 1:
        squared = np.sort(squared_mahalanobis(prediction, targets)[..., 0], axis=0)  # NaN last
        at = np.take_along_axis(squared, rank[None] - 1, axis=0)[0]
        exact: np.ndarray = np.sqrt(at / (-2.0 * math.log1p(-coverage)))
        return np.asarray(np.clip(exact, _LEAST, _MOST))
    low, high = np.full(len(count), math.log(_LEAST)), np.full(len(count), math.log(_MOST))
    for _ in range(_ROUNDS):
        middle = 0.5 * (low + high)
        levels = density_levels(scaled(prediction, np.exp(middle)), targets, draws=_DRAWS)
        enough = (levels <= coverage).sum(0) >= rank
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found: np.ndarray = np.exp(high)
    return found
