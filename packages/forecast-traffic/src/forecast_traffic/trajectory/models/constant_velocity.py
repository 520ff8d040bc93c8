"""`trajectory/constant-velocity`: straight on at the present speed; the baseline of the task."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import ConstantVelocityConfig
from forecast_traffic.trajectory.models.motion import MotionPredictor

__all__ = ["ConstantVelocity"]


class ConstantVelocity(MotionPredictor):
    """The velocity of the last step, or the mean over the history, kept.

    Source: Schoeller et al. 2020, What the constant velocity model can teach us about pedestrian motion
    prediction.
    """

    config_class: ClassVar[type[ModelConfig]] = ConstantVelocityConfig

    config: ConstantVelocityConfig

    def _paths(self, contexts: np.ndarray, lengths: np.ndarray, *, dt: float, steps: int) -> np.ndarray:
        last = contexts[:, -1]
        if self.config.estimate == "last":
            velocity = last - contexts[:, -2]  # metres a step
        else:
            first = contexts[np.arange(len(contexts)), contexts.shape[1] - lengths]
            velocity = (last - first) / (lengths - 1)[:, None]
        paths: np.ndarray = last[:, None] + velocity[:, None] * np.arange(1, steps + 1)[:, None]
        return paths
