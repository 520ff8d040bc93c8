"""`trajectory/calibrated`: a model with ellipses that hold their share, of held-back tracks or as they go."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal, cast
from weakref import ReferenceType, ref

import numpy as np

from forecast_core import registry
from forecast_core.artifacts import State
from forecast_core.compose.members import build, composed_spec, described, fit_member, pack, unpack
from forecast_core.config import ModelConfig
from forecast_core.data.reading import fingerprint_of, last_time, later, signature_of
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.evaluation.evaluating import evaluation_windows, refuse_seen
from forecast_core.evaluation.refitting import fresh
from forecast_core.evaluation.scores import predict_in_batches
from forecast_core.prediction import PathMixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_core.specs import ModelSpec
from forecast_traffic.trajectory.calibration import ellipse_factors, scaled
from forecast_traffic.trajectory.configs import CalibratedConfig
from forecast_traffic.trajectory.following import FactorTracker, follow
from forecast_traffic.trajectory.models.tracking import validation_windows
from forecast_traffic.trajectory.tracks import Tracks
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["Calibrated", "calibrate_ellipses"]

_PATHS = 2000  # calibrated on at most
_AT_ONCE = 8192  # windows looked back at


class Calibrated(Predictor[Tracks]):
    """Standard deviations of each step times a number: `calibration.ellipse_factors`, `FactorTracker`.

    Paths stay as they are. Calibration is on the validation data, else on a share of tracks that the model is
    not fitted on; at most 2,000 windows of them count, drawn by the seed.

    method="split" multiplies by these numbers wherever it predicts: where calibration and new paths are
    exchangeable, each ellipse holds its position with the probability promised; elsewhere it may not.
    method="adaptive" begins with them in every recording (scene) and then follows: at an origin it looks
    back at what it would have said of everybody there who had a whole history at an earlier frame, and at
    which of these positions, known by now, lay outside. It needs no update: the data it predicts from holds
    that past. In the long run it holds its share in whatever recording (bound: `FactorTracker`); at first,
    and where nobody has a whole history, it is the split calibration.
    """

    config_class: ClassVar[type[ModelConfig]] = CalibratedConfig
    accepts_windows = True
    fits_validation = True

    config: CalibratedConfig

    def __init__(self, config: CalibratedConfig | None = None, *, spec: ModelSpec | None = None) -> None:
        super().__init__(config, spec=spec)
        (self.model,) = build([self.config.model])
        own = spec if spec is not None else registry.model_spec("trajectory/calibrated")
        self._spec = composed_spec(own, [self.model], prediction="path-mixture", needs_fit=True)
        self._factors = np.ones(0)
        # What was found in the recordings of the data last predicted from.
        self._followed: tuple[ReferenceType[Tracks], dict[int, FactorTracker]] | None = None

    @property
    def factors(self) -> np.ndarray:
        """What the standard deviations of each step are multiplied by, or begin to be, [h]."""
        self._need_fitted("factors")
        return self._factors

    def adopt(self, model: Predictor[Any], calibration: Tracks | TrackWindows, *, seed: int = 0) -> None:
        """Take a copy of a fitted model, and calibrate it on data it was not fitted on."""
        if not model.is_fitted or model.config != self.model.config:
            raise CapabilityError(f"ellipses are calibrated of a fitted predictor; {model!r} is not")
        self.model = copy.deepcopy(model)
        windows = cast(TrackWindows, evaluation_windows((model,), calibration, horizon=None, stride=1))
        if windows.origins.dtype.kind == "M":
            refuse_seen(model, windows.origins.min(), until=model.info.fitted_until)
        self._calibrate(windows, seed)
        known = model.info
        self._info = None
        self._info = self.info.model_copy(
            update={
                "fitted": True,
                "seed": known.seed,
                "data": known.data or signature_of(windows),
                "trained_on": known.trained_on or fingerprint_of(windows),
                "validated_on": fingerprint_of(windows),
                "fitted_until": later(last_time(windows), known.fitted_until),
                "seen_until": later(last_time(windows), known.seen_until),
            }
        )

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        held = validation
        if held is None:
            windows = self._windows(data)
            tracks = np.unique(windows.tracks)
            count = max(1, round(len(tracks) * self.config.calibration_share))
            if count >= len(tracks):
                raise InvalidInputError(
                    "data", "holds tracks both to fit and to calibrate on", got=len(tracks)
                )
            chosen = np.random.default_rng(seed).permutation(tracks)[:count]
            back = np.isin(windows.tracks, chosen)
            held, data = windows.take(back), windows.take(~back)
        self.model = fit_member(fresh(self.model), data, validation=None, seed=seed, run=run, name="model")
        self._calibrate(validation_windows(self._windows(held), held, fitted=data), seed)

    def _windows(self, data: Any) -> TrackWindows:
        if isinstance(data, TrackWindows):
            return data
        return cast(Tracks, data).windows(context_length=self._history(data), horizon=self.config.horizon)

    def _history(self, data: Tracks) -> int:
        """Points of a whole history: as configured, and never fewer than the model needs."""
        return max(self.config.context_length, self.model._context_rows(data) or 1)

    def _calibrate(self, windows: TrackWindows, seed: int) -> None:
        if len(windows) > _PATHS:
            chosen = np.random.default_rng(seed).choice(len(windows), _PATHS, replace=False)
            windows = windows.take(np.sort(chosen))
        prediction = self._paths(predict_in_batches(self.model, windows))
        self._followed = None
        self._factors = ellipse_factors(prediction, windows.targets()[0], coverage=self.config.coverage)

    def _paths(self, prediction: Prediction) -> PathMixturePrediction:
        if not isinstance(prediction, PathMixturePrediction):
            raise CapabilityError(f"{self.model.spec.id} gives {prediction.kind} predictions, not ellipses")
        return prediction

    def _predict(self, data: Tracks, *, horizon: int | None) -> Prediction:
        prediction = self.model.predict(data, horizon=horizon)
        track = {name: k for k, name in enumerate(data.item_ids)}
        ends = data.offsets[[track[name] + 1 for name in prediction.item_ids]] - 1
        return self._widened(prediction, data, ends)

    def _predict_windows(self, windows: Any) -> Prediction:
        return self._widened(self.model.predict_windows(windows), windows.data, windows.rows)

    def _widened(self, prediction: Prediction, data: Tracks, origins: np.ndarray) -> Prediction:
        """origins [n]: the row of the data at which each row of the prediction was made."""
        paths = self._paths(prediction)
        if paths.horizon > len(self._factors):
            raise InvalidInputError(
                "horizon", f"is at most {len(self._factors)}, the steps calibrated", got=paths.horizon
            )
        if self.config.method == "split":
            return scaled(paths, self._factors)
        scenes = data.scene_of_row[origins]
        trackers = self._trackers(data, np.unique(scenes).tolist())
        moments, of = np.unique(np.stack([scenes, data.frames[origins]]), axis=1, return_inverse=True)
        factors = np.stack([trackers[scene].at(frame) for scene, frame in moments.T.tolist()])
        return scaled(paths, factors[of.reshape(-1)])

    def _trackers(self, data: Tracks, scenes: list[int]) -> dict[int, FactorTracker]:
        """Trackers of some recordings, led through all that the data holds of them; `at` looks back only."""
        known = self._followed[1] if self._followed is not None and self._followed[0]() is data else {}
        coverage, rate = self.config.coverage, self.config.learning_rate
        first, last = data.run_of_row
        row, history = np.arange(len(data.frames)), self._history(data)
        told = (row - first + 1 >= history) & (row < last)
        for scene in scenes:
            if scene in known:
                continue
            tracker = FactorTracker(self._factors, coverage=coverage, rate=rate)
            rows = np.flatnonzero(told & (data.scene_of_row == scene))
            for part in _whole_moments(rows, data.frames):
                windows = TrackWindows(data, part, history, len(self._factors))
                prediction = self._paths(self.model.predict_windows(windows))
                came = _came(data, part, windows.horizon)
                follow(tracker, prediction, came, data.frames[part], coverage=coverage)
            known = {**known, scene: tracker}
        self._followed = (ref(data), known)
        return known

    def _context_rows(self, data: Tracks) -> int | None:
        return self.model._context_rows(data)

    def _least_rows(self, data: Tracks) -> int | None:
        return self.model._least_rows(data)

    def _state(self) -> State:
        packed = pack([self.model])
        return State(arrays={**packed.arrays, "factors": self._factors}, texts=packed.texts)

    def _load_state(self, state: State) -> None:
        unpack([self.model], state)
        self._factors, self._followed = state.arrays["factors"], None
        if self._factors.ndim != 1 or not len(self._factors):
            raise ValueError(f"factors are of {self._factors.shape}")


def _whole_moments(rows: np.ndarray, frames: np.ndarray) -> list[np.ndarray]:
    """Rows in order of time, in parts of about `_AT_ONCE` that never tear a moment apart."""
    if not len(rows):
        return []
    ordered = rows[np.argsort(frames[rows], kind="stable")]
    begins = np.flatnonzero(np.diff(frames[ordered])) + 1  # of every moment but the first
    cuts = np.searchsorted(begins, np.arange(_AT_ONCE, len(rows), _AT_ONCE))
    return np.split(ordered, np.unique(begins[cuts[cuts < len(begins)]]))


def _came(data: Tracks, rows: np.ndarray, horizon: int) -> np.ndarray:
    """Positions [n, horizon, 2] that followed some rows within their run, NaN past its end."""
    at = rows[:, None] + np.arange(1, horizon + 1)
    inside = at <= data.run_of_row[1][rows][:, None]
    return np.where(inside[..., None], data.xy[np.where(inside, at, 0)], np.nan)


def calibrate_ellipses(
    model: Predictor[Any],
    calibration: Tracks | TrackWindows,
    *,
    coverage: float = 0.9,
    method: Literal["split", "adaptive"] = "split",
    learning_rate: float = 0.1,
    seed: int = 0,
) -> Calibrated:
    """A fitted model with ellipses that hold their share of `calibration`, which it was not fitted on.

    method: "split" takes that for all recordings; "adaptive" begins with it, and then follows how often the
    ellipses given earlier in the same recording missed, at `learning_rate` (see `Calibrated`).

    Raises CapabilityError for a model that is not fitted or predicts no ellipses, LeakError where it was
    fitted on the calibration times, DataError for too few paths.
    """
    member = described(model).model_dump(mode="json")
    made = registry.create_model(
        "trajectory/calibrated", model=member, coverage=coverage, method=method, learning_rate=learning_rate
    )
    calibrated = cast(Calibrated, made)
    calibrated.adopt(model, calibration, seed=seed)
    return calibrated
