"""`robustness`: how well a model holds up when the camera is turned, blurred or noisy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from forecast_core.compose.ensemble import EnsemblePredictor
from forecast_core.compose.pooling import pool
from forecast_core.errors import InvalidInputError, NotFittedError
from forecast_core.metrics import score_metrics
from forecast_core.prediction import ClassPrediction
from forecast_core.predictor import Predictor
from forecast_vision.augmentation import CAMERA, Camera, Transform
from forecast_vision.samples import labelled

if TYPE_CHECKING:
    from forecast_vision.photos import PhotoSet

__all__ = ["Answering", "robustness"]


@runtime_checkable
class Answering(Protocol):
    """A photo classifier that can be asked about changed photos."""

    def answer(self, photos: PhotoSet, *, transform: Transform | None = None) -> ClassPrediction:
        """The prediction for some photos, each seen through a transform if one is given."""
        ...


def robustness(
    model: Predictor[PhotoSet],
    photos: PhotoSet,
    metrics: Sequence[str] = ("mcc", "auc"),
    *,
    transforms: Sequence[str] = tuple(CAMERA),
) -> dict[str, dict[str, float]]:
    """Metrics on labelled photos as they are ("plain") and under each transform of `CAMERA`.

    model: one that is `Answering`, as those of this package are, or an ensemble of such. Raises LeakError for
    photos that it was fitted on, InvalidInputError for another model and an unknown transform, NotFittedError
    for a model that is not fitted, DataError where photos of a class are missing.
    """
    _check(model)
    changes = {"plain": None, **{name: Camera(name) for name in transforms}}
    known = labelled("photos", photos)
    model._check_unseen(known.windows())
    observed = np.ones(len(known), dtype=np.bool_)
    found = {}
    for name, transform in changes.items():
        prediction = _answer(model, known, transform)
        scores = score_metrics(prediction, known.labels, observed, list(metrics), missing="nan").overall
        found[name] = {key: float(value) for key, value in scores.items()}
    return found


def _check(model: Any) -> None:
    if isinstance(model, EnsemblePredictor):
        for member in model.members:
            _check(member)
    elif not isinstance(model, Predictor) or not isinstance(model, Answering):
        got = repr(model) if isinstance(model, Predictor) else type(model).__name__
        rule = "is a classifier with answer(photos, transform=...), or an ensemble of such"
        raise InvalidInputError("model", rule, got=got)
    if not model.is_fitted:
        raise NotFittedError(f"{model.spec.id} has to be fitted before robustness; call fit(photos) first")


def _answer(model: Predictor[Any], photos: PhotoSet, transform: Transform | None) -> ClassPrediction:
    if isinstance(model, Answering):
        return model.answer(photos, transform=transform)
    ensemble = cast(EnsemblePredictor, model)
    parts = [_answer(member, photos, transform) for member in ensemble.members]
    return cast(ClassPrediction, pool(parts, ensemble.weights))
