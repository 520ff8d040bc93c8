"""`vision/roadwork-ensemble`: several networks that look at the same photos, and one decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import numpy as np

from forecast_core import registry
from forecast_core.compose.ensemble import EnsemblePredictor
from forecast_core.config import ModelConfig
from forecast_core.prediction import ClassPrediction, Prediction
from forecast_core.specs import ModelSpec
from forecast_vision.augmentation import Transform
from forecast_vision.configs import RoadworkEnsembleConfig
from forecast_vision.models.roadwork import Roadwork
from forecast_vision.photos import CLASSES, PhotoSet

__all__ = ["RoadworkEnsemble"]


class RoadworkEnsemble(EnsemblePredictor):
    """The weighted means of the members' probabilities and view weights, with a decision as `Roadwork` gives.

    The threshold is the weighted mean of the members' own, so that a photo is decided by how far their
    probabilities lie above them on average; members out of `Roadwork.adapt` share one.
    """

    config_class: ClassVar[type[ModelConfig]] = RoadworkEnsembleConfig
    members: tuple[Roadwork, ...]

    def __init__(
        self, config: RoadworkEnsembleConfig | None = None, *, spec: ModelSpec | None = None
    ) -> None:
        super().__init__(
            config, spec=registry.model_spec("vision/roadwork-ensemble") if spec is None else spec
        )

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the photos that any member was trained or validated on."""
        return frozenset().union(*(member.seen for member in self.members))

    def answer(self, photos: PhotoSet, *, transform: Transform | None = None) -> ClassPrediction:
        """The prediction for some photos, after a transform if one is given; NotFittedError before `fit`."""
        self._need_fitted("answer")
        return self._pooled([member.answer(photos, transform=transform) for member in self.members])

    def _pooled(self, parts: Sequence[Prediction]) -> ClassPrediction:
        told = cast(Sequence[ClassPrediction], parts)
        shares = np.minimum(self._mean([part.probabilities for part in told]), 1.0)  # but for rounding
        thresholds = [cast(float, part.metadata["threshold"]) for part in told]
        alike = len(set(thresholds)) == 1  # then the mean is none other, whatever weights round to
        threshold = thresholds[0] if alike else float(np.average(thresholds, weights=self.weights))
        return ClassPrediction(
            item_ids=told[0].item_ids,
            probabilities=shares,
            classes=CLASSES,
            confidence=shares.max(1),
            aux={
                "view_weights": self._mean([part.aux["view_weights"] for part in told]),
                "decision": (shares[:, 1] >= threshold).astype(np.int64),
            },
            metadata={"threshold": threshold},
        )

    def _mean(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Weighted mean over members, added up in their order so that a row is the same in any batch."""
        mean: Any = sum(w * array for w, array in zip(self.weights.tolist(), arrays, strict=True))
        return np.asarray(mean)
