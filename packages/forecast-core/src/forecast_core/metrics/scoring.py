"""Metrics of a prediction by name: over everything, for each step, for each item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from forecast_core.metrics.case import MetricContext
from forecast_core.metrics.scorer import Missing, scorer_of
from forecast_core.prediction import Prediction
from forecast_core.prediction.base import ItemId

__all__ = ["MetricScores", "by_horizon", "by_item", "evaluate_metrics", "score_metrics"]


@dataclass(frozen=True)
class MetricScores:
    """Values by key: over everything, at each step [h], and of each item."""

    overall: dict[str, float] = field(default_factory=dict)
    by_horizon: dict[str, np.ndarray] = field(default_factory=dict)
    by_item: dict[str, dict[ItemId, float]] = field(default_factory=dict)


def evaluate_metrics(
    prediction: Prediction,
    targets: np.ndarray,
    mask: np.ndarray | None,
    names: Sequence[str],
    *,
    context: MetricContext | None = None,
    missing: Missing = "raise",
) -> dict[str, float]:
    """Metrics over all rows, steps and targets, by key in the order asked for.

    targets: [n, h, t] for forecasts, class indices [n] for class predictions; what is NaN there or False
    in `mask` (same shape, None: all observed) never counts, and where nothing counts the value is NaN.
    names: metric grammar, "coverage@0.9". context: what scaled metrics need.
    Raises MetricError for an unknown name, an argument or step out of bounds, and, unless `missing` is
    "nan", where the prediction or the data cannot answer (coverage of a point forecast). ShapeError or
    InvalidInputError where targets or mask do not fit.
    """
    scorer = scorer_of(prediction, targets, mask, context)
    return {
        asked.key: math.nan if value is None else value.overall()
        for asked, value in scorer.values(names, missing)
    }


def by_horizon(
    prediction: Prediction,
    targets: np.ndarray,
    mask: np.ndarray | None,
    names: Sequence[str],
    *,
    context: MetricContext | None = None,
    missing: Missing = "raise",
) -> dict[str, np.ndarray]:
    """Metrics at each step of a forecast, [h] a key. Arguments and errors as for `evaluate_metrics`.

    MetricError also for class predictions and for names that select steps ("mae@3").
    """
    scorer = scorer_of(prediction, targets, mask, context)
    return {
        asked.key: scorer.steps_of(asked, value, missing) for asked, value in scorer.values(names, missing)
    }


def by_item(
    prediction: Prediction,
    targets: np.ndarray,
    mask: np.ndarray | None,
    names: Sequence[str],
    *,
    context: MetricContext | None = None,
    missing: Missing = "raise",
) -> dict[str, dict[ItemId, float]]:
    """Metrics of each item over its rows, by key and item id; arguments as for `evaluate_metrics`."""
    scorer = scorer_of(prediction, targets, mask, context)
    return {asked.key: scorer.items_of(value) for asked, value in scorer.values(names, missing)}


def score_metrics(
    prediction: Prediction,
    targets: np.ndarray,
    mask: np.ndarray | None,
    names: Sequence[str],
    *,
    context: MetricContext | None = None,
    missing: Missing = "raise",
) -> MetricScores:
    """What `evaluate_metrics`, `by_horizon` and `by_item` give, each quantity worked out only once.

    Arguments and errors as for `evaluate_metrics`; keys that select steps ("mae@3"), or whose metric has
    one value a path, are left out of `by_horizon`.
    """
    scorer = scorer_of(prediction, targets, mask, context)
    scores = MetricScores()
    for asked, value in scorer.values(names, missing):
        scores.overall[asked.key] = math.nan if value is None else value.overall()
        scores.by_item[asked.key] = scorer.items_of(value)
        if asked.steps is None and scorer.has_steps(value):
            scores.by_horizon[asked.key] = scorer.steps_of(asked, value, missing)
    return scores
