"""`trajectory/polynomial`: a polynomial in time, fitted to the history by ridge regression."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import PolynomialConfig
from forecast_traffic.trajectory.extrapolation import by_length, polynomial_weights
from forecast_traffic.trajectory.models.motion import MotionPredictor

__all__ = ["Polynomial"]


class Polynomial(MotionPredictor):
    """Position as a polynomial in time, by least squares with a penalty on all coefficients but the constant.

    The fit is linear in the points, so that all histories of one length share one matrix.
    """

    config_class: ClassVar[type[ModelConfig]] = PolynomialConfig

    config: PolynomialConfig

    def _paths(self, contexts: np.ndarray, lengths: np.ndarray, *, dt: float, steps: int) -> np.ndarray:
        options = self.config
        return by_length(
            contexts,
            lengths,
            lambda n: polynomial_weights(
                n, steps, degree=options.degree, ridge=options.ridge, decay=options.decay
            ),
        )
