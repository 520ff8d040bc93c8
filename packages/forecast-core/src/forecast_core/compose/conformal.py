"""`compose/conformal`: a forecast model whose quantiles are corrected by its errors on held-back data."""

from __future__ import annotations

import copy
import json
from typing import Any, ClassVar, cast

import numpy as np

from forecast_core import registry
from forecast_core.artifacts import State
from forecast_core.compose.configs import ConformalConfig
from forecast_core.compose.members import build, composed_spec, fit_member, pack, unpack
from forecast_core.compose.offsets import group_offsets, interquartile_ranges, track
from forecast_core.config import ModelConfig
from forecast_core.data.overlap import unseen
from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import fingerprint_of, known_timeline, last_time, later, signature_of
from forecast_core.errors import CapabilityError, InvalidInputError, ShapeError
from forecast_core.evaluation.evaluating import evaluation_windows, refuse_seen
from forecast_core.evaluation.refitting import fresh
from forecast_core.evaluation.scores import adapted, predict_in_batches
from forecast_core.prediction import ForecastPrediction, PointPrediction, Prediction, QuantilePrediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_core.specs import ModelSpec

__all__ = ["ConformalPredictor"]


class ConformalPredictor(Predictor[Any]):
    """Conformalized quantiles of any forecast model, for each step and each group of items.

    The error of level q is (y - Q_q(x)) / s(x): Q_q the model's quantile (the forecast itself of a point
    model), s its standard deviation where `scaled`, else 1. Prediction adds to Q_q the
    ceil((n + 1) q)-th smallest (below the median: floor) of n calibration errors, in units of s. Where
    calibration and test windows are exchangeable, each side of an interval is missed at most as often as
    promised. method="adaptive" goes on by `update`: each new outcome moves the correction of level q by
    rate * (1{y > Q} - (1 - q)), so that over time coverage is as promised whatever the drift.

    Sources: Romano, Patterson & Candes, Conformalized quantile regression (2019), asymmetric form; Lei et
    al., Distribution-free predictive inference (2018), for the scaling; Angelopoulos, Candes & Tibshirani,
    Conformal PID control (2023), quantile tracking.
    """

    config_class: ClassVar[type[ModelConfig]] = ConformalConfig
    fits_validation = True

    def __init__(self, config: ConformalConfig | None = None, *, spec: ModelSpec | None = None) -> None:
        super().__init__(config, spec=spec)
        (self.model,) = build([self.config.model])
        self._spec = composed_spec(
            spec if spec is not None else registry.model_spec("compose/conformal"),
            [self.model],
            prediction="quantile",
            online=self.config.method == "adaptive",
            needs_fit=True,
        )
        if self.task.kind != "forecast":
            raise CapabilityError(
                f"{self.model.spec.id} does not forecast; conformal quantiles need a forecast"
            )
        self._groups: tuple[str, ...] = ()  # names of groups; the last row of `_offsets` is of all together
        self._offsets = np.zeros((0, 0, 0, 0))  # [group + 1, horizon, target, level]
        self._rates = np.zeros((0, 0, 0))  # [group + 1, horizon, target]

    @property
    def levels(self) -> np.ndarray:
        """Quantile levels that are calibrated, [level]."""
        return np.array(self.config.levels)

    # calibrating

    def adopt(self, model: Predictor[Any], calibration: Data | Windows) -> None:
        """Take a copy of a fitted model and calibrate it on data it was not fitted on.

        Raises LeakError where it was, CapabilityError for a model that is not fitted or does not forecast,
        DataError where a group has too few observed windows for the outermost level.
        """
        if not model.is_fitted or model.config != self.model.config:
            raise CapabilityError(f"conformalize takes a fitted predictor; {model!r} is not")
        self.model = copy.deepcopy(model)
        windows = evaluation_windows((model,), calibration, horizon=self.config.horizon, stride=1)
        if windows.origins is not None:
            refuse_seen(model, windows.origins.min(), until=model.info.fitted_until)
        self._calibrate(windows)
        known, last = model.info, last_time(windows)
        self._info = None
        self._info = self.info.model_copy(
            update={
                "fitted": True,
                "seed": known.seed,
                "data": known.data or signature_of(windows),
                "trained_on": known.trained_on or fingerprint_of(windows),
                "validated_on": fingerprint_of(windows),
                "fitted_until": later(last, known.fitted_until),
                "seen_until": later(last, known.seen_until),
            }
        )

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        """Fit the model on `data` and calibrate it on `validation`, else on the last rows of `data`."""
        model = fresh(self.model)
        if validation is None:
            timeline = known_timeline(data)
            cut = int(len(timeline) * (1 - self.config.calibration_share))
            if cut < 1:
                raise ShapeError("data", "has rows both to fit and to calibrate on", got=len(timeline))
            first = timeline[cut]
            self.model = fit_member(
                model, data.between(None, first), validation=None, seed=seed, run=run, name="model"
            )
            windows = evaluation_windows((self.model,), data, horizon=self.config.horizon, stride=1)
            assert windows.origins is not None
            windows = windows.take(np.flatnonzero(windows.origins >= timeline[cut - 1]))
        else:
            self.model = fit_member(model, data, validation=None, seed=seed, run=run, name="model")
            windows = evaluation_windows((self.model,), validation, horizon=self.config.horizon, stride=1)
            windows = unseen(windows, data)
        if not len(windows):
            raise ShapeError("data", "leaves windows to calibrate on after the rows fitted on")
        self._calibrate(windows)

    def _calibrate(self, windows: Windows) -> None:
        prediction = self._base(windows)
        errors = self._errors(prediction, windows)
        names = self._group_names(prediction)
        self._groups = tuple(sorted(set(names))) if self.config.groups is not None else ()
        of = np.array([self._groups.index(n) if n in self._groups else len(self._groups) for n in names])
        self._offsets = group_offsets(errors, of, self.levels, groups=len(self._groups))
        self._rates = self.config.learning_rate * interquartile_ranges(errors, of, groups=len(self._groups))

    def _base(self, windows: Windows) -> ForecastPrediction:
        prediction = predict_in_batches(self.model, windows)
        if not isinstance(prediction, ForecastPrediction):
            raise CapabilityError(f"{self.model.spec.id} gives {prediction.kind} predictions, not forecasts")
        return prediction

    def _errors(self, prediction: ForecastPrediction, windows: Windows) -> np.ndarray:
        """Errors of every level [n, horizon, target, level], NaN where nothing was observed."""
        targets, mask = windows.targets()
        truth = np.where(mask, targets, np.nan).astype(np.float64)
        quantiles, scale = self._quantiles(prediction)
        errors: np.ndarray = (truth[..., None] - quantiles) / scale[..., None]
        return errors

    def _quantiles(self, prediction: ForecastPrediction) -> tuple[np.ndarray, np.ndarray]:
        """The model's own quantiles [n, horizon, target, level] and scale [n, horizon, target]."""
        if isinstance(prediction, PointPrediction):
            return np.repeat(prediction.mean()[..., None], len(self.levels), -1), np.ones(prediction.shape)
        quantiles = prediction.quantile(self.levels)
        if not self.config.scaled:
            return quantiles, np.ones(prediction.shape)
        scale = np.sqrt(prediction.variance())
        return quantiles, np.where(scale > 0, scale, 1.0)

    def _group_names(self, prediction: Prediction) -> list[str]:
        groups = self.config.groups
        if isinstance(groups, dict):
            return [groups.get(str(item), "") for item in prediction.item_ids]
        return [str(item) for item in prediction.item_ids]

    def _rows(self, prediction: Prediction) -> np.ndarray:
        """Row of `_offsets` for each row of a prediction; an unknown group is corrected like all together."""
        known = {name: k for k, name in enumerate(self._groups)}
        return np.array(
            [known.get(name, len(known)) for name in self._group_names(prediction)], dtype=np.intp
        )

    # learning online

    def _update(self, data: Any, *, since: Any) -> None:
        """Follow the outcomes of all windows that end after `since` (None: of all), in order of time."""
        windows = evaluation_windows((self.model,), data, horizon=self.config.horizon, stride=1)
        if windows.label_ends is None or windows.origins is None:
            raise CapabilityError("adaptive calibration needs windows with origins in time")
        if since is not None:
            windows = windows.take(np.flatnonzero(windows.label_ends >= since))
        if not len(windows):
            raise ShapeError("data", f"holds windows of {self.config.horizon} steps that end from {since} on")
        prediction = self._base(windows)
        errors = self._errors(prediction, windows)
        assert windows.origins is not None
        self._offsets = track(
            self._offsets,
            errors,
            self._rows(prediction),
            windows.origins,
            levels=self.levels,
            rates=self._rates,
        )

    # predicting

    def _predict(self, data: Any, *, horizon: int | None) -> Prediction:
        return self._corrected(self.model.predict(adapted(self.model, data), horizon=horizon))

    def _predict_windows(self, windows: Any) -> Prediction:
        return self._corrected(self.model.predict_windows(adapted(self.model, windows)))

    def _corrected(self, prediction: Prediction) -> QuantilePrediction:
        forecast = cast(ForecastPrediction, prediction)
        known = self._offsets.shape[1]
        if forecast.horizon > known:
            raise InvalidInputError(
                "horizon", f"is at most {known}, the steps that were calibrated", got=forecast.horizon
            )
        quantiles, scale = self._quantiles(forecast)
        offsets = self._offsets[self._rows(forecast), : forecast.horizon]  # [n, h, t, q]
        return QuantilePrediction(
            item_ids=forecast.item_ids,
            steps=forecast.steps,
            timestamps=forecast.timestamps,
            target_names=forecast.target_names,
            levels=self.levels,
            values=np.sort(quantiles + scale[..., None] * offsets, axis=-1),
        )

    def _context_rows(self, data: Any) -> int | None:
        return self.model._context_rows(data)

    def _least_rows(self, data: Any) -> int | None:
        return self.model._least_rows(data)

    def _reach(self, horizon: int | None) -> int | None:
        return self.model._reach(horizon)

    # storage

    def _state(self) -> State:
        packed = pack([self.model])
        return State(
            arrays={**packed.arrays, "offsets": self._offsets, "rates": self._rates},
            texts={**packed.texts, "groups.json": json.dumps(self._groups)},
        )

    def _load_state(self, state: State) -> None:
        unpack([self.model], state)
        self._offsets, self._rates = state.arrays["offsets"], state.arrays["rates"]
        self._groups = tuple(json.loads(state.texts["groups.json"]))
        if len(self._offsets) != len(self._groups) + 1 or self._offsets.shape[-1] != len(self.levels):
            raise ValueError(f"corrections are of shape {self._offsets.shape}")
