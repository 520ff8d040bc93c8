"""From logits to probabilities that can be believed, and to a decision; and what is known of both."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from forecast_core.metrics import score_metrics
from forecast_core.prediction import ClassPrediction
from forecast_vision.photos import CLASSES

__all__ = ["TrainingReport", "best_threshold", "calibrate", "calibrated", "fit_temperature"]

_LOWEST, _HIGHEST = 0.05, 20.0
_METRICS = ("mcc", "accuracy", "precision", "recall", "f1", "auc", "ece", "log_loss")


class TrainingReport(BaseModel):
    """What training found out.

    metadata_auc: how well metadata alone tells the label, None where it tells nothing; temperature,
    threshold: fitted on photos that folds left out; out_of_fold: metrics of those photos, each told by a
    network that was not trained on it, at even odds; folds: how many there were. The temperature was fitted
    on the same photos, one number on all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata_auc: float | None = None
    temperature: float = 1.0
    threshold: float = 0.5
    folds: int = 0
    out_of_fold: dict[str, float | None] = {}


def calibrate(
    report: TrainingReport, logits: np.ndarray, labels: np.ndarray, *, folds: int
) -> TrainingReport:
    """The report with temperature, threshold and metrics of logits [n, 2] of photos not trained on.

    labels: 0 or 1 [n]; folds: how many networks gave the logits.
    """
    temperature = fit_temperature(logits, labels)
    shares = calibrated(logits, temperature)
    prediction = ClassPrediction(item_ids=tuple(range(len(labels))), probabilities=shares, classes=CLASSES)
    known = np.ones(len(labels), dtype=np.bool_)
    found = score_metrics(prediction, labels, known, list(_METRICS), missing="nan").overall
    return report.model_copy(
        update={
            "temperature": temperature,
            "threshold": best_threshold(labels, shares[:, 1]),
            "folds": folds,
            "out_of_fold": {k: None if v is None else float(v) for k, v in found.items()},
        }
    )


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / temperature), float64 [n, class]."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    odds = np.exp(scaled)
    shares: np.ndarray = odds / odds.sum(1, keepdims=True)
    return shares


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in 0.05 .. 20 of least negative log likelihood of labels [n] under logits [n, class].

    Source: Guo et al. (2017), On calibration of modern neural networks, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        shares = calibrated(logits, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(shares[np.arange(len(labels)), labels], 1e-300)).mean())

    bounds = (np.log(_LOWEST), np.log(_HIGHEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The probability of the positive class from which on to say yes: the highest MCC, nearest 0.5 of equals.

    labels 0 or 1 [n]; probabilities [n]. Candidates are 0, 0.5, 1 and what lies half way between two
    neighbouring probabilities.
    """
    values = np.unique(probabilities)
    cuts = np.unique(np.concatenate([(values[1:] + values[:-1]) / 2, [0.0, 0.5, 1.0]]))
    yes = probabilities[None] >= cuts[:, None]  # [cut, n]
    positive = labels.astype(bool)
    tp, fp = (yes & positive).sum(1).astype(float), (yes & ~positive).sum(1).astype(float)
    p, n = float(positive.sum()), float((~positive).sum())
    fn, tn = p - tp, n - fp
    scale = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = np.where(scale > 0, (tp * tn - fp * fn) / np.maximum(scale, 1e-12), 0.0)
    best = cuts[mcc >= mcc.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
