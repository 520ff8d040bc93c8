"""`robustness`: how well a model holds up when the camera is turned, blurred or noisy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from forecast_core.metrics import score_metrics
from forecast_vision.augmentation import CAMERA, Camera
from forecast_vision.samples import labelled

if TYPE_CHECKING:
    from forecast_vision.models.roadwork import Roadwork
    from forecast_vision.photos import PhotoSet

__all__ = ["robustness"]


def robustness(
    model: Roadwork,
    photos: PhotoSet,
    metrics: Sequence[str] = ("mcc", "auc"),
    *,
    transforms: Sequence[str] = tuple(CAMERA),
) -> dict[str, dict[str, float]]:
    """Metrics on labelled photos as they are ("plain") and under each transform of `CAMERA`.

    The photos should be ones that the model has not seen. Raises InvalidInputError for an unknown transform,
    DataError where photos of a class are missing.
    """
    changes = {"plain": None, **{name: Camera(name) for name in transforms}}
    known = labelled("photos", photos)
    observed = np.ones(len(known), dtype=np.bool_)
    found = {}
    for name, transform in changes.items():
        prediction = model.answer(known, transform=transform)
        scores = score_metrics(prediction, known.labels, observed, list(metrics), missing="nan").overall
        found[name] = {key: float(value) for key, value in scores.items()}
    return found
