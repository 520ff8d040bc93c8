"""Kalman filtering of evenly spaced positions, whose gains do not depend on the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["LinearMotion", "smoothed"]


@dataclass(frozen=True, kw_only=True)
class LinearMotion:
    """One coordinate whose velocity (or acceleration) is a random walk, measured with noise.

    transition, process [d, d]: of a step; noise: variance of a measurement in m^2; first [d, d]: covariance
    of the state about the first measurement. The state is position, velocity and for d = 3 acceleration.
    Source: Bar-Shalom, Li & Kirubarajan (2001), 6.2.2 and 6.2.3, discretised continuous white noise.
    """

    transition: np.ndarray
    process: np.ndarray
    noise: float
    first: np.ndarray

    @classmethod
    def of(
        cls,
        motion: Literal["velocity", "acceleration"],
        *,
        dt: float,
        process: float,
        noise: float,
        speed: float,
        acceleration: float,
    ) -> LinearMotion:
        """process: spectral density, m^2/s^3 or m^2/s^5; noise: variance in m^2; speed, acceleration:
        standard deviations at the first measurement.
        """
        if motion == "velocity":
            transition = np.array([[1.0, dt], [0.0, 1.0]])
            wander = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            first = np.diag([noise, speed**2])
        else:
            transition = np.array([[1.0, dt, dt**2 / 2], [0.0, 1.0, dt], [0.0, 0.0, 1.0]])
            wander = np.array(
                [
                    [dt**5 / 20, dt**4 / 8, dt**3 / 6],
                    [dt**4 / 8, dt**3 / 3, dt**2 / 2],
                    [dt**3 / 6, dt**2 / 2, dt],
                ]
            )
            first = np.diag([noise, speed**2, acceleration**2])
        return cls(transition=transition, process=process * wander, noise=noise, first=first)

    def filtered(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """State after `length` measurements as weights of them [d, length], and its covariance [d, d]."""
        state = np.zeros((len(self.first), length))
        state[0, 0] = 1.0
        covariance = self.first
        for k in range(1, length):
            state, covariance = self._next(state, covariance)
            gain = covariance[:, 0] / (covariance[0, 0] + self.noise)
            seen = -state[0]
            seen[k] += 1.0
            state = state + np.outer(gain, seen)
            covariance = covariance - np.outer(gain, covariance[0])
        return state, covariance

    def _next(self, state: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = self.transition
        return f @ state, f @ covariance @ f.T + self.process

    def ahead(self, length: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights [steps, length] of measurements in the positions to come, and variances [steps] of their
        measurements.
        """
        state, covariance = self.filtered(length)
        weights, variances = np.empty((steps, length)), np.empty(steps)
        for k in range(steps):
            state, covariance = self._next(state, covariance)
            weights[k], variances[k] = state[0], covariance[0, 0] + self.noise
        return weights, variances

    def innovations(self, length: int) -> tuple[np.ndarray, np.ndarray]:
        """What each measurement but the first adds to what was expected: as weights of the measurements
        [length - 1, length], and its variance [length - 1].
        """
        state = np.zeros((len(self.first), length))
        state[0, 0] = 1.0
        covariance = self.first
        weights, variances = np.zeros((length - 1, length)), np.empty(length - 1)
        for k in range(1, length):
            state, covariance = self._next(state, covariance)
            weights[k - 1] = -state[0]
            weights[k - 1, k] += 1.0
            variances[k - 1] = covariance[0, 0] + self.noise
            gain = covariance[:, 0] / variances[k - 1]
            state = state + np.outer(gain, weights[k - 1])
            covariance = covariance - np.outer(gain, covariance[0])
        return weights, variances

    def log_likelihood(self, measured: np.ndarray) -> float:
        """Log likelihood of a series [length] given its first measurement, in nats."""
        weights, variances = self.innovations(len(measured))
        errors = weights @ (measured - measured[0])
        return float(-0.5 * (np.log(2.0 * np.pi * variances) + errors**2 / variances).sum())


def smoothed(model: LinearMotion, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [length, ...] given all measurements [length, ...], later ones too, and variances [length].

    The Rauch-Tung-Striebel smoother; for cleaning tracks afterwards, never for predicting.
    """
    length, size = len(measured), len(model.first)
    shape = measured.shape[1:]
    states = np.zeros((length, size, *shape))
    states[0, 0] = measured[0]
    covariances = np.empty((length, size, size))
    covariances[0] = model.first
    expected, spread = states.copy(), covariances.copy()
    for k in range(1, length):
        expected[k] = np.tensordot(model.transition, states[k - 1], 1)
        spread[k] = model.transition @ covariances[k - 1] @ model.transition.T + model.process
        gain = spread[k][:, 0] / (spread[k][0, 0] + model.noise)
        error = measured[k] - expected[k, 0]
        states[k] = expected[k] + gain.reshape(-1, *(1,) * len(shape)) * error
        covariances[k] = spread[k] - np.outer(gain, spread[k][0])
    for k in range(length - 2, -1, -1):
        back = np.linalg.solve(spread[k + 1], model.transition @ covariances[k]).T
        states[k] += np.tensordot(back, states[k + 1] - expected[k + 1], 1)
        covariances[k] += back @ (covariances[k + 1] - spread[k + 1]) @ back.T
    return states[:, 0], covariances[:, 0, 0]
