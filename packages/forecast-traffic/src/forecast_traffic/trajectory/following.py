"""Ellipses that follow how often those of earlier moments missed: conformal calibration online."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.prediction import PathMixturePrediction
from forecast_traffic.trajectory.calibration import FACTORS, needed_factors, scaled
from forecast_traffic.trajectory.metrics.density import density_levels

__all__ = ["FactorTracker", "follow"]


class FactorTracker:
    """Factors of standard deviations at each moment of one recording, led by what was missed before.

    The log of step k's factor begins at that of start[k - 1]. It rises by rate * (missed - (1 - coverage))
    for each moment whose step k has come true by now; missed is the share of that moment's positions which
    their ellipses, as they were given then, did not hold. So nothing later than a frame moves what is given
    at it, and where ellipses miss too often they widen until they do not.

    Whatever the paths do, and however unlike they are to those that `start` is from: over the first T moments
    whose step k was seen, the mean of `missed` differs from 1 - coverage by at most
    log(50^2) / (rate T) + k / T, as long as factors between 1/50 and 50 are all that is ever needed. On the
    average it comes much nearer. This is of moments in the long run, not of a single path.

    start: [h], within 1/50 and 50. coverage: within (0, 1). rate: above 0; InvalidInputError otherwise.
    Sources: Gibbs & Candes, Adaptive conformal inference under distribution shift (2021); Angelopoulos,
    Candes & Tibshirani, Conformal PID control (2023), quantile tracking, here with outcomes that come late.
    """

    def __init__(self, start: np.ndarray, *, coverage: float, rate: float) -> None:
        low, high = FACTORS
        begin = np.asarray(start, dtype=np.float64)
        if begin.ndim != 1 or not len(begin):
            raise ShapeError("start", "is [h], one factor a step", got=begin.shape)
        if not ((begin >= low) & (begin <= high)).all():
            raise InvalidInputError("start", f"lies within {low:g} and {high:g}", got=begin)
        for name, value, most in (("coverage", coverage, 1.0), ("rate", rate, math.inf)):
            if not 0.0 < value < most:
                raise InvalidInputError(name, f"lies above 0 and below {most:g}", got=value)
        self._rate, self._share = rate, 1.0 - coverage
        steps = np.arange(1, len(begin) + 1)
        # Where factors within the range are all that is needed, late outcomes lead no further than this.
        self._low = math.log(low) - rate * self._share * steps
        self._high = math.log(high) + rate * (1.0 - self._share) * steps
        self._moments: list[int] = []
        self._logs = [np.log(begin)]  # after each moment; of step k once it has come true

    def at(self, frame: int) -> np.ndarray:
        """Factors [h] of the ellipses given at a frame, by what had come true up to it."""
        steps = range(len(self._low))
        seen = [bisect_right(self._moments, frame - k - 1) for k in steps]
        logs = np.array([self._logs[n][k] for n, k in zip(seen, steps, strict=True)])
        factors: np.ndarray = np.clip(np.exp(logs), *FACTORS)
        return factors

    def learn(self, frame: int, missed: np.ndarray) -> None:
        """What became of the ellipses given at a frame: share missed [h] a step, NaN where none was seen.

        Moments come in order of time (InvalidInputError). Each step counts from the frame on at which it is
        known, however early it is told here.
        """
        if self._moments and frame <= self._moments[-1]:
            raise InvalidInputError("frame", f"is after {self._moments[-1]}, the last one learned", got=frame)
        missed = np.asarray(missed, dtype=np.float64)
        if missed.shape != self._low.shape:
            raise ShapeError("missed", f"is [{len(self._low)}], a share a step", got=missed.shape)
        push = np.where(np.isnan(missed), 0.0, missed - self._share)
        self._moments.append(int(frame))
        self._logs.append(np.clip(self._logs[-1] + self._rate * push, self._low, self._high))


def follow(
    tracker: FactorTracker,
    prediction: PathMixturePrediction,
    truth: np.ndarray,
    frames: np.ndarray,
    *,
    coverage: float,
) -> None:
    """Lead a tracker through one recording's windows, moment by moment.

    prediction: as the model gives it, a row a window; truth [n, h, 2]: positions that came, NaN where
    unknown; frames [n]: of origins.
    """
    moments, of = np.unique(frames, return_inverse=True)
    order = np.argsort(of, kind="stable")
    begins = np.searchsorted(of[order], np.arange(len(moments) + 1)).tolist()
    single = prediction.weights.shape[1] == 1
    needed = needed_factors(prediction, truth, coverage=coverage) if single else None  # [n, h]
    for k, moment in enumerate(moments.tolist()):
        rows = order[begins[k] : begins[k + 1]]
        factors = tracker.at(moment)
        if needed is not None:
            value, limit = needed[rows], factors
        else:
            value = density_levels(scaled(prediction.take(rows), factors), truth[rows])
            limit = np.full(len(factors), coverage)
        known = ~np.isnan(value)  # [m, h]
        count = known.sum(0)
        with np.errstate(invalid="ignore"):  # nobody was seen at a step: 0 / 0
            missed = (known & (value > limit)).sum(0) / count
        tracker.learn(moment, missed)
