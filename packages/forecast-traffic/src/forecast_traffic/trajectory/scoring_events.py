"""Scores of predicted probabilities of events, beside always saying how often they happen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_core.errors import ShapeError
from forecast_core.metrics import ClassMetric
from forecast_core.metrics.registry import find_metric
from forecast_core.prediction import Prediction
from forecast_traffic.trajectory.events import EVENTS, EventRules, event_labels
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["EventScore", "event_scores"]


@dataclass(frozen=True)
class EventScore:
    """windows: of which the outcome is known; rate: share in which the event happened. brier: mean squared
    error of the probability; base_brier: of saying the rate itself. auc: NaN where all outcomes are alike.
    """

    windows: int
    rate: float
    brier: float
    base_brier: float
    auc: float


def event_scores(
    prediction: Prediction, windows: TrackWindows, rules: EventRules | None = None
) -> dict[str, EventScore]:
    """Scores of each event whose probability the prediction holds in `aux`, and whose outcome is known.

    windows: those that were predicted, of the horizon the model was trained for. ShapeError where there are
    others.
    """
    if len(prediction) != len(windows):
        raise ShapeError("windows", f"are those predicted ({len(prediction)})", got=len(windows))
    labels = event_labels(windows, rules)
    found = {}
    for k, name in enumerate(EVENTS):
        known = ~np.isnan(labels[:, k])
        if name not in prediction.aux or not known.any():
            continue
        happened = labels[known, k].astype(np.int64)
        probability = prediction.aux[name][known].astype(np.float64)
        rate = float(happened.mean())
        found[name] = EventScore(
            windows=int(known.sum()),
            rate=rate,
            brier=_score("brier", happened, probability),
            base_brier=_score("brier", happened, np.full(len(happened), rate)),
            auc=_score("auc", happened, probability) if 0.0 < rate < 1.0 else float("nan"),
        )
    return found


def _score(name: str, happened: np.ndarray, probability: np.ndarray) -> float:
    metric = find_metric(name)
    assert isinstance(metric, ClassMetric)
    both = np.stack([1.0 - probability, probability], axis=1)
    return float(metric.compute(happened, both, None))
