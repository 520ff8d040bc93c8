"""Adapting a fitted model to a target region, scored only on photos that no part of it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch

from forecast_core import registry
from forecast_core.arrays import frozen
from forecast_core.compose.members import described
from forecast_core.errors import InvalidInputError
from forecast_core.metrics import score_metrics
from forecast_core.predictor import Predictor
from forecast_core.validation import whole
from forecast_vision.calibration import TrainingReport, calibrate
from forecast_vision.configs import RoadworkConfig
from forecast_vision.metadata.encoding import positions_of
from forecast_vision.models.remembering import refuse_shared
from forecast_vision.photos import PhotoSet
from forecast_vision.regions import cluster_centres, nearest_centre
from forecast_vision.samples import labelled, photos_of, seed_of

if TYPE_CHECKING:
    from forecast_vision.models.ensemble import RoadworkEnsemble
    from forecast_vision.models.roadwork import Roadwork

__all__ = ["AdaptationReport", "adapt", "adaptation_groups"]


@dataclass(frozen=True)
class AdaptationReport:
    """What adapting found out, on photos that the networks concerned had not seen.

    fold [photo]: in which each photo of the target was left out; logits [photo, 2]: what the network said
    that had neither been trained nor stopped by that fold; training: temperature and threshold fitted on
    them, and their metrics; fold_mcc: MCC of each fold's network on it; chosen: folds whose networks make the
    ensemble; seen: content hashes of all photos trained on, before and in adapting.
    """

    fold: np.ndarray
    logits: np.ndarray
    training: TrainingReport
    fold_mcc: tuple[float, ...]
    chosen: tuple[int, ...]
    seen: frozenset[str]
    predictor: Predictor[Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Out-of-fold metrics, at even odds."""
        return self.training.out_of_fold

    @property
    def threshold(self) -> float:
        """Probability from which on to say yes, fitted out of fold."""
        return self.training.threshold

    def score(
        self, photos: PhotoSet, metrics: Sequence[str] = ("mcc", "auc", "accuracy")
    ) -> dict[str, float | None]:
        """Metrics of the adapted ensemble on other photos; LeakError where one has been trained on."""
        photos = photos_of(photos, argument="photos")
        told = "have been trained on; score on others, or read the report's out-of-fold metrics"
        refuse_shared(photos, self.seen, told=told)
        values, observed = photos.windows().targets()
        prediction = self.predictor.predict(photos)
        found = score_metrics(prediction, values, observed, list(metrics), missing="nan").overall
        return {key: None if value is None else float(value) for key, value in found.items()}


def adaptation_groups(photos: PhotoSet, groups: Literal["photo", "gps"]) -> np.ndarray:
    """Group of each photo, [photo]: those of the set, or those joined with clusters of positions."""
    own = photos.groups
    if groups == "photo":
        return own
    if groups != "gps":
        raise InvalidInputError("groups", "is 'photo' or 'gps'", got=repr(groups))
    places = positions_of([photo.metadata for photo in photos.photos])
    cluster = nearest_centre(places, cluster_centres(places))[1]
    joined, located = own.copy(), ~np.isnan(places[:, 0])
    for k in np.unique(cluster[located]):
        touched = np.unique(joined[located & (cluster == k)])
        joined[np.isin(joined, touched)] = touched[0]
    return joined


def adapt(
    model: Roadwork,
    target: PhotoSet,
    *,
    config: RoadworkConfig,
    n_splits: int,
    top_k: int,
    groups: Literal["photo", "gps"],
    seed: int,
) -> tuple[RoadworkEnsemble, AdaptationReport]:
    """The adapted ensemble and its report; see `Roadwork.adapt`."""
    folds = whole("n_splits", n_splits, least=3)
    if whole("top_k", top_k) > folds:
        raise InvalidInputError("top_k", f"lies in 1..n_splits = {folds}", got=top_k)
    seed = seed_of(seed)
    photos = labelled("target", target, least=2)
    told = "have been trained on already: their out-of-fold predictions would be none; leave them out"
    refuse_shared(photos, model.seen, told=told)
    fold = _folds(photos, adaptation_groups(photos, groups), folds, seed=seed)
    bags = model.bags(photos, augmented=True)
    logits, networks = np.empty((len(photos), 2)), []
    for k in range(folds):
        stop = (k + 1) % folds
        parts = [np.flatnonzero(m) for m in ((fold != k) & (fold != stop), fold == stop, fold == k)]
        train, held, test = (bags.take(torch.from_numpy(p)) for p in parts)
        own = (seed + k) % 2**32
        network = model.trained(train, seed=own, validation=held, start=model.network, config=config)
        logits[parts[2]] = model.verdict(test, network=network)[0]
        networks.append(network)
    mcc = tuple(_mcc(photos.labels[fold == k], logits[fold == k]) for k in range(folds))
    chosen = tuple(sorted(sorted(range(folds), key=lambda k: -mcc[k])[:top_k]))
    training = calibrate(model.report, logits, photos.labels, folds=folds)
    members = [model.successor(config, networks[k], training, photos) for k in chosen]
    known = [described(member) for member in members]
    ensemble = cast("RoadworkEnsemble", registry.create_model("vision/roadwork-ensemble", members=known))
    ensemble.adopt(members)
    report = AdaptationReport(
        fold=frozen(fold),
        logits=frozen(logits),
        training=training,
        fold_mcc=mcc,
        chosen=chosen,
        seen=members[0].seen,
        predictor=ensemble,
    )
    return ensemble, report


def _folds(photos: PhotoSet, groups: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    from sklearn.model_selection import StratifiedGroupKFold

    for label in (0, 1):
        count = len(np.unique(groups[photos.labels == label]))
        if count < folds:
            hint = 'take fewer folds, or groups="photo"'
            raise InvalidInputError(
                "n_splits", f"is at most the groups of each class ({count})", got=folds, hint=hint
            )
    fold = np.empty(len(photos), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for k, (_, held) in enumerate(splitter.split(photos.labels, photos.labels, groups)):
        fold[held] = k
    return fold


def _mcc(labels: np.ndarray, logits: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, logits[:, 1] >= logits[:, 0]))
