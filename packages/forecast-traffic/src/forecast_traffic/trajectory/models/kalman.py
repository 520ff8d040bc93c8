"""`trajectory/kalman`: a Kalman filter on each coordinate, its noise fitted by the innovations likelihood."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.errors import ShapeError
from forecast_core.prediction import Prediction
from forecast_core.run import Run
from forecast_traffic.trajectory.configs import KalmanConfig
from forecast_traffic.trajectory.extrapolation import by_length
from forecast_traffic.trajectory.filtering import LinearMotion, smoothed
from forecast_traffic.trajectory.likelihood import minimised
from forecast_traffic.trajectory.models.tracking import TrackPredictor, path_prediction
from forecast_traffic.trajectory.moments import WindowMoments, window_moments
from forecast_traffic.trajectory.tracks import Tracks
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["Kalman"]

_BOUNDS = np.log([(1e-8, 1e4), (1e-4, 1e2), (1e-2, 1e3)])  # process noise, position noise, first speed


class Kalman(TrackPredictor):
    """Position and velocity (and acceleration) of each coordinate, filtered along the history and carried on.

    Fitted, process noise, position noise and the spread of first speeds are those under which all points of
    the training windows are likeliest, each given those before it. Between gaps points are evenly spaced, so
    gains and variances are the same for all histories of one length and the likelihood follows from second
    moments of the windows, which `update` adds to.
    """

    config_class: ClassVar[type[ModelConfig]] = KalmanConfig

    config: KalmanConfig

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._moments: WindowMoments | None = None
        self._noise = self._configured()

    def _configured(self) -> np.ndarray:
        options = self.config
        return np.array([options.process_noise, options.position_noise, options.first_speed])

    @property
    def noise(self) -> dict[str, float]:
        """process_noise, position_noise in m and first_speed in m/s, as given or as fitted."""
        names = ("process_noise", "position_noise", "first_speed")
        return dict(zip(names, self._noise.tolist(), strict=True))

    def motion(self, dt: float) -> LinearMotion:
        """The model of one coordinate for steps of `dt` seconds."""
        return self._motion(dt, self._noise)

    def _motion(self, dt: float, noise: np.ndarray) -> LinearMotion:
        process, position, speed = noise.tolist()
        return LinearMotion.of(
            self.config.motion,
            dt=dt,
            process=process,
            noise=position**2,
            speed=speed,
            acceleration=self.config.first_acceleration,
        )

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        self._learn(self._training_windows(data), None)

    def _update(self, data: Any, *, since: Any) -> None:
        windows = self._training_windows(data)
        if since is not None:
            windows = windows.take(windows.label_ends >= since)
        if len(windows):
            self._learn(windows, self._moments)

    def _learn(self, windows: TrackWindows, known: WindowMoments | None) -> None:
        length = self.longest_history
        points, dt = length + windows.horizon, windows.data.dt
        fresh = window_moments(windows, length)
        if fresh is None and known is None:
            raise ShapeError("data", f"holds a window with {length} points of history")
        moments = fresh if known is None else known if fresh is None else known + fresh
        assert moments is not None

        def cost(parameters: np.ndarray) -> float:
            weights, variances = self._motion(dt, np.exp(parameters)).innovations(points)
            return float((np.log(variances) + moments.squares(weights) / variances).mean())

        self._moments = moments
        self._noise = np.exp(minimised(cost, np.log(self._configured()), _BOUNDS))

    def _answer(self, windows: TrackWindows) -> Prediction:
        contexts, lengths = self._contexts(windows)
        steps, motion = windows.horizon, self.motion(windows.data.dt)
        known = {n: motion.ahead(n, steps) for n in np.unique(lengths).tolist()}
        paths = by_length(contexts, lengths, lambda n: known[n][0])
        variances = np.empty((len(windows), steps))
        for n, (_, variance) in known.items():
            variances[lengths == n] = variance
        covariances = variances[..., None, None] * np.eye(2)
        return path_prediction(windows, paths[..., None], covariances[..., None])

    def smooth(self, data: Tracks) -> Tracks:
        """The tracks with each position given all measurements of its stretch, later ones too.

        The standard deviation in metres is the column "position_sd". For cleaning recordings; what is
        predicted from smoothed tracks has seen the future.
        """
        self._need_fitted("smooth")
        self._check_step(data)
        first, last = data.run_of_row
        begins = np.unique(first)
        lengths = last[begins] - begins + 1
        xy, spread = np.empty_like(data.xy), np.empty(len(data.xy))
        motion = self.motion(data.dt)
        for length in np.unique(lengths).tolist():  # stretches of one length at once
            rows = begins[lengths == length][:, None] + np.arange(length)  # [m, length]
            found, variances = smoothed(motion, data.xy[rows].transpose(1, 0, 2))
            xy[rows] = found.transpose(1, 0, 2)
            spread[rows] = np.sqrt(np.maximum(variances, 0.0))
        return replace(data, xy=xy, columns={**data.columns, "position_sd": spread})

    def _state(self) -> State:
        if self._moments is None:
            return State()
        return State(arrays={"noise": self._noise, **self._moments.arrays()})

    def _load_state(self, state: State) -> None:
        if not state.arrays:
            return
        noise = state.arrays["noise"]
        if noise.shape != (3,):
            raise ValueError(f"noise is of {noise.shape}")
        self._noise, self._moments = noise, WindowMoments.of_arrays(state.arrays)
