"""The metric `surprise`."""

from __future__ import annotations

import numpy as np

from forecast_core.metrics import ClassMetric


def _surprise(labels: np.ndarray, probabilities: np.ndarray, _: float | None) -> float:
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log2(np.maximum(chosen, 1e-300)).mean())


SURPRISE = ClassMetric(
    name="surprise",
    summary="Mean information content of what happened, in bits: log2(classes) knows nothing, 0 everything",
    unit="bit",
    compute=_surprise,
)
