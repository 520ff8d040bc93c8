"""`trajectory/gaussian-process`: each coordinate a smooth random function of time about its trend."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.errors import ShapeError
from forecast_core.prediction import Prediction
from forecast_core.run import Run
from forecast_traffic.trajectory.configs import GaussianProcessConfig
from forecast_traffic.trajectory.extrapolation import by_length, polynomial_weights
from forecast_traffic.trajectory.likelihood import minimised
from forecast_traffic.trajectory.models.tracking import TrackPredictor, path_prediction
from forecast_traffic.trajectory.moments import WindowMoments, window_moments
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["GaussianProcess", "posterior"]

_BOUNDS = np.log([(0.05, 500.0), (1e-6, 1e6), (1e-8, 1e3)])  # length scale s, variance m^2, noise m^2


class GaussianProcess(TrackPredictor):
    """Exact regression with an RBF kernel and white noise on the history, one process a coordinate.

    Kernel and times are the same for all histories of one length, so that one Cholesky factor serves all of
    them; means are linear in the points. The variance is that of a position to be measured: posterior and
    noise. Fitted, kernel parameters are those under which the training horizons are likeliest given their
    histories, step by step; all that takes is second moments of the windows, which `update` adds to.

    Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), ch. 2.
    """

    config_class: ClassVar[type[ModelConfig]] = GaussianProcessConfig

    config: GaussianProcessConfig

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._moments: WindowMoments | None = None
        self._kernel = np.array([self.config.length_scale, self.config.variance, self.config.noise])

    @property
    def kernel(self) -> dict[str, float]:
        """Length scale in s, variance and noise in m^2, as given or as fitted."""
        return dict(zip(("length_scale", "variance", "noise"), self._kernel.tolist(), strict=True))

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        self._learn(self._training_windows(data), None)

    def _update(self, data: Any, *, since: Any) -> None:
        windows = self._training_windows(data)
        if since is not None:
            windows = windows.take(windows.label_ends >= since)
        if len(windows):
            self._learn(windows, self._moments)

    def _learn(self, windows: TrackWindows, known: WindowMoments | None) -> None:
        length, steps, dt = self.longest_history, windows.horizon, windows.data.dt
        fresh = window_moments(windows, length)
        if fresh is None and known is None:
            raise ShapeError("data", f"holds a window with {length} points of history")
        moments = fresh if known is None else known if fresh is None else known + fresh
        assert moments is not None
        self._moments = moments
        self._kernel = np.array([self.config.length_scale, self.config.variance, self.config.noise])
        if self.config.fit_kernel:

            def cost(parameters: np.ndarray) -> float:
                weights, variance = self._extrapolation(length, steps, dt, np.exp(parameters))
                errors = np.concatenate([-weights, np.eye(steps)], axis=1)  # truth less mean
                return float((np.log(variance) + moments.squares(errors) / variance).mean())

            self._kernel = np.exp(minimised(cost, np.log(self._kernel), _BOUNDS))

    def _extrapolation(
        self, length: int, steps: int, dt: float, kernel: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights [steps, length] of the points in the mean, and variances [steps] in m^2."""
        past, ahead = dt * np.arange(1 - length, 1), dt * np.arange(1, steps + 1)
        smooth, variance = posterior(past, ahead, *kernel.tolist())
        if self.config.trend == "line":
            line = polynomial_weights(length, steps, degree=1, ridge=0.0)
            return smooth - smooth @ _line_inside(length) + line, variance
        last = np.zeros((1, length))
        last[0, -1] = 1.0
        return smooth - smooth.sum(1, keepdims=True) * last + last, variance

    def _answer(self, windows: TrackWindows) -> Prediction:
        contexts, lengths = self._contexts(windows)
        steps, dt = windows.horizon, windows.data.dt
        known = {n: self._extrapolation(n, steps, dt, self._kernel) for n in np.unique(lengths).tolist()}
        paths = by_length(contexts, lengths, lambda n: known[n][0])
        variances = np.empty((len(windows), steps))
        for n, (_, variance) in known.items():
            variances[lengths == n] = variance
        covariances = variances[..., None, None] * np.eye(2)
        return path_prediction(windows, paths[..., None], covariances[..., None])

    def _state(self) -> State:
        if self._moments is None:
            return State()
        return State(arrays={"kernel": self._kernel, **self._moments.arrays()})

    def _load_state(self, state: State) -> None:
        if not state.arrays:
            return
        kernel = state.arrays["kernel"]
        if kernel.shape != (3,):
            raise ValueError(f"kernel is of {kernel.shape}")
        self._kernel, self._moments = kernel, WindowMoments.of_arrays(state.arrays)


def _line_inside(length: int) -> np.ndarray:
    """Projection [length, length] of points on their line of least squares."""
    design = np.stack([np.ones(length), np.linspace(-1.0, 0.0, length)], axis=1)
    inside: np.ndarray = design @ np.linalg.pinv(design)
    return inside


def posterior(
    past: np.ndarray, ahead: np.ndarray, length_scale: float, variance: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [steps, length] of known values in the posterior mean, and predictive variances [steps].

    past [length], ahead [steps]: seconds. The kernel is variance exp(-d^2 / 2 length_scale^2), and `noise` on
    every measured value, those to come among them. Zero prior mean.
    """
    from scipy.linalg import cho_factor, cho_solve

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        apart: np.ndarray = (a[:, None] - b) / length_scale
        return np.asarray(variance * np.exp(-0.5 * apart**2))

    cross = kernel(ahead, past)
    factor = cho_factor(kernel(past, past) + noise * np.eye(len(past)), lower=True)
    weights: np.ndarray = cho_solve(factor, cross.T).T
    left = variance - (weights * cross).sum(1)
    return weights, np.maximum(left, 0.0) + noise
