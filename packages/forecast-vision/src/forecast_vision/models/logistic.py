"""`vision/logistic`: logistic regression on the features of the whole photo, one view and no more."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.prediction import ClassPrediction
from forecast_core.run import Run
from forecast_vision.augmentation import Plain, Transform
from forecast_vision.configs import LogisticConfig
from forecast_vision.features import check_backbone, features_of, loaded_backbone
from forecast_vision.models.remembering import RememberingClassifier, held_out
from forecast_vision.photos import CLASSES, PhotoSet
from forecast_vision.samples import labelled, photos_of, stratified_folds

__all__ = ["Logistic"]

_STRENGTHS = np.geomspace(1e-5, 1.0, 11)
_FOLDS = 5
_GLOBAL = np.arange(12) == 0


class Logistic(RememberingClassifier):
    """Standardised features of the global view, with a squared penalty.

    The penalty is chosen by log loss in 5 folds (fewer where a class has fewer photos) that keep videos
    whole. A strong and quick peer for anything that looks closer.
    """

    config_class: ClassVar[type[ModelConfig]] = LogisticConfig
    accepts_windows = True
    config: LogisticConfig

    _mean: np.ndarray
    _scale: np.ndarray
    _weights: np.ndarray

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        from sklearn.linear_model import LogisticRegression

        photos = labelled("data", data, least=2)
        if validation is not None:
            held_out(validation, photos)  # which it has no use for
        features = self._features(photos)
        strength = self.config.strength
        if strength is None:
            strength = self._strength(photos, features, seed)
        self._mean, self._scale = features.mean(0), np.maximum(features.std(0), 1e-6)
        model = LogisticRegression(C=strength, max_iter=5000)
        model.fit((features - self._mean) / self._scale, photos.labels)
        self._weights = np.concatenate([model.coef_[0], model.intercept_])
        self._seen = photos.hashes

    def _strength(self, photos: PhotoSet, features: np.ndarray, seed: int) -> float:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss

        fewest = min(len(np.unique(photos.groups[photos.labels == k])) for k in (0, 1))
        fold = stratified_folds(photos, min(_FOLDS, fewest), seed=seed)
        losses = np.zeros(len(_STRENGTHS))
        for k in np.unique(fold):
            train, test = fold != k, fold == k
            if len(np.unique(photos.labels[train])) < 2:
                continue
            mean, scale = features[train].mean(0), np.maximum(features[train].std(0), 1e-6)
            for place, strength in enumerate(_STRENGTHS):
                model = LogisticRegression(C=strength, max_iter=5000)
                model.fit((features[train] - mean) / scale, photos.labels[train])
                told = model.predict_proba((features[test] - mean) / scale)
                losses[place] += test.sum() * log_loss(photos.labels[test], told, labels=[0, 1])
        return float(_STRENGTHS[losses.argmin()])

    def _features(self, photos: PhotoSet, transform: Transform | None = None) -> np.ndarray:
        views, transforms = np.tile(_GLOBAL, (len(photos), 1)), [Plain() if transform is None else transform]
        found = features_of(photos, self.config, transforms=transforms, views=views)
        return found[:, 0, 0].astype(np.float64)

    def _predict(self, data: PhotoSet, *, horizon: int | None) -> ClassPrediction:
        return self._predict_windows(data.windows())

    def _predict_windows(self, windows: Any) -> ClassPrediction:
        return self.answer(photos_of(windows)).replace(item_ids=windows.item_ids)

    def answer(self, photos: PhotoSet, *, transform: Transform | None = None) -> ClassPrediction:
        """The prediction for some photos, after a transform if one is given; NotFittedError before `fit`."""
        self._need_fitted("answer")
        features = (self._features(photos, transform) - self._mean) / self._scale
        score = (features * self._weights[:-1]).sum(1) + self._weights[-1]
        yes = 0.5 * (1 + np.tanh(score / 2))
        shares = np.stack([1 - yes, yes], axis=1)
        return ClassPrediction(item_ids=photos.item_ids, probabilities=shares, classes=CLASSES)

    def _state(self) -> State:
        arrays = {"mean": self._mean, "scale": self._scale, "weights": self._weights}
        backbone = loaded_backbone(self.config).checkpoint_hash
        return State(
            arrays=arrays, texts={"backbone.txt": backbone, "seen.json": json.dumps(sorted(self._seen))}
        )

    def _load_state(self, state: State) -> None:
        check_backbone(self.config, state.texts["backbone.txt"])
        self._seen = frozenset(json.loads(state.texts.get("seen.json", "[]")))  # not kept at first
        self._mean, self._scale = state.arrays["mean"], state.arrays["scale"]
        self._weights = state.arrays["weights"]
        if not len(self._mean) == len(self._scale) == len(self._weights) - 1:
            raise ValueError("mean, scale and weights do not fit each other")
