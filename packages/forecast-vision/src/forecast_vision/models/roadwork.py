"""`vision/roadwork`: is there roadwork in a photo, how sure is that, and which views say so."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.errors import ConfigError, InvalidInputError, NotFittedError
from forecast_core.prediction import ClassPrediction
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_vision.augmentation import Augmented, Plain, Transform
from forecast_vision.backbones.cache import EmbeddingCache, shared_cache
from forecast_vision.backbones.protocol import Backbone
from forecast_vision.backbones.tuned import TunedBackbone
from forecast_vision.calibration import TrainingReport, calibrate, calibrated
from forecast_vision.configs import RoadworkConfig
from forecast_vision.features import check_backbone, features_of, loaded_backbone
from forecast_vision.fine_tuning import fine_tuned, restored, trainable_backbone
from forecast_vision.leaks import metadata_auc, warn_of_leak
from forecast_vision.metadata.encoding import Vocabulary, encode
from forecast_vision.models.remembering import RememberingClassifier, held_out
from forecast_vision.nn.metadata import MetadataBatch
from forecast_vision.nn.roadwork import RoadworkNetwork, Verdict
from forecast_vision.nn.training import Bags, RoadworkLoss, WholeSet, matthews_loss
from forecast_vision.photos import CLASSES, PhotoSet
from forecast_vision.samples import labelled, photos_of, stratified_folds
from forecast_vision.sampling import GPSWeightedSampler
from forecast_vision.skipping import striking_views

if TYPE_CHECKING:
    from forecast_vision.adaptation import AdaptationReport
    from forecast_vision.models.ensemble import RoadworkEnsemble

__all__ = ["Roadwork"]

_VIEWS = 12
_CHUNK = 256  # photos in one forward pass of the network
_ADAPTING = {"learning_rate": "lr", "max_epochs": "epochs", "gradient_clip": "clip"}  # option: argument
_PHOTOS = 128  # photos whose features are held at once in prediction


class Roadwork(RememberingClassifier):
    """Views through a backbone, gated attention between them, metadata where there is some.

    Training embeds each photo and its changed copies once, through the cache, and then works on features
    alone. With `fine_tuning` the backbone is trained next, on photos decoded anew in each epoch: no feature
    of a backbone in training is kept, and those of a trained one are kept under a hash of their own.
    `calibration_folds` models are trained besides the one kept: their left-out photos give temperature and
    threshold. A prediction's `aux` holds "view_weights" [photo, 12], as `view_boxes` orders, and "decision"
    [photo]: 1 where the probability reaches the threshold, which is in `metadata`. Photos whose label is not
    known are left out of training. Sources: those of the blocks in `nn`.
    """

    config_class: ClassVar[type[ModelConfig]] = RoadworkConfig
    accepts_windows = True
    config: RoadworkConfig

    _network: RoadworkNetwork | None = None
    _backbone: TunedBackbone | None = None  # where it has been trained; else that of the configuration
    _vocabulary: Vocabulary
    _report = TrainingReport()

    @property
    def report(self) -> TrainingReport:
        """What training found out; NotFittedError before."""
        self._need_fitted("report")
        return self._report

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        photos = labelled("data", data, least=max(config.calibration_folds, 1))
        held = None if validation is None else held_out(validation, photos)
        records = [photo.metadata for photo in photos.photos]
        auc = metadata_auc(records, photos.labels, groups=photos.groups, text_fields=config.text_fields)
        if config.use_metadata:
            warn_of_leak(auc)
        self._vocabulary = Vocabulary.fit(records)
        frozen = loaded_backbone(config) if config.fine_tuning is None else trainable_backbone(config)
        bags = self.bags(photos, augmented=True, backbone=frozen)
        report = TrainingReport(metadata_auc=auc)
        if config.calibration_folds:
            report = self._calibrate(photos, bags, report, seed=seed)
        checked = None if held is None else (held, self.bags(held, backbone=frozen))
        self._backbone, self._network = self._trained_both(
            photos, bags, seed=seed, validation=checked, run=run
        )
        self._report = report
        self._seen = photos.hashes | (frozenset() if held is None else held.hashes)

    def bags(
        self,
        photos: PhotoSet,
        *,
        augmented: bool = False,
        transform: Transform | None = None,
        backbone: Backbone | None = None,
        cache: EmbeddingCache | None = None,
    ) -> Bags:
        """Features, labels and metadata of some photos as tensors, with changed copies where asked for.

        transform: what is done to the photos first; nothing by default. backbone, cache: others than this
        model's.
        """
        config = self.config
        transforms = self._transforms() if augmented else [Plain() if transform is None else transform]
        mask = self._kept(photos)
        own = self._backbone if backbone is None else backbone
        features = features_of(photos, config, transforms=transforms, views=mask, backbone=own, cache=cache)
        records = [photo.metadata for photo in photos.photos]
        arrays = encode(records, self._vocabulary, text_fields=config.text_fields)
        weights = None
        if augmented and config.region:
            sampler = GPSWeightedSampler(photos, np.array(config.region))
            weights = torch.from_numpy(sampler.weights).to(config.device)
        return Bags(
            torch.from_numpy(features).to(config.device),
            torch.from_numpy(mask).to(config.device),
            torch.from_numpy(np.maximum(photos.labels, 0)).to(config.device),
            MetadataBatch(*(torch.from_numpy(array).to(config.device) for array in arrays)),
            weights=weights,
        )

    def _transforms(self) -> list[Transform]:
        """How a photo becomes the bags that are trained on: as it is, and changed."""
        numbers = range(1, self.config.augmentations + 1)
        return [Plain(), *(Augmented(self.config.augmentation, number) for number in numbers)]

    def _kept(self, photos: PhotoSet) -> np.ndarray:
        keep = self.config.keep_views
        if keep is None or keep == _VIEWS:
            return np.ones((len(photos), _VIEWS), dtype=np.bool_)
        return striking_views(photos.photos, keep, cache=shared_cache(self.config.cache))

    def _calibrate(
        self, photos: PhotoSet, bags: Bags, report: TrainingReport, *, seed: int
    ) -> TrainingReport:
        folds = self.config.calibration_folds
        fold = stratified_folds(photos, folds, seed=seed)
        logits = np.empty((len(photos), len(CLASSES)))
        for k in range(folds):
            train, test = (torch.from_numpy(np.flatnonzero(m)) for m in (fold != k, fold == k))
            backbone, network = self._trained_both(
                photos.take(train.numpy()), bags.take(train), seed=seed + k + 1
            )
            left = bags.take(test)
            if backbone is not None:  # a backbone of this fold alone: nothing to keep
                left = self.bags(photos.take(test.numpy()), backbone=backbone, cache=EmbeddingCache())
            logits[test.numpy()] = self.verdict(left, network=network)[0]
        return calibrate(report, logits, photos.labels, folds=folds)

    def _trained_both(
        self,
        photos: PhotoSet,
        bags: Bags,
        *,
        seed: int,
        validation: tuple[PhotoSet, Bags] | None = None,
        run: Run | None = None,
    ) -> tuple[TunedBackbone | None, RoadworkNetwork]:
        """A network trained on some photos, and the backbone where that is trained too."""
        held = None if validation is None else validation[1]
        network = self.trained(bags, seed=seed, validation=held, run=run)
        if self.config.fine_tuning is None:
            return None, network
        return fine_tuned(
            photos,
            bags,
            network,
            config=self.config,
            loss=RoadworkLoss.balanced(self.config, bags.labels),
            transforms=self._transforms(),
            seed=seed,
            validation=validation,
            run=None if run is None else run.child("fine-tuning"),
        )

    def trained(
        self,
        bags: Bags,
        *,
        seed: int,
        validation: Bags | None = None,
        run: Run | None = None,
        start: RoadworkNetwork | None = None,
        config: RoadworkConfig | None = None,
    ) -> RoadworkNetwork:
        """A network trained on some bags; without validation for all epochs, with it until its MCC is best.

        start: a network whose weights to begin with, itself left alone; config: other options of training.
        """
        o = self.config if config is None else config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build(bags.features.shape[-1], o)
        if start is not None:
            network.load_state_dict(start.state_dict())
        steps = o.max_epochs * -(-len(bags) // (o.batch_size * o.accumulate))
        fit_network(
            network,
            bags,
            RoadworkLoss.balanced(o, bags.labels),
            options=TrainingOptions.of(
                o, learning_rate=o.peak_rate, schedule="one-cycle", warmup=min(o.warmup_steps / steps, 0.3)
            ),
            seed=seed,
            validation=None if validation is None else WholeSet(validation),
            validation_loss=matthews_loss,
            run=run,
        )
        return network.eval()

    def _build(self, features: int, config: RoadworkConfig) -> RoadworkNetwork:
        return RoadworkNetwork(
            features,
            views=_VIEWS,
            vocabulary=self._vocabulary.sizes(),
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_key_heads=config.num_key_heads,
            dropout=config.dropout,
            drop_path=config.drop_path,
            metadata_dropout=config.metadata_dropout,
            use_metadata=config.use_metadata,
        )

    # predicting

    def _predict(self, data: PhotoSet, *, horizon: int | None) -> ClassPrediction:
        return self._predict_windows(data.windows())

    def _predict_windows(self, windows: Any) -> ClassPrediction:
        return self.answer(photos_of(windows)).replace(item_ids=windows.item_ids)

    def answer(self, photos: PhotoSet, *, transform: Transform | None = None) -> ClassPrediction:
        """The prediction for some photos, after a transform if one is given."""
        logits, weights = [], []
        for start in range(0, len(photos), _PHOTOS):
            some = photos.between(start, start + _PHOTOS)
            told, seen = self.verdict(self.bags(some, transform=transform))
            logits.append(told)
            weights.append(seen)
        shares = calibrated(np.concatenate(logits), self._report.temperature)
        threshold = self._report.threshold
        return ClassPrediction(
            item_ids=photos.item_ids,
            probabilities=shares,
            classes=CLASSES,
            confidence=shares.max(1),
            aux={
                "view_weights": np.concatenate(weights),
                "decision": (shares[:, 1] >= threshold).astype(np.int64),
            },
            metadata={"threshold": threshold, "temperature": self._report.temperature},
        )

    def verdict(self, bags: Bags, *, network: RoadworkNetwork | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Logits float64 [photo, 2] and view weights float64 [photo, 12] of photos as they are."""
        network = self.network if network is None else network
        logits, weights = [], []
        with torch.inference_mode():
            for index in torch.split(torch.arange(len(bags), device=bags.labels.device), _CHUNK):
                out: Verdict = network(bags.features[index, 0], bags.mask[index], bags.metadata.take(index))
                logits.append(out.logits.double().cpu().numpy())
                weights.append(out.view_weights.double().cpu().numpy())
        return np.concatenate(logits), np.concatenate(weights)

    @property
    def network(self) -> RoadworkNetwork:
        """The fitted network; NotFittedError before."""
        if self._network is None:
            raise NotFittedError("vision/roadwork has to be fitted first; call fit(photos)")
        return self._network

    def adapt(
        self,
        target: PhotoSet,
        *,
        n_splits: int = 5,
        top_k: int = 3,
        lr: float = 1e-6,
        dropout: float = 0.2,
        weight_decay: float = 0.02,
        epochs: int = 5,
        patience: int = 2,
        batch_size: int = 8,
        clip: float = 0.5,
        groups: Literal["photo", "gps"] = "photo",
        seed: int = 0,
    ) -> tuple[RoadworkEnsemble, AdaptationReport]:
        """Adapt to the labelled photos of a target region; this model stays as it is.

        n_splits folds keep groups whole: "photo" those of the set (a video, identical bytes), "gps" also the
        clusters of positions. For each fold a network goes on from this one, trained on the other folds but
        one, which stops it at its best epoch; so the fold itself is unseen, and its predictions are scored.
        The top_k networks of the best MCC there make the ensemble, a `vision/roadwork-ensemble` that decides
        as this model does; temperature and threshold are fitted on the predictions of all folds. Raises
        LeakError where a photo of the target has been trained on, InvalidInputError for fewer than 3 folds or
        an option out of bounds, DataError for too few photos of a class.
        """
        from forecast_vision.adaptation import adapt

        self._need_fitted("adapt")
        try:
            config = self.config.replace(
                learning_rate=lr,
                dropout=dropout,
                weight_decay=weight_decay,
                max_epochs=epochs,
                patience=patience,
                batch_size=batch_size,
                gradient_clip=clip,
                calibration_folds=0,
            )
        except ConfigError as error:
            field = error.argument.rpartition(".")[2]
            raise InvalidInputError(_ADAPTING.get(field, field), error.rule, got=error.got) from error
        return adapt(self, target, config=config, n_splits=n_splits, top_k=top_k, groups=groups, seed=seed)

    def successor(
        self, config: RoadworkConfig, network: RoadworkNetwork, report: TrainingReport, photos: PhotoSet
    ) -> Roadwork:
        """A fitted model of another network, trained on from this one's on some photos."""
        model = Roadwork(config, spec=self.spec)
        model._vocabulary, model._network, model._report = self._vocabulary, network, report
        model._backbone = self._backbone
        model._seen = self._seen | photos.hashes
        trained_on = f"{self.info.trained_on}{photos.fingerprint()}".encode()
        update = {
            "config": config.model_dump(mode="json"),
            "trained_on": hashlib.sha256(trained_on).hexdigest(),
        }
        model._info = self.info.model_copy(update=update)
        return model

    # storage

    def _state(self) -> State:
        arrays = {f"network.{k}": v.cpu().numpy() for k, v in self.network.state_dict().items()}
        if self._backbone is not None:
            arrays |= {f"backbone.{name}": value for name, value in self._backbone.state.items()}
        known = {
            "features": self.network.embed[0].in_features,
            "backbone": loaded_backbone(self.config).checkpoint_hash,
            "report": self._report.model_dump(mode="json"),
            "seen": sorted(self._seen),
        }
        texts = {"known.json": json.dumps(known), "vocabulary.json": self._vocabulary.to_json()}
        return State(arrays=arrays, texts=texts)

    def _load_state(self, state: State) -> None:
        known = json.loads(state.texts["known.json"])
        check_backbone(self.config, known["backbone"])
        self._vocabulary = Vocabulary.from_json(state.texts["vocabulary.json"])
        self._report = TrainingReport.model_validate(known["report"])
        self._seen = frozenset(known["seen"])
        network = self._build(int(known["features"]), self.config)
        network.load_state_dict(_tensors(state, "network."))
        tuned = _tensors(state, "backbone.")
        if bool(tuned) != (self.config.fine_tuning is not None):
            raise ValueError("weights of a backbone are there if and only if it was trained")
        self._backbone = restored(self.config, tuned) if tuned else None
        self._network = network.to(training_device(self.config.device)).eval()


def _tensors(state: State, prefix: str) -> dict[str, torch.Tensor]:
    """The arrays of a part of a model, by their names in it."""
    return {
        name.removeprefix(prefix): torch.from_numpy(np.array(value))
        for name, value in state.arrays.items()
        if name.startswith(prefix)
    }
