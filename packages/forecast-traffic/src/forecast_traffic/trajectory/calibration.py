"""How much ellipses have to grow or shrink to hold their share: split conformal calibration in the plane."""

from __future__ import annotations

import math

import numpy as np

from forecast_core.errors import DataError
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory.metrics.density import density_levels, squared_mahalanobis

__all__ = ["FACTORS", "ellipse_factors", "needed_factors", "scaled"]

FACTORS = (0.02, 50.0)  # the least and the most that a standard deviation is multiplied by
_ROUNDS = 12  # of bisection, on a log scale: to 0.2 %


def scaled(prediction: PathMixturePrediction, factors: np.ndarray) -> PathMixturePrediction:
    """The prediction with the standard deviations of step h times factors[h], or of row n factors[n, h]."""
    squares = factors[..., : prediction.horizon, None, None, None] ** 2  # [h | n, h, 1, 1, 1]
    return prediction.replace(covariances=prediction.covariances * squares)


def needed_factors(prediction: PathMixturePrediction, targets: np.ndarray, *, coverage: float) -> np.ndarray:
    """Factors [n, h] with which ellipses of probability `coverage` reach targets [n, h, 2]; of one mode."""
    squared = squared_mahalanobis(prediction, targets)[..., 0]
    factors: np.ndarray = np.sqrt(squared / (-2.0 * math.log1p(-coverage)))
    return factors


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
        ordered = np.sort(needed_factors(prediction, targets, coverage=coverage), axis=0)  # NaN last
        exact: np.ndarray = np.take_along_axis(ordered, rank[None] - 1, axis=0)[0]
        return np.asarray(np.clip(exact, *FACTORS))
    low, high = (np.full(len(count), math.log(limit)) for limit in FACTORS)
    for _ in range(_ROUNDS):
        middle = 0.5 * (low + high)
        levels = density_levels(scaled(prediction, np.exp(middle)), targets)
        enough = (levels <= coverage).sum(0) >= rank
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found: np.ndarray = np.exp(high)
    return found
