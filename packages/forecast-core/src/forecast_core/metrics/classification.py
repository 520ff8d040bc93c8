"""Metrics of class predictions.

The predicted class is the most probable one, the first on ties. With two classes the last one is the
positive one, and precision, recall, f1 and auc are of that class; with more they are unweighted means over
classes ("macro"). Names and edge cases follow scikit-learn.
"""

from __future__ import annotations

import numpy as np

from forecast_core.metrics.base import ClassMetric, Metric, Parameter, given, ratio

__all__ = ["CLASS_METRICS"]


def _confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Number of rows of each true class (rows) predicted as each class (columns), [c, c]."""
    c = probabilities.shape[1]
    return np.bincount(labels * c + probabilities.argmax(1), minlength=c * c).reshape(c, c).astype(np.float64)


def _of_classes(labels: np.ndarray, score: np.ndarray, *, among: np.ndarray) -> float:
    """The positive class's score of two, else the mean over the classes marked in `among`."""
    if len(score) == 2:
        return float(score[1])
    return float(score[among].mean())


def _accuracy(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    return float((probabilities.argmax(1) == labels).mean())


def _precision(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    table = _confusion(labels, probabilities)
    score = np.nan_to_num(ratio(np.diag(table), table.sum(0)))
    return _of_classes(labels, score, among=_present(table))


def _recall(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    table = _confusion(labels, probabilities)
    score = np.nan_to_num(ratio(np.diag(table), table.sum(1)))
    return _of_classes(labels, score, among=_present(table))


def _f1(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    table = _confusion(labels, probabilities)
    score = np.nan_to_num(ratio(2.0 * np.diag(table), table.sum(0) + table.sum(1)))
    return _of_classes(labels, score, among=_present(table))


def _present(table: np.ndarray) -> np.ndarray:
    present: np.ndarray = (table.sum(0) + table.sum(1)) > 0
    return present


def _mcc(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    table = _confusion(labels, probabilities)
    n, true, predicted = table.sum(), table.sum(1), table.sum(0)
    covariance = np.trace(table) * n - true @ predicted
    scale = np.sqrt((n * n - true @ true) * (n * n - predicted @ predicted))
    return float(covariance / scale) if scale > 0 else 0.0


def _auc(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    c = probabilities.shape[1]
    classes = [1] if c == 2 else range(c)
    areas = np.array([_area(labels == k, probabilities[:, k]) for k in classes])
    known = areas[~np.isnan(areas)]
    return float(known.mean()) if len(known) else np.nan


def _area(positive: np.ndarray, score: np.ndarray) -> float:
    """P(score of a positive > of a negative) + half of ties, by ranks (Mann and Whitney 1947)."""
    ordered = np.sort(score)
    rank = 0.5 * (np.searchsorted(ordered, score, "left") + np.searchsorted(ordered, score, "right") + 1)
    p = int(positive.sum())
    n = len(positive) - p
    return float((rank[positive].sum() - p * (p + 1) / 2.0) / (p * n)) if p and n else np.nan


def _brier(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    c = probabilities.shape[1]
    score = float(((probabilities - np.eye(c)[labels]) ** 2).sum(1).mean())
    return score / 2.0 if c == 2 else score


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    chosen = probabilities[np.arange(len(labels)), labels]
    smallest = float(np.finfo(np.float64).eps)
    return float(-np.log(np.clip(chosen, smallest, 1.0 - smallest)).mean())


def _ece(labels: np.ndarray, probabilities: np.ndarray, bins: float | None) -> float:
    count = int(given(bins))
    confidence = probabilities.max(1)
    place = np.clip(np.ceil(confidence * count).astype(np.int64) - 1, 0, count - 1)
    gap = np.bincount(place, (probabilities.argmax(1) == labels) - confidence, minlength=count)
    return float(np.abs(gap).sum() / len(labels))


CLASS_METRICS: tuple[Metric, ...] = (
    ClassMetric(
        name="accuracy", summary="share of rows classified right", greater_is_better=True, compute=_accuracy
    ),
    ClassMetric(
        name="precision",
        summary="share of rows predicted positive that are; 0 where none is predicted; macro over the "
        "classes that occur",
        greater_is_better=True,
        compute=_precision,
    ),
    ClassMetric(
        name="recall",
        summary="share of positive rows found; 0 where there are none; macro over the classes that occur",
        greater_is_better=True,
        compute=_recall,
    ),
    ClassMetric(
        name="f1",
        summary="harmonic mean of precision and recall; macro over the classes that occur",
        greater_is_better=True,
        compute=_f1,
    ),
    ClassMetric(
        name="mcc",
        summary="Matthews correlation of any number of classes; 0 where undefined (Gorodkin 2004)",
        greater_is_better=True,
        compute=_mcc,
    ),
    ClassMetric(
        name="auc",
        summary="area under the ROC curve; one class against the rest, macro over those classes that have "
        "both; NaN where none has",
        greater_is_better=True,
        compute=_auc,
    ),
    ClassMetric(
        name="brier",
        summary="mean squared error of the positive class's probability; of more classes, their sum",
        compute=_brier,
    ),
    ClassMetric(
        name="log_loss",
        summary="mean negative log of the true class's probability, in nats",
        unit="nat",
        compute=_log_loss,
    ),
    ClassMetric(
        name="ece",
        summary="expected calibration error: mean |accuracy - confidence| over equal bins of the highest "
        "probability (Guo et al. 2017)",
        parameter=Parameter(name="bins", default=15, whole=True),
        compute=_ece,
    ),
)
