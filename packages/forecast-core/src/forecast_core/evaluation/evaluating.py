"""`evaluate`: one fitted model on data or windows, beside the task's naive baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core import registry
from forecast_core.data.protocols import Data, HasLengths, Windows
from forecast_core.errors import CapabilityError, InvalidInputError, LeakError, ShapeError
from forecast_core.evaluation.scores import Scores, score, skill_against
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.specs import TaskSpec

__all__ = [
    "Evaluation",
    "default_metrics",
    "evaluate",
    "evaluation_windows",
    "old_enough",
    "refuse_seen",
    "task_baseline",
]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. `prediction` has a row for each of `windows`."""

    scores: Scores
    baseline: Scores
    windows: Windows
    prediction: Prediction

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Metric -> value over all windows, steps and targets; None where it cannot be told."""
        return self.scores.metrics

    @property
    def skill(self) -> Mapping[str, float | None]:
        """Metric -> 1 - value / baseline's value, for metrics where less is better."""
        return self.scores.skill

    @property
    def by_horizon(self) -> Mapping[str, tuple[float | None, ...]]:
        """Metric -> value at each step."""
        return self.scores.by_horizon

    @property
    def by_item(self) -> Mapping[str, Mapping[str, float | None]]:
        """Metric -> item -> value."""
        return self.scores.by_item

    def __repr__(self) -> str:
        values = ", ".join(f"{k}={'-' if v is None else format(v, '.4g')}" for k, v in self.metrics.items())
        return f"<Evaluation of {self.scores.label} on {len(self.windows)} windows: {values}>"


def evaluate(
    model: Predictor[Any],
    data: Data | Windows,
    *,
    metrics: Sequence[str] | None = None,
    horizon: int | None = None,
    stride: int = 1,
    baseline: Predictor[Any] | None = None,
) -> Evaluation:
    """Score a fitted model on data it has not seen.

    data: windows as they are, or data, of which every `stride`-th window is taken that leaves room for the
    horizon and for the history that model and baseline need. metrics: names of the metric grammar; default:
    the task's. baseline: default the task's own. Scaled metrics (mase) scale on rows up to the first origin;
    where these hold fewer than two seasons, they are None, with a ScaleWarning. Raises LeakError where the
    model was fitted on a row of the targets, or on one of the samples of data that has no time, MetricError
    for unknown metrics. Rows that only served as validation may be scored, to look at; `backtest` refuses
    them too.
    """
    names = list(metrics) if metrics is not None else default_metrics(model.task)
    reference = baseline if baseline is not None else task_baseline(model.task)
    windows = evaluation_windows((model, reference), data, horizon=horizon, stride=stride)
    model._check_unseen(windows)
    if windows.origins is not None and len(windows):
        refuse_seen(model, windows.origins.min(), until=model.info.fitted_until)
    if not reference.is_fitted:
        raise CapabilityError(
            f"the baseline {reference.spec.id} needs fitting; give a fitted one as baseline="
        )
    scored = score(model.spec.id, model, windows, metrics=names)
    naive = score(reference.spec.id, reference, windows, metrics=names).scores
    return Evaluation(
        scores=skill_against(scored.scores, naive),
        baseline=skill_against(naive, naive),
        windows=windows,
        prediction=scored.prediction,
    )


def evaluation_windows(
    models: tuple[Predictor[Any], ...], data: Data | Windows, *, horizon: int | None, stride: int
) -> Windows:
    """Windows as given, or those of the data that leave every model the history it needs."""
    if isinstance(data, Data):
        model = models[0]
        if model.task.kind == "classification":
            return data.windows()
        steps = horizon if horizon is not None else getattr(model.config, "horizon", None)
        return data.windows(context_length=_longest(models, data), horizon=steps, stride=stride)
    if isinstance(data, Windows):
        return data
    raise InvalidInputError("data", "follows the Data or the Windows protocol", got=type(data).__name__)


def old_enough(windows: Windows, models: Sequence[Predictor[Any]], data: Data) -> Windows:
    """The windows without those of items so young that some model has too little history for them.

    Only where items begin at times of their own (`HasLengths`). ShapeError where none is left.
    """
    least = max((rows for m in models if (rows := m._least_rows(data)) is not None), default=None)
    if least is None or not isinstance(windows, HasLengths):
        return windows
    kept = windows.lengths >= least
    if not kept.any():
        rule = f"has windows with the {least} rows of history that every model needs"
        raise ShapeError("data", rule, got=f"{int(windows.lengths.max(initial=0))} rows at most")
    return windows if kept.all() else windows.take(np.flatnonzero(kept))


def _longest(models: Sequence[Predictor[Any]], data: Data) -> int | None:
    """Rows of history that suffice for every model; None where none says."""
    return max((rows for m in models if (rows := m._context_rows(data)) is not None), default=None)


def default_metrics(task: TaskSpec) -> list[str]:
    """The task's objective and the customary metrics of its kind."""
    usual = (
        ["accuracy", "brier"] if task.kind == "classification" else ["mae", "rmse", "crps", "coverage@0.9"]
    )
    return list(dict.fromkeys([task.objective, *usual]))


def task_baseline(task: TaskSpec) -> Predictor[Any]:
    """A new predictor of the task's naive baseline."""
    return registry.create_model(task.baseline)


def refuse_seen(model: Predictor[Any], origin: Any, *, until: str | None) -> None:
    """LeakError if the model has seen rows `until` after `origin`, the last known row; without a clock,
    nothing can be told.
    """
    if until is not None and np.asarray(origin).dtype.kind == "M" and np.datetime64(until) > origin:
        raise LeakError(
            f"{model.spec.id} has seen data until {until}, but is to be tested from after {origin} on; "
            "test on later data, or fit on earlier"
        )
