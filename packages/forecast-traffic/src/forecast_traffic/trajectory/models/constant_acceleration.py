"""`trajectory/constant-acceleration`: a parabola in time, carried on."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import ConstantAccelerationConfig
from forecast_traffic.trajectory.extrapolation import by_length, polynomial_weights
from forecast_traffic.trajectory.models.motion import MotionPredictor

__all__ = ["ConstantAcceleration"]


class ConstantAcceleration(MotionPredictor):
    """Position as a parabola in time: through the last three points, or fitted by least squares."""

    config_class: ClassVar[type[ModelConfig]] = ConstantAccelerationConfig

    config: ConstantAccelerationConfig

    @property
    def least_rows(self) -> int:
        """A parabola needs three points."""
        return 3

    def _paths(self, contexts: np.ndarray, lengths: np.ndarray, *, dt: float, steps: int) -> np.ndarray:
        if self.config.estimate == "last":
            contexts, lengths = contexts[:, -3:], np.full(len(lengths), 3)
        return by_length(contexts, lengths, lambda n: polynomial_weights(n, steps, degree=2, ridge=0.0))
