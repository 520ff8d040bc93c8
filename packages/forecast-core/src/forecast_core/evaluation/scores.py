"""Scores of one model on a set of windows."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from forecast_core.data.protocols import Described, HasScale, Restrictable, Windows
from forecast_core.errors import CapabilityError
from forecast_core.metrics import MetricContext, parse_metric, score_metrics
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor

__all__ = [
    "ScaleWarning",
    "Scored",
    "Scores",
    "adapted",
    "metric_context",
    "predict_in_batches",
    "score",
    "skill_against",
]

_BATCH = 32_768  # windows predicted at once
_COVARIATES = frozenset({"past_covariates", "future_covariates", "static_covariates"})


class ScaleWarning(UserWarning):
    """Too few rows come before what is scored to scale errors by, and so scaled metrics are None."""


class Scores(BaseModel):
    """Metrics of one model: overall, for each step, for each item, and skill against the baseline.

    skill: 1 - score / baseline's score for metrics where less is better: 0 is no better, 1 is perfect.
    A metric the model's predictions cannot answer (coverage of a point forecast) is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    model: str
    metrics: dict[str, float | None]
    skill: dict[str, float | None] = {}
    by_horizon: dict[str, tuple[float | None, ...]] = {}
    by_item: dict[str, dict[str, float | None]] = {}
    predict_seconds: float = 0.0


@dataclass(frozen=True)
class Scored:
    """Scores and the predictions they were made from, a row a window."""

    scores: Scores
    prediction: Prediction


def score(
    label: str,
    model: Predictor[Any],
    windows: Windows,
    *,
    metrics: Sequence[str],
    before: Any = None,
    predict: Callable[[Predictor[Any]], Prediction] | None = None,
) -> Scored:
    """Predict all windows and score them.

    before: scaled metrics scale on rows before it. predict: how the model predicts the windows; default: in
    batches.
    """
    began = time.perf_counter()
    prediction = predict_in_batches(model, windows) if predict is None else predict(model)
    seconds = time.perf_counter() - began
    targets, mask = windows.targets()
    context = metric_context(windows, before)
    found = score_metrics(prediction, targets, mask, metrics, context=context, missing="nan")
    scores = Scores(
        label=label,
        model=model.spec.id,
        metrics={key: _value(v) for key, v in found.overall.items()},
        by_horizon={key: tuple(_value(v) for v in steps) for key, steps in found.by_horizon.items()},
        by_item={key: {str(i): _value(v) for i, v in items.items()} for key, items in found.by_item.items()},
        predict_seconds=seconds,
    )
    return Scored(scores, prediction)


def skill_against(scores: Scores, baseline: Scores) -> Scores:
    """The scores with skill against the baseline's filled in."""
    skill: dict[str, float | None] = {}
    for name, value in scores.metrics.items():
        reference = baseline.metrics.get(name)
        metric = parse_metric(name).metric
        if metric.direction != "lower" or not metric.from_zero:
            continue
        skill[name] = None if value is None or not reference else 1.0 - value / reference
    return scores.model_copy(update={"skill": skill})


def adapted(model: Predictor[Any], data: Any) -> Any:
    """The data or windows without those covariates the model does not take."""
    if isinstance(data, Described) and isinstance(data, Restrictable):
        refused = model.spec.capabilities.refuses(data.traits()) & _COVARIATES
        if refused:
            return data.without(refused)
    return data


def predict_in_batches(model: Predictor[Any], windows: Windows) -> Prediction:
    """Predictions of all windows; those of one origin are never torn apart."""
    windows = adapted(model, windows)
    parts = [model.predict_windows(windows.take(index)) for index in _batches(windows)]
    kinds = {type(part) for part in parts}
    if len(kinds) > 1:
        raise CapabilityError(
            f"{model.spec.id} gave predictions of several kinds: {sorted(k.kind for k in kinds)}"
        )
    return type(parts[0]).concat(parts)


def _batches(windows: Windows) -> Iterator[np.ndarray]:
    n = len(windows)
    if n <= _BATCH:
        yield np.arange(n)
        return
    cuts = np.arange(_BATCH, n, _BATCH)
    if windows.origins is not None:  # move each cut to the next change of origin
        changes = np.flatnonzero(windows.origins[1:] != windows.origins[:-1]) + 1
        later = np.searchsorted(changes, cuts)
        cuts = np.unique(changes[later[later < len(changes)]])
    yield from np.split(np.arange(n), cuts)


def metric_context(windows: Windows, before: Any) -> MetricContext:
    """What scaled metrics need of the windows, scaling on rows before `before`; a ScaleWarning where no item
    has enough of them.
    """
    if not isinstance(windows, HasScale):
        return MetricContext()

    def scale(seasonality: int | None, *, squared: bool = False) -> np.ndarray:
        found = windows.naive_scale(seasonality, before=before, squared=squared)
        if found.size and np.isnan(found).all():
            rows = "up to the first origin" if before is None else f"before {before}"
            warnings.warn(
                f"scaled metrics have no value: the rows {rows} hold less than two seasons to scale by; give "
                "windows of later origins, or backtest on all rows",
                ScaleWarning,
                stacklevel=2,
            )
        return found

    return MetricContext(scale=scale, squared_scale=partial(scale, squared=True))


def _value(number: Any) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)
