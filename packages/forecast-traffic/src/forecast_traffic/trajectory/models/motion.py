"""`MotionPredictor`: a motion carried on, and an ellipse a step from the errors of training paths."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from forecast_core.artifacts import State
from forecast_core.prediction import Prediction
from forecast_core.run import Run
from forecast_traffic.trajectory.configs import MotionConfig
from forecast_traffic.trajectory.geometry import along, directions, turned_covariances
from forecast_traffic.trajectory.models.tracking import TrackPredictor, path_prediction
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["MotionPredictor"]

_PRIOR = 1.0  # windows that the spread before fit counts for
_FLOOR = 1e-6  # m^2, added to every variance


class MotionPredictor(TrackPredictor):
    """A path a window by `_paths`, with Gaussian errors.

    Fitted, the covariance of step h is the mean square of the errors of training windows at that step, ahead
    and aside of the last motion (or in x and y), where one window of the spread before fit counts in. Errors
    count in units of sqrt(1 + (u / position_noise)^2), u the mean length in metres of the history's second
    differences, and ellipses grow with it: who moved unevenly is predicted worse (spread="alike": one size
    for all). Before fit the variance of each coordinate after t seconds is position_noise^2 +
    acceleration_noise * t^3 / 3: a velocity that is a random walk (Bar-Shalom, Li & Kirubarajan, Estimation
    with Applications to Tracking and Navigation, 2001, 6.2.2). Sums of squares add up, so `update` equals a
    fit on everything.
    """

    config: MotionConfig

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._count = 0.0
        self._squares: np.ndarray | None = None  # [h, 2, 2], sums over windows in m^2

    @abstractmethod
    def _paths(self, contexts: np.ndarray, lengths: np.ndarray, *, dt: float, steps: int) -> np.ndarray:
        """Paths [n, steps, 2] that follow histories [n, L, 2], whose last `lengths` [n] points are known."""

    @property
    def longest_horizon(self) -> int | None:
        """The horizon fitted for; any before fit."""
        return None if self._squares is None else len(self._squares)

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        self._squares = None
        self._count, self._squares = self._error_sums(self._training_windows(data))

    def _update(self, data: Any, *, since: Any) -> None:
        windows = self._training_windows(data)
        if since is not None:
            later = windows.label_ends >= since
            if not later.any():
                return
            windows = windows.take(later)
        count, squares = self._error_sums(windows)
        if self._squares is not None:
            count, squares = count + self._count, squares + self._squares
        self._count, self._squares = count, squares

    def _error_sums(self, windows: TrackWindows) -> tuple[float, np.ndarray]:
        contexts, lengths = self._contexts(windows)
        paths = self._paths(contexts, lengths, dt=windows.data.dt, steps=windows.horizon)
        errors = windows.targets()[0] - paths  # [n, h, 2]
        if self.config.axes == "heading":
            errors = along(errors, _heading(contexts))
        errors = errors / self._unevenness(contexts)[:, None, None]
        return float(len(windows)), np.einsum("nhi,nhj->hij", errors, errors)

    # predicting

    def _answer(self, windows: TrackWindows) -> Prediction:
        contexts, lengths = self._contexts(windows)
        steps = windows.horizon
        paths = self._paths(contexts, lengths, dt=windows.data.dt, steps=steps)
        covariances = self._covariances(steps, windows.data.dt)[None]  # [1, h, 2, 2]
        if self.config.axes == "heading":
            covariances = turned_covariances(covariances, _heading(contexts))
        if self._squares is not None:
            covariances = covariances * self._unevenness(contexts)[:, None, None, None] ** 2
        full = np.broadcast_to(covariances, (*paths.shape, 2))
        return path_prediction(windows, paths[..., None], full[..., None])

    def _unevenness(self, contexts: np.ndarray) -> np.ndarray:
        """Unit [n] in which errors of each window count."""
        if self.config.spread == "alike":
            return np.ones(len(contexts))
        second = np.linalg.norm(np.diff(contexts, n=2, axis=1), axis=-1)  # NaN before the history begins
        known = ~np.isnan(second)
        mean = np.where(known, second, 0.0).sum(1) / np.maximum(known.sum(1), 1)
        unit: np.ndarray = np.sqrt(1.0 + (mean / self.config.position_noise) ** 2)
        return unit

    def _covariances(self, steps: int, dt: float) -> np.ndarray:
        """Covariances [steps, 2, 2] of errors, in m^2."""
        t = dt * np.arange(1, steps + 1)
        diffuse = self.config.position_noise**2 + self.config.acceleration_noise * t**3 / 3.0
        prior = diffuse[:, None, None] * np.eye(2)
        if self._squares is None:
            return prior
        pooled = (self._squares[:steps] + _PRIOR * prior) / (self._count + _PRIOR)
        fitted: np.ndarray = pooled + _FLOOR * np.eye(2)
        return fitted

    # storage

    def _state(self) -> State:
        if self._squares is None:
            return State()
        return State(arrays={"squares": self._squares, "count": np.array([self._count])})

    def _load_state(self, state: State) -> None:
        if not state.arrays:
            return
        squares, count = state.arrays["squares"], state.arrays["count"]
        if squares.ndim != 3 or squares.shape[1:] != (2, 2) or count.shape != (1,):
            raise ValueError(f"squares are of {squares.shape}, count of {count.shape}")
        self._squares, self._count = squares, float(count[0])


def _heading(contexts: np.ndarray) -> np.ndarray:
    """Direction [n, 2] of the last motion."""
    return directions(contexts[:, -1] - contexts[:, -2])
