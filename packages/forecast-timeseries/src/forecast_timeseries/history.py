"""`PredictionHistory`: what was predicted, what then happened, and whether the errors have grown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from forecast_core.data.instants import instants
from forecast_core.errors import CapabilityError, DataError, InvalidInputError, ShapeError
from forecast_core.prediction import ForecastPrediction, PointPrediction
from forecast_core.validation import fraction, listed, numbers, whole

__all__ = ["LiveScores", "PredictionHistory"]

_SLACK = 0.5  # standard deviations by which errors may exceed their mean for nothing
_LARGEST = 4.0  # standard deviations that one error counts at most


class LiveScores(BaseModel):
    """Errors of the predictions whose truth has come. mae, rmse, bias (prediction minus truth) in the
    target's unit; coverage of the central interval, None for points; by_step: MAE by steps ahead. All are
    None while nothing was observed.
    """

    model_config = ConfigDict(frozen=True)

    observed: int
    pending: int
    mae: float | None
    rmse: float | None
    bias: float | None
    coverage: float | None
    by_step: dict[int, float]


class PredictionHistory:
    """A rolling store of the last `capacity` predicted values, and of the truth as it comes.

    interval: central coverage that is watched. `drift` is raised by a one-sided CUSUM (Page 1954) over the
    absolute errors `step` steps ahead, in the order their truth comes: the first `reference` of them set
    what is normal, then each adds by how many standard deviations it exceeds the mean, less half of one and
    at most four, and the sum never falls below 0. Above `threshold` errors have grown; on steady Gaussian
    errors that happens less than once in 10,000, and errors one standard deviation larger show within
    about `2 * threshold` of them. `reset_drift()` starts anew, as after a refit. Not for several threads.
    """

    def __init__(
        self,
        *,
        capacity: int = 100_000,
        interval: float = 0.9,
        step: int = 1,
        reference: int = 100,
        threshold: float = 15.0,
    ) -> None:
        if not isinstance(threshold, int | float | np.number) or not threshold > 0:
            raise InvalidInputError("threshold", "is a positive number", got=repr(threshold))
        self.capacity, self.interval = whole("capacity", capacity), fraction("interval", interval)
        self.threshold = threshold
        self.step, self.reference = whole("step", step), whole("reference", reference)
        if self.reference < 2:
            raise InvalidInputError("reference", "is at least 2", got=reference)
        self._next = 0
        self._numbers = np.full((self.capacity, 4), np.nan)  # centre, lower, upper, truth
        self._steps = np.zeros(self.capacity, dtype=np.int64)  # 0: nothing stored
        self._keys: list[tuple[Any, str, int] | None] = [None] * self.capacity
        self._targets: set[str] = set()
        self._waiting: dict[tuple[Any, str, int], list[int]] = {}
        self.reset_drift()

    def __len__(self) -> int:
        return min(self._next, self.capacity)

    def record(self, prediction: ForecastPrediction) -> None:
        """Keep a prediction of any number of items, steps and targets.

        Raises CapabilityError for other kinds, InvalidInputError for one without timestamps.
        """
        if not isinstance(prediction, ForecastPrediction):
            raise CapabilityError(f"{type(prediction).__name__} predicts no values that could be observed")
        if prediction.timestamps is None:
            raise InvalidInputError("prediction.timestamps", "say when each value is due")
        points = isinstance(prediction, PointPrediction)
        centre = prediction.mean() if points else prediction.median()  # [i, h, t]
        lower, upper = (centre * np.nan,) * 2 if points else prediction.interval(self.interval)
        stamps = np.broadcast_to(prediction.timestamps, centre.shape[:2]).astype("datetime64[us]")
        due = stamps.astype(np.int64).tolist()
        names = prediction.target_names or ("target",)
        self._targets.update(names)
        numbers = np.stack([centre, lower, upper, np.full_like(centre, np.nan)], axis=-1)
        for i, item in enumerate(prediction.item_ids):
            for h, step in enumerate(prediction.steps or range(1, centre.shape[1] + 1)):
                for t, name in enumerate(names):
                    self._put((item, name, due[i][h]), int(step), numbers[i, h, t])

    def _put(self, key: tuple[Any, str, int], step: int, numbers: np.ndarray) -> None:
        slot = self._next % self.capacity
        old = self._keys[slot]
        if old is not None and old in self._waiting:
            left = [each for each in self._waiting[old] if each != slot]
            if left:
                self._waiting[old] = left
            else:
                del self._waiting[old]
        self._keys[slot], self._steps[slot], self._numbers[slot] = key, step, numbers
        self._waiting.setdefault(key, []).append(slot)
        self._next += 1

    def observe(
        self, timestamps: Any, values: Any, *, item_ids: Sequence[int | str], target: str | None = None
    ) -> int:
        """Take the truth: values [time, item] at timestamps [time], NaN where unknown; how many predicted
        values it settles. A value is settled once; truth that nothing waits for is passed over.

        target: default is the one that predictions have. Raises DataError for what is no number,
        InvalidInputError for a target that no prediction has, or for none where they have several.
        """
        item_ids = listed("item_ids", item_ids)
        name = self._observed_target(target)
        stamps = np.atleast_1d(instants("timestamps", timestamps)).astype(np.int64).tolist()
        truth = numbers("values", values)
        if truth.shape != (len(stamps), len(item_ids)):
            raise ShapeError("values", f"is [time, item] = {(len(stamps), len(item_ids))}", got=truth.shape)
        if np.isinf(truth).any():
            row, k = np.argwhere(np.isinf(truth))[0]
            raise DataError("values", "are finite, or NaN", place=f"row {row}, item {item_ids[k]!r}")
        settled = 0
        for row in np.argsort(stamps, kind="stable").tolist():
            for k, item in enumerate(item_ids):
                if np.isnan(truth[row, k]):
                    continue
                for slot in self._waiting.pop((item, name, stamps[row]), ()):
                    self._numbers[slot, 3] = truth[row, k]
                    settled += 1
                    if self._steps[slot] == self.step:
                        self._watch(abs(float(self._numbers[slot, 0] - truth[row, k])))
        return settled

    def _observed_target(self, target: str | None) -> str:
        if target is None and len(self._targets) > 1:
            raise InvalidInputError("target", f"is one of {sorted(self._targets)}")
        if target is None:
            return next(iter(self._targets), "target")
        if self._targets and target not in self._targets:
            raise InvalidInputError("target", f"is one of {sorted(self._targets)}", got=repr(target))
        return target

    def scores(self, *, last: int | None = None) -> LiveScores:
        """Errors over what is stored, or over the `last` values recorded."""
        count = len(self) if last is None else min(whole("last", last), len(self))
        slots = np.arange(self._next - count, self._next) % self.capacity
        centre, lower, upper, truth = self._numbers[slots].T
        seen = ~np.isnan(truth)
        if not seen.any():
            none = dict.fromkeys(("mae", "rmse", "bias", "coverage"))
            return LiveScores(observed=0, pending=count, by_step={}, **none)
        error, steps = (centre - truth)[seen], self._steps[slots][seen]
        within = ((truth >= lower) & (truth <= upper))[seen & ~np.isnan(lower)]
        return LiveScores(
            observed=int(seen.sum()),
            pending=int(count - seen.sum()),
            mae=float(np.abs(error).mean()),
            rmse=float(np.sqrt((error**2).mean())),
            bias=float(error.mean()),
            coverage=float(within.mean()) if len(within) else None,
            by_step={int(s): float(np.abs(error[steps == s]).mean()) for s in np.unique(steps)},
        )

    @property
    def drift(self) -> bool:
        """Whether errors have grown since the reference; stays raised until `reset_drift`."""
        return self._drift

    def reset_drift(self) -> None:
        """Forget what errors were normal, and learn it from those to come."""
        self._normal: list[float] = []
        self._centre = self._spread = self._excess = 0.0
        self._drift = False

    def _watch(self, error: float) -> None:
        if len(self._normal) < self.reference:
            self._normal.append(error)
            self._centre = float(np.mean(self._normal))
            self._spread = max(float(np.std(self._normal)), 1e-9 * max(self._centre, 1e-300))
            return
        score = min((error - self._centre) / self._spread, _LARGEST)
        self._excess = max(0.0, self._excess + score - _SLACK)
        self._drift = self._drift or self._excess > self.threshold
