"""`TrackPredictor`: what all trajectory models share, from the checks of their input to their answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from pydantic import JsonValue

from forecast_core.errors import DataError, InvalidInputError, LeakError, ShapeError
from forecast_core.prediction import PathMixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_traffic.trajectory.tracks import Tracks
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["TrackPredictor", "path_prediction"]


class TrackPredictor(Predictor[Tracks]):
    """A model that answers windows of tracks; authors write `_answer`.

    `predict` answers for every track at its own end. Tracks with fewer than `least_rows` points of unbroken
    history are named in the prediction's `metadata["refused"]`, id -> reason; where all of them are,
    ShapeError is raised. `predict_windows` raises ShapeError for the first such window.
    """

    accepts_windows = True

    @property
    def least_rows(self) -> int:
        """Points of history without which the model cannot predict."""
        return 2

    @property
    def longest_history(self) -> int:
        """Points of history read at most: as configured, and never fewer than the model needs."""
        return max(int(self.config.context_length), self.least_rows)

    @property
    def longest_horizon(self) -> int | None:
        """Steps that the model can predict at most; None: any number."""
        return None

    @abstractmethod
    def _answer(self, windows: TrackWindows) -> Prediction:
        """A row a window, `windows.horizon` steps ahead; every window has `least_rows` points of history."""

    def _predict(self, data: Tracks, *, horizon: int | None) -> Prediction:
        assert horizon is not None  # the configuration has one
        self._check_step(data)
        self._check_horizon(horizon)
        windows = TrackWindows.at_ends(data, context_length=self.longest_history, horizon=horizon)
        short = windows.lengths < self.least_rows
        if not short.any():
            return self._answer(windows)
        told = {
            str(windows.data.item_ids[k]): self._refusal(int(windows.lengths[k]))
            for k in np.flatnonzero(short).tolist()
        }
        if short.all():
            track, reason = next(iter(told.items()))
            raise ShapeError("data", "holds a track long enough", place=f"track {track!r}", got=reason)
        refused: dict[str, JsonValue] = {**told}
        answer = self._answer(windows.take(~short))
        return answer.replace(metadata={**answer.metadata, "refused": refused})

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, TrackWindows)
        self._check_step(windows.data)
        self._check_horizon(windows.horizon)
        short = np.flatnonzero(windows.lengths < self.least_rows)
        if len(short):
            at = int(short[0])
            raise ShapeError(
                "windows",
                f"have at least {self.least_rows} points of history",
                place=f"window {at} (track {windows.take(short[:1]).item_ids[0]!r})",
                got=self._refusal(int(windows.lengths[at])),
            )
        return self._answer(windows)

    def _context_rows(self, data: Tracks) -> int | None:
        return self.longest_history

    def _least_rows(self, data: Tracks) -> int | None:
        return self.least_rows

    def _validation_windows(self, data: Any, validation: Any) -> TrackWindows:
        """Windows to validate on, of tracks those that are not fitted on; LeakError where there is none."""
        return validation_windows(self._training_windows(validation), validation, fitted=data)

    def _refusal(self, length: int) -> str:
        return f"{length} points in a row before the origin, {self.spec.id} needs {self.least_rows}"

    def _check_step(self, data: Tracks) -> None:
        wanted = self.config.dt
        if wanted is not None and abs(data.dt - wanted) > 1e-6 * wanted:
            raise DataError("data.dt", f"is {wanted:g} s, as configured", got=data.dt)

    def _check_horizon(self, horizon: int) -> None:
        longest = self.longest_horizon
        if longest is not None and horizon > longest:
            raise InvalidInputError(
                "horizon",
                f"is at most {longest}, what the model was fitted for",
                got=horizon,
                hint="set horizon= when creating the model",
            )

    def _training_windows(self, data: Any) -> TrackWindows:
        """Windows of the configured horizon, all that the data holds or those given."""
        self._check_step(data.data if isinstance(data, TrackWindows) else data)
        if isinstance(data, TrackWindows):
            if data.horizon != self.config.horizon:
                raise InvalidInputError(
                    "data", f"has windows of the horizon {self.config.horizon}", got=data.horizon
                )
            usable = (data.lengths >= self.least_rows) & data.complete
            if not usable.any():
                rule = f"has windows of at least {self.least_rows} points of history and all of their horizon"
                raise ShapeError("data", rule)
            return data.take(usable)
        windows: TrackWindows = data.windows(
            context_length=self.longest_history,
            horizon=self.config.horizon,
            min_context=self.least_rows,
        )
        return windows

    def _contexts(self, windows: TrackWindows) -> tuple[np.ndarray, np.ndarray]:
        """Histories [n, L, 2] of at most `longest_history` points, and how many each has [n]."""
        lengths = np.minimum(windows.lengths, self.longest_history)
        return windows.contexts(int(lengths.max()))[0], lengths


def validation_windows(windows: TrackWindows, validation: Any, *, fitted: Any) -> TrackWindows:
    """Windows of `validation`, without those whose targets are `fitted` on unless they were given as windows.

    LeakError where none is left.
    """
    if isinstance(validation, TrackWindows):
        return windows
    kept = windows.apart_from(fitted)
    if not len(kept):
        raise LeakError("validation holds no path that is not fitted on; give it tracks or times of its own")
    return kept


def path_prediction(
    windows: TrackWindows,
    means: np.ndarray,
    covariances: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    aux: dict[str, np.ndarray] | None = None,
) -> PathMixturePrediction:
    """Gaussian paths as a prediction; means [n, h, 2, k], covariances [n, h, 2, 2, k], weights [n, k].

    `aux` holds "scene" and "frame" [n], by which metrics find who is there together, and what is given.
    """
    if weights is None:
        weights = np.full((len(windows), means.shape[-1]), 1.0 / means.shape[-1])
    return PathMixturePrediction(
        item_ids=windows.item_ids,
        steps=windows.steps,
        timestamps=windows.timestamps(),
        weights=weights,
        means=means,
        covariances=covariances,
        aux={"scene": windows.scenes, "frame": windows.frames, **(aux or {})},
    )
