"""`vision/prior`: the same probability for every photo, what anybody knows without looking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_core.prediction import ClassPrediction
from forecast_core.predictor import Predictor
from forecast_vision.configs import PriorConfig
from forecast_vision.photos import CLASSES, PhotoSet
from forecast_vision.samples import photos_of

if TYPE_CHECKING:
    from forecast_vision.augmentation import Transform

__all__ = ["Prior"]


class Prior(Predictor[PhotoSet]):
    """Answers with the share of its configuration. It needs no fitting and looks at nothing."""

    config_class: ClassVar[type[ModelConfig]] = PriorConfig
    config: PriorConfig

    def _predict(self, data: PhotoSet, *, horizon: int | None) -> ClassPrediction:
        return self._predict_windows(data.windows())

    def _predict_windows(self, windows: Any) -> ClassPrediction:
        return self.answer(photos_of(windows)).replace(item_ids=windows.item_ids)

    def answer(self, photos: PhotoSet, *, transform: Transform | None = None) -> ClassPrediction:
        """The prediction for some photos, whatever is done to them."""
        shares = np.tile([1 - self.config.share, self.config.share], (len(photos), 1))
        return ClassPrediction(item_ids=photos.item_ids, probabilities=shares, classes=CLASSES)
