"""`trajectory/constant-turn`: the present speed along a circle."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_traffic.trajectory.configs import ConstantTurnConfig
from forecast_traffic.trajectory.geometry import wrapped
from forecast_traffic.trajectory.models.motion import MotionPredictor

__all__ = ["ConstantTurn"]

_SLOW = 0.1  # m/s, below which a direction means nothing


class ConstantTurn(MotionPredictor):
    """The last step, turned by the same angle again and again.

    The angle is that between the last two steps, or the mean of angles between the steps of the history,
    steps below 0.1 m/s left out; at most `max_turn_rate`. Points on a circle are continued on it.
    """

    config_class: ClassVar[type[ModelConfig]] = ConstantTurnConfig

    config: ConstantTurnConfig

    @property
    def least_rows(self) -> int:
        """Two steps make an angle."""
        return 3

    def _paths(self, contexts: np.ndarray, lengths: np.ndarray, *, dt: float, steps: int) -> np.ndarray:
        moves = np.diff(contexts if self.config.estimate == "mean" else contexts[:, -3:], axis=1)
        angle = np.arctan2(moves[..., 1], moves[..., 0])  # [n, L - 1], NaN before the history begins
        slow = ~(np.linalg.norm(moves, axis=-1) >= _SLOW * dt)
        turns = wrapped(np.diff(angle, axis=1))
        counts = ~(slow[:, 1:] | slow[:, :-1])
        total = np.where(counts, turns, 0.0).sum(1)
        rate = total / np.maximum(counts.sum(1), 1)  # radians a step
        rate = np.clip(rate, -self.config.max_turn_rate * dt, self.config.max_turn_rate * dt)
        ahead = rate[:, None] * np.arange(1, steps + 1)  # [n, steps]
        x, y = moves[:, -1, 0, None], moves[:, -1, 1, None]
        cos, sin = np.cos(ahead), np.sin(ahead)
        step = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        paths: np.ndarray = contexts[:, -1, None] + np.cumsum(step, axis=1)
        return paths
