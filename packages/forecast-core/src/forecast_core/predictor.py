"""`Predictor`: the public methods validate, log and time; authors write the underscored ones."""

from __future__ import annotations

import hashlib
import logging
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator

from forecast_core import registry
from forecast_core.artifacts import Manifest, State, read_artifact, write_artifact
from forecast_core.config import ModelConfig
from forecast_core.data.overlap import refuse_overlap
from forecast_core.data.protocols import Extendable, HasHistory, Windows
from forecast_core.data.reading import (
    fingerprint_of,
    in_zone,
    known_timeline,
    last_time,
    later,
    selection_of,
    signature_of,
    source_of,
)
from forecast_core.errors import (
    ArtifactError,
    ArtifactVersionError,
    CapabilityError,
    DeviceError,
    InvalidInputError,
    NotFittedError,
    PluginError,
)
from forecast_core.prediction import ForecastPrediction, ModelRef, Prediction, Uncertainty
from forecast_core.run import Run
from forecast_core.specs import ModelSpec, TaskSpec
from forecast_core.validation import whole

if TYPE_CHECKING:
    from forecast_core.exporting.graph import Graph

__all__ = ["ModelInfo", "Predictor"]

D = TypeVar("D")

_log = logging.getLogger("forecast")


class ModelInfo(BaseModel):
    """What is known of a predictor: its identity, and, once fitted, what it was fitted on.

    data: signature of the training data; trained_on: its SHA-256. fitted_until: time of the last row
    fitted on; seen_until: of the last row seen at all, validation included; ISO 8601, None for data
    without time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: int
    task: str
    config: dict[str, JsonValue]
    fitted: bool = False
    seed: int | None = None
    data: dict[str, JsonValue] = {}
    trained_on: str | None = None
    validated_on: str | None = None
    fitted_until: str | None = None
    seen_until: str | None = None
    fit_seconds: float | None = None

    @field_validator("fitted_until", "seen_until")
    @classmethod
    def _is_time(cls, text: str | None) -> str | None:
        if text is not None and np.isnat(np.datetime64(text)):
            raise ValueError("is a time")
        return text


class Predictor(ABC, Generic[D]):
    """A model of one task.

    Authors set `config_class` and write `_predict`, and where there is something to fit `_fit`, `_state`
    and `_load_state`. They may write `_predict_windows` (a batched path for evaluation and serving), `_reach`
    (where forecasts look at more rows than `context_length`),
    `_update` (capability `online`), `_migrate_state` (when the spec's version rises) and `_graph` (where
    there is a network to export).
    """

    config_class: ClassVar[type[ModelConfig]]
    accepts_windows: bool = False  # whether `_fit` takes Windows as well as data
    fits_validation: bool = False  # whether `_fit` sets numbers by the validation data, as by the other

    def __init__(self, config: ModelConfig | None = None, *, spec: ModelSpec | None = None) -> None:
        self.config: Any = self.config_class() if config is None else config
        self._spec = spec
        self._info: ModelInfo | None = None

    # identity

    @property
    def spec(self) -> ModelSpec:
        """The spec this class was registered under; UnknownIdError if it never was."""
        if self._spec is None:
            path = f"{type(self).__module__}:{type(self).__qualname__}"
            found = [
                s for m in registry.available_models() if (s := registry.model_spec(m)).entry_point == path
            ]
            self._spec = found[0] if found else registry.model_spec(path)
        return self._spec

    @property
    def task(self) -> TaskSpec:
        """The spec of the model's task."""
        return registry.task_spec(self.spec.task)

    @property
    def info(self) -> ModelInfo:
        """Identity, configuration, and what the model was fitted on."""
        if self._info is not None:
            return self._info
        return ModelInfo(
            id=self.spec.id,
            version=self.spec.version,
            task=self.spec.task,
            config=self.config.model_dump(mode="json"),
            fitted=not self.spec.capabilities.needs_fit,
        )

    @property
    def is_fitted(self) -> bool:
        """Whether `predict` may be called."""
        return self._info is not None or not self.spec.capabilities.needs_fit

    # fitting

    def fit(
        self,
        data: D | Windows,
        *,
        validation: D | Windows | None = None,
        seed: int = 0,
        run: Run | None = None,
    ) -> Self:
        """Fit from scratch on `data`; `validation` serves early stopping and calibration only.

        The same seed on the same data gives the same model; where fitting fails, it stays what it was. run:
        where checkpoints and history go and who hears of events. Raises InvalidInputError for data of another
        task, CapabilityError for covariates, missing values or items the model does not take, LeakError for
        validation data that ends within `data`, and for windows to validate on of which one has all its
        targets there.
        """
        run = run if run is not None else Run()
        if not isinstance(run, Run):
            raise InvalidInputError("run", "is a Run", got=repr(run))
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
            raise InvalidInputError("seed", "is a whole number in 0..2^32-1", got=repr(seed))
        self._check_data("data", data, fitting=True)
        if validation is not None:
            self._check_data("validation", validation, fitting=True)
        lineage: dict[str, Any] = {  # of the data as it was given, whatever `_fit` does with it
            "data": signature_of(data),
            "trained_on": fingerprint_of(data),
            "validated_on": None if validation is None else fingerprint_of(validation),
            "fitted_until": last_time(data, validation if self.fits_validation else None),
            "seen_until": last_time(data, validation),
        }
        if validation is not None:
            refuse_overlap(data, validation, same=lineage["trained_on"] == lineage["validated_on"])
            validation = in_zone(validation, lineage["data"].get("tz"))
        before = vars(self).copy()
        self._info = None
        run.info = self.info.model_copy(update={"seed": int(seed), **lineage})
        run.selection = selection_of(data, validation)
        run.emit("forecast_run_started")
        began = time.perf_counter()
        try:
            self._fit(data, validation=validation, seed=int(seed), run=run)
        except BaseException as error:
            self.__dict__ = before
            run.emit("forecast_run_failed", error=error)
            raise
        self._info = ModelInfo(
            id=self.spec.id,
            version=self.spec.version,
            task=self.spec.task,
            config=self.config.model_dump(mode="json"),
            fitted=True,
            seed=int(seed),
            fit_seconds=time.perf_counter() - began,
            **lineage,
        )
        _log.info("fitted %s in %.1f s", self.spec.id, self._info.fit_seconds)
        run.emit("forecast_run_finished", result=self._info)
        return self

    def update(self, data: D) -> Self:
        """Learn the rows after those learned so far, without refitting; for models that declare `online`.

        data: may begin with rows already learned, which serve as context and are not learned twice; data
        without a clock is learned as it comes. Raises CapabilityError for a model that does not learn online,
        InvalidInputError where no row is new.
        """
        if not self.spec.capabilities.online:
            raise CapabilityError(f"{self.spec.id} does not learn online; call fit on all data instead")
        self._need_fitted("update")
        self._check_data("data", data, fitting=True)
        self._update(self._in_zone(data), since=self._first_new(data))
        known, added = self.info, fingerprint_of(data)
        if known.trained_on is not None:
            added = hashlib.sha256(f"{known.trained_on}{added}".encode()).hexdigest()
        fitted = later(known.fitted_until, last_time(data))
        self._info = known.model_copy(
            update={
                "data": known.data or signature_of(data),
                "trained_on": added,
                "fitted_until": fitted,
                "seen_until": later(known.seen_until, fitted),
            }
        )
        return self

    def _first_new(self, data: Any) -> Any:
        """Time of the first row not learned yet; None where nothing was learned, or there is no clock."""
        until, times = self.info.fitted_until, known_timeline(data)
        if until is None or times.dtype.kind != "M":
            return None
        new = times[times > np.datetime64(until)]
        if not len(new):
            raise InvalidInputError("data", f"holds rows after {until}, the last one learned")
        return new[0]

    # predicting

    def predict(
        self, data: D, *, horizon: int | timedelta | None = None, future: D | None = None
    ) -> Prediction:
        """The steps after the end of `data`, of all its items; targets are never needed for that.

        horizon: steps, or a timedelta that is a whole number of them; default: the configuration's.
        future: rows after the end with known-future covariates, without targets. Where data names no time
        zone, calendars go by the clock of training. Raises NotFittedError, MissingFutureError,
        InvalidInputError (horizon <= 0, data of another task, a future that is known), CapabilityError.
        """
        self._need_fitted("predict")
        self._check_data("data", data)
        if future is not None:
            if not isinstance(data, Extendable):
                raise CapabilityError(f"{type(data).__name__} cannot be extended by future=")
            self._check_data("future", future, traits=False)
            extended = cast(Any, data).extended(future)
            if not np.array_equal(known_timeline(extended)[-1:], known_timeline(cast(Any, data))[-1:]):
                raise InvalidInputError(
                    "future",
                    "holds future covariates and no targets: the forecast begins after data",
                    got=f"rows known until {known_timeline(extended)[-1]}",
                    hint="let its targets be NaN",
                )
            data = extended
        return self._finish(self._predict(self._in_zone(data), horizon=self._steps(horizon, data)))

    def predict_windows(self, windows: Windows) -> Prediction:
        """One row for each window, each from what was known at its origin; batched where the model is."""
        self._need_fitted("predict_windows")
        if not isinstance(windows, Windows):
            raise InvalidInputError("windows", "follow the Windows protocol", got=type(windows).__name__)
        if (source := source_of(windows)) is not windows:
            self._check_data("windows", source, traits=False)
        self._check_traits("windows", windows)
        if not len(windows):
            raise InvalidInputError("windows", "are at least one")
        prediction = self._finish(self._predict_windows(self._in_zone(windows)))
        if len(prediction) != len(windows):
            raise PluginError(f"{self.spec.id} predicted {len(prediction)} rows for {len(windows)} windows")
        return prediction

    def reach(self, *, horizon: int | None = None) -> int | None:
        """Rows up to the origin that a forecast looks at: from as many it is that of the whole history, but
        where a gap begins before them. None where the model does not tell, or looks at all.

        horizon: steps; default: the configuration's. Raises NotFittedError, InvalidInputError.
        """
        self._need_fitted("reach")
        given = horizon if horizon is not None else getattr(self.config, "horizon", None)
        return self._reach(None if given is None else whole("horizon", given))

    def predict_uncertainty(self, data: D, *, coverage: float = 0.9) -> Uncertainty:
        """Mean, variance and central interval of `predict(data)`, [item, horizon, target].

        A single model knows the noise of the future but not its own doubt: kind is "aleatoric". Raises
        CapabilityError for point and class predictions.
        """
        prediction = self.predict(data)
        if not isinstance(prediction, ForecastPrediction):
            raise CapabilityError(f"{self.spec.id} predicts classes; its probabilities are its uncertainty")
        lower, upper = prediction.interval(coverage)
        return Uncertainty(
            mean=prediction.mean(),
            variance=prediction.variance(),
            lower=lower,
            upper=upper,
            coverage=coverage,
            kind="aleatoric",
        )

    # storage

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted model to a directory, all or nothing; `load_model` reads it.

        An artifact already there is replaced; anything else there is left alone. Raises NotFittedError
        or ArtifactError.
        """
        self._need_fitted("save")
        if self.spec.capabilities.needs_fit and type(self)._state is Predictor._state:
            raise PluginError(f"{self.spec.id} needs fitting but has no _state to save")
        package = self.spec.entry_point.partition(".")[0].partition(":")[0]
        write_artifact(
            path,
            self._state(),
            spec_id=self.spec.id,
            spec_version=self.spec.version,
            config=self.config.model_dump(mode="json"),
            data=self.info.data,
            packages=_versions(package, *self.spec.requires),
            lineage={
                "trained_on": self.info.trained_on,
                "validated_on": self.info.validated_on,
                "seen_until": self.info.seen_until,
                "seed": self.info.seed,
            },
            info=self.info.model_dump(mode="json"),
        )

    @classmethod
    def _load(cls, path: str | PathLike[str], *, device: str | None = None) -> Predictor[Any]:
        manifest, state = read_artifact(path)
        spec = registry.model_spec(manifest.spec_id)
        if manifest.spec_version > spec.version:
            raise ArtifactVersionError(
                f"{path}: {spec.id} was saved by version {manifest.spec_version} of the model; version "
                f"{spec.version} is installed; upgrade the package that provides it"
            )
        model = registry.create_model(spec.id, **manifest.config)
        if device is not None and (moved := model.config.on_device(str(device))) != model.config:
            from forecast_core.training import training_device  # there is a network, and so torch

            training_device(str(device), argument="device")
            model = registry.create_model(spec.id, moved)
        model._restore(manifest, state, path)
        return model

    def _restore(self, manifest: Manifest, state: State, path: str | PathLike[str]) -> None:
        try:
            info = ModelInfo.model_validate(manifest.info)
            self._take_over(info, state, version=manifest.spec_version)
        except DeviceError as error:
            raise ArtifactError(
                f"{path}: was trained on {error.got}, which is not here ({error.rule}); load_model(..., "
                "device='cpu') and the commands' --device cpu compute elsewhere"
            ) from error
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError, ValidationError) as error:
            raise ArtifactError(
                f"{path}: holds no state of {self.spec.id} version {self.spec.version}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _take_over(self, info: ModelInfo, state: State, *, version: int) -> None:
        """Become the model that was saved by `version` of its spec."""
        if version < self.spec.version:
            state = self._migrate_state(state, version)
        self._load_state(state)
        self._info = info if info.trained_on is not None else None

    # for authors

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        """Fit from scratch. Leave alone where there is nothing to fit.

        Give attributes new values rather than changing what they hold: where this raises, the model has those
        from before again.
        """
        if self.spec.capabilities.needs_fit:
            raise PluginError(f"{self.spec.id} declares needs_fit but has no _fit")

    @abstractmethod
    def _predict(self, data: D, *, horizon: int | None) -> Prediction:
        """The steps after the end of `data`; horizon is None only for classifiers or if none is known."""

    def _predict_windows(self, windows: Any) -> Prediction:
        """By default `_predict` once an origin, from the data as known then; override to batch."""
        if not isinstance(windows, HasHistory):
            raise PluginError(
                f"{self.spec.id} needs _predict_windows: {type(windows).__name__} has no histories() from "
                "which core could predict origin by origin"
            )
        horizon = getattr(windows, "horizon", None)
        parts, order = [], []
        for at, known, rows in windows.histories():
            parts.append(self._predict(known, horizon=horizon).take(rows))
            order.append(at)
        joined = type(parts[0]).concat([_stamped(part) for part in parts])
        return joined.take(np.argsort(np.concatenate(order), kind="stable"))

    def _context_rows(self, data: D) -> int | None:
        """Rows of history a prediction needs at least, so that evaluation begins after them."""
        rows = getattr(self.config, "context_length", None)
        return None if rows is None else int(rows)

    def _least_rows(self, data: D) -> int | None:
        """Rows of history without which nothing can be predicted, where items begin at times of their own."""
        return self._context_rows(data)

    def _reach(self, horizon: int | None) -> int | None:
        """Rows of history that a forecast looks at; None where that is all, or cannot be told."""
        rows = getattr(self.config, "context_length", None)
        return None if rows is None else int(rows)

    def _check_unseen(self, windows: Windows) -> None:
        """LeakError where one of `windows` was fitted or validated on, for models of data without time, which
        remember their samples; of data with time `ModelInfo` tells.
        """

    def _update(self, data: D, *, since: Any) -> None:
        """Learn the rows from time `since` on (None: all of them); earlier ones are context."""
        raise PluginError(f"{self.spec.id} declares online but has no _update")

    def _state(self) -> State:
        """Everything `_predict` needs besides the configuration: arrays and texts."""
        return State()

    def _load_state(self, state: State) -> None:
        """Take over what `_state` gave; KeyError or ValueError where it does not fit."""

    def _graph(self) -> Graph:
        """The fitted network from numbers in the data's units to the forecast in them, for `export`.

        CapabilityError where there is no network, or none for this configuration.
        """
        raise CapabilityError(f"{self.spec.id} has no network that can be written as ONNX")

    def _migrate_state(self, state: State, from_version: int) -> State:
        """State of an older spec version as the present one expects it."""
        raise ArtifactVersionError(
            f"{self.spec.id} version {self.spec.version} cannot read state of version {from_version}"
        )

    # checks

    def _need_fitted(self, what: str) -> None:
        if not self.is_fitted:
            raise NotFittedError(f"{self.spec.id} has to be fitted before {what}; call fit(train) first")

    def _in_zone(self, data: Any) -> Any:
        """Data, or windows of it, whose calendar is read by the clock of training where it names none."""
        return in_zone(data, self.info.data.get("tz"))

    def _check_data(self, argument: str, data: Any, *, fitting: bool = False, traits: bool = True) -> None:
        wanted = registry.load_object(self.task.data, owner=self.task.id)
        if not isinstance(data, wanted):
            if not (fitting and isinstance(data, Windows)):
                raise InvalidInputError(
                    argument, f"is a {wanted.__name__} (task {self.task.id!r})", got=type(data).__name__
                )
            if not self.accepts_windows:
                raise CapabilityError(
                    f"{self.spec.id} is fitted on a {wanted.__name__}, not on windows of one"
                )
        if traits:
            self._check_traits(argument, data)

    def _check_traits(self, argument: str, data: Any) -> None:
        traits = getattr(data, "traits", None)  # of `Described`, told without the cost of isinstance
        if traits is None:
            return
        refused = sorted(self.spec.capabilities.refuses(traits()))
        if refused:
            raise CapabilityError(
                f"{argument}: {self.spec.id} does not take {', '.join(refused)}; leave them out (covariates: "
                f"data.without({{{', '.join(map(repr, refused))}}})) or choose a model that does"
            )

    def _steps(self, horizon: int | timedelta | None, data: Any) -> int | None:
        if self.task.kind == "classification":
            if horizon is not None:
                raise CapabilityError(f"{self.spec.id} classifies; it has no horizon")
            return None
        if horizon is None:
            horizon = getattr(self.config, "horizon", None)
        if horizon is None:
            return None
        if isinstance(horizon, timedelta):
            freq = getattr(data, "freq", None)
            if freq is None or not freq.is_fixed:
                raise InvalidInputError("horizon", "is a number of steps for this data", got=horizon)
            steps, rest = divmod(np.timedelta64(horizon), freq.delta)
            if rest != np.timedelta64(0, "us"):
                raise InvalidInputError("horizon", f"is a whole number of steps of {freq}", got=horizon)
            horizon = int(steps)
        if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
            raise InvalidInputError("horizon", "is a whole number of steps, at least 1", got=repr(horizon))
        return int(horizon)

    def _finish(self, prediction: Any) -> Prediction:
        kinds = self.spec.capabilities.prediction_kinds
        if not isinstance(prediction, Prediction) or prediction.kind not in kinds:
            got = prediction.kind if isinstance(prediction, Prediction) else type(prediction).__name__
            raise PluginError(
                f"{self.spec.id} declares predictions of kind {' or '.join(kinds)}, but gave {got}"
            )
        ref = ModelRef(id=self.spec.id, version=self.spec.version, trained_on=self.info.trained_on)
        return prediction.model_copy(update={"model": ref})

    def __repr__(self) -> str:
        state = "fitted" if self._info is not None else "ready" if self.is_fitted else "not fitted"
        return f"<{self.spec.id} ({state})>"


def _stamped(part: Prediction) -> Prediction:
    """Timestamps a row, so that predictions of different origins can be joined."""
    if isinstance(part, ForecastPrediction) and part.timestamps is not None and part.timestamps.ndim == 1:
        return part.replace(timestamps=np.tile(part.timestamps, (len(part), 1)))
    return part


def _versions(*packages: str) -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for name in ("forecast-core", "numpy", *(p.replace("_", "-") for p in packages)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
