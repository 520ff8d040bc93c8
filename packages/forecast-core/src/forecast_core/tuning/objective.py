"""One trial: a model of some parameters fitted and scored, and what came of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import JsonValue

from forecast_core import registry
from forecast_core.config import ModelConfig
from forecast_core.data.protocols import Data, Extendable, Windows
from forecast_core.data.reading import known_timeline
from forecast_core.errors import (
    CapabilityError,
    ConfigError,
    ForecastError,
    InvalidInputError,
    MetricError,
    ShapeError,
)
from forecast_core.evaluation.evaluating import evaluation_windows, old_enough, task_baseline
from forecast_core.evaluation.scores import adapted, score
from forecast_core.metrics import metric_direction, parse_metric
from forecast_core.run import Run
from forecast_core.splits import Splitter
from forecast_core.tuning.space import Dimension
from forecast_core.validation import whole

__all__ = ["VALIDATION_SHARE", "Outcome", "Problem", "Report", "pose"]

VALIDATION_SHARE = 0.2
"""Last share of the rows that validates where neither validation data nor a splitter is given."""

Report = Callable[[int, float], bool]
"""Takes an epoch and its validation loss; whether the trial should end there."""

_log = logging.getLogger("forecast")


@dataclass(frozen=True)
class Outcome:
    """How a trial went. reason: why it has no value; infeasible: the parameters cannot be used (the
    model's own rules, divergence, too little data for them); failed: anything else.
    """

    state: Literal["complete", "pruned", "infeasible", "failed"]
    value: float | None = None
    reason: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Problem:
    """What all trials of a study share: the model, what it is fitted on, and how it is scored."""

    model_id: str
    objective: str
    base: Mapping[str, Any]
    dimensions: tuple[Dimension, ...]
    seed: int
    train: Any
    validation: Any
    windows: Windows
    before: Any
    splitter: Splitter | None

    @property
    def higher_is_better(self) -> bool:
        """Whether the objective grows with quality."""
        return metric_direction(self.objective) == "higher"

    @cached_property
    def defaults(self) -> dict[str, JsonValue]:
        """Values of the searched fields in the default configuration."""
        values = self.config({}).model_dump(mode="json")
        return {d.name: values[d.name] for d in self.dimensions}

    @property
    def config_class(self) -> type[ModelConfig]:
        """The model's configuration class."""
        return registry.config_class(registry.model_spec(self.model_id))

    def config(self, params: Mapping[str, Any]) -> ModelConfig:
        """The configuration of a trial; ConfigError where the model refuses the combination."""
        return self.config_class(**{**self.base, **params})

    def run(self, params: Mapping[str, Any], report: Report) -> Outcome:
        """Fit and score a fresh model. What goes wrong is told in the outcome, not raised."""
        began = time.perf_counter()

        def outcome(state: Literal["complete", "pruned", "infeasible", "failed"], **found: Any) -> Outcome:
            return Outcome(state, **found, seconds=time.perf_counter() - began)

        try:
            value = self._value(params, report)
        except ForecastError as error:
            return outcome("infeasible", reason=f"{type(error).__name__}: {error}")
        except Exception as error:  # a trial's fault is no reason to lose the study
            _log.warning("a trial of %s failed with %s", self.model_id, dict(params), exc_info=error)
            return outcome("failed", reason=f"{type(error).__name__}: {error}")
        if value is None:
            return outcome("pruned")
        return outcome("complete", value=value)

    def _value(self, params: Mapping[str, Any], report: Report) -> float | None:
        """The objective; None where the trial was pruned."""
        config = self.config(params)
        if self.splitter is not None:
            return self._cross_validated(config)
        model = registry.create_model(self.model_id, config)
        pruning = _Pruning(report)
        if model.spec.capabilities.needs_fit:
            model.fit(
                adapted(model, self.train),
                validation=None if self.validation is None else adapted(model, self.validation),
                seed=self.seed,
                run=Run(listeners=[pruning]),
            )
        if pruning.pruned:
            return None
        scored = score(self.model_id, model, self.windows, metrics=[self.objective], before=self.before)
        return self._only(scored.scores.metrics)

    def _cross_validated(self, config: ModelConfig) -> float:
        from forecast_core.evaluation.cross_validating import cross_validate

        assert self.splitter is not None
        found = cross_validate(
            self.model_id, self.windows, self.splitter, [self.objective], params=config, seed=self.seed
        )
        return self._only(found.mean)

    def _only(self, metrics: Mapping[str, float | None]) -> float:
        value = metrics[self.objective]
        if value is None:
            raise MetricError(
                "objective", "has a value for the model's predictions on validation", got=repr(self.objective)
            )
        return value


class _Pruning:
    """Tells of the validation loss after every epoch, and ends the fit where that says so."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.pruned = False

    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        loss = metrics.get("valid_loss")
        if loss is not None and not self.pruned:
            self.pruned = self._report(epoch, float(loss))
        if self.pruned:
            run.stop()


def pose(
    model_id: str,
    data: Any,
    *,
    objective: str | None,
    dimensions: tuple[Dimension, ...],
    base: Mapping[str, Any],
    validation: Any,
    splitter: Splitter | None,
    stride: int | None,
    seed: int,
) -> Problem:
    """Check everything that does not depend on the parameters, and cut out what is scored on.

    Every trial is scored on the same windows, whatever history its parameters need. Raises UnknownIdError,
    MetricError for an objective that is not one metric with a direction, InvalidInputError for data of
    another task, ConfigError where a forecast has no horizon, ShapeError where nothing is left to score.
    """
    model = registry.create_model(model_id, **base)
    objective = _objective(objective if objective is not None else model.task.objective)
    for name, given in (("data", data), ("validation", validation)):
        if given is not None and not isinstance(given, Windows):
            model._check_data(name, adapted(model, given), fitting=True)
    if stride is not None:
        stride = whole("stride", stride)
    if splitter is not None and validation is not None:
        raise InvalidInputError("splitter", "is given, or validation, not both")
    train = data
    if splitter is not None:
        windows, before = _all_windows(model_id, model, data, dimensions, base, stride=stride), None
        _foldable(splitter, windows)
    else:
        train, validation, windows, before = _held_out(
            model_id, model, data, validation, dimensions, base, stride=stride
        )
    return Problem(
        model_id=model_id,
        objective=objective,
        base=dict(base),
        dimensions=dimensions,
        seed=seed,
        train=train,
        validation=validation,
        windows=windows,
        before=before,
        splitter=splitter,
    )


def _objective(text: str) -> str:
    request = parse_metric(text)
    if len(request.keys) != 1:
        raise MetricError("objective", "is one metric", got=repr(text))
    if request.metric.direction is None:
        raise MetricError("objective", "is a metric that is better when lower or higher", got=repr(text))
    return request.keys[0]


def _horizon(model: Any) -> int | None:
    if model.task.kind != "forecast":
        return None
    horizon = getattr(model.config, "horizon", None)
    if horizon is None:
        raise ConfigError(
            "base.horizon", f"is given: {model.spec.id} has no default", hint="base={'horizon': 24}"
        )
    return int(horizon)


def _all_windows(
    model_id: str,
    model: Any,
    data: Any,
    dimensions: tuple[Dimension, ...],
    base: Mapping[str, Any],
    *,
    stride: int | None,
) -> Windows:
    """Windows of the whole data that leave every configuration of the space the history it needs."""
    if isinstance(data, Windows):
        return data
    horizon = _horizon(model)
    models = _candidates(model_id, model, dimensions, base)
    return evaluation_windows(models, data, horizon=horizon, stride=stride or horizon or 1)


def _foldable(splitter: Any, windows: Windows) -> None:
    """Whatever the splitter has to say against these windows, before any trial."""
    if not hasattr(splitter, "split"):
        raise InvalidInputError("splitter", "yields folds by split(windows)", got=type(splitter).__name__)
    if next(iter(splitter.split(windows)), None) is None:
        raise InvalidInputError("splitter", "yields at least one fold")


def _candidates(
    model_id: str, model: Any, dimensions: tuple[Dimension, ...], base: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The model, those at the ends of the space, and the baseline they are scored beside."""
    return (*_extremes(model_id, dimensions, base), model, task_baseline(model.task))


def _extremes(model_id: str, dimensions: tuple[Dimension, ...], base: Mapping[str, Any]) -> list[Any]:
    """Models with one option at an end of its range, where the model allows that."""
    found = []
    for d in dimensions:
        for value in d.choices if d.kind == "choice" else (int(d.high) if d.kind == "int" else d.high,):
            try:
                found.append(registry.create_model(model_id, **{**base, d.name: value}))
            except ConfigError:
                continue
    return found


def _held_out(
    model_id: str,
    model: Any,
    data: Any,
    validation: Any,
    dimensions: tuple[Dimension, ...],
    base: Mapping[str, Any],
    *,
    stride: int | None,
) -> tuple[Any, Any, Windows, Any]:
    """What trains, what validates, the windows to score, and where they begin."""
    if isinstance(validation, Windows):
        ready = validation if model.accepts_windows else None
        return data, ready, validation, None
    if not isinstance(data, Data):
        raise InvalidInputError(
            "data", "is data, or windows with validation windows or a splitter", got=type(data).__name__
        )
    whole_data: Any = data
    train: Any = data
    if validation is None:
        timeline = known_timeline(data)
        cut = len(timeline) - max(1, round(len(timeline) * VALIDATION_SHARE))
        if cut < 1:
            raise ShapeError("data", "has rows to fit and to validate on", got=f"{len(timeline)} rows")
        train, validation = data.between(None, timeline[cut]), data.between(timeline[cut], None)
    else:
        whole_data = _joined(data, validation)
    horizon = _horizon(model)
    if horizon is None:
        return train, validation, validation.windows(), None
    start = validation.timeline[0]
    if whole_data is None:  # validation stands apart: its windows find their history within it
        windows = _all_windows(model_id, model, validation, dimensions, base, stride=stride)
        return train, validation, windows, start
    timeline = known_timeline(whole_data)
    first, last = int(np.searchsorted(timeline, start)), len(timeline) - horizon
    if first < 1 or first > last:
        raise ShapeError(
            "validation",
            f"holds at least the horizon ({horizon}) of rows",
            got=f"{len(timeline) - first} rows",
        )
    origins = timeline[first - 1 : last : stride or horizon]
    windows = whole_data.windows(context_length=None, horizon=horizon, origins=origins)
    models = _candidates(model_id, model, dimensions, base)
    return train, validation, old_enough(windows, models, whole_data), start


def _joined(data: Any, validation: Any) -> Any:
    """The data followed by the validation rows; None where these do not follow."""
    if not isinstance(data, Extendable):
        return None
    try:
        return data.extended(validation)
    except (InvalidInputError, CapabilityError):
        return None
