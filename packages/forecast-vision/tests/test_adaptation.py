"""Adapting: scored out of fold as by hand, refusing what has been trained on, leaving the model as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError, LeakError, NotFittedError
from forecast_vision import Metadata, PhotoSet, robustness
from forecast_vision.adaptation import adaptation_groups
from forecast_vision.augmentation import CAMERA
from forecast_vision.testing import sample_photos

OPTIONS: dict[str, Any] = {
    "backbone": "histogram",
    "view_size": 32,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 4,
    "max_epochs": 8,
    "batch_size": 8,
    "accumulate": 1,
    "learning_rate": 3e-3,
    "augmentations": 1,
    "calibration_folds": 0,
}


@pytest.fixture(scope="module")
def model() -> Any:
    return fc.create_model("vision/roadwork", **OPTIONS).fit(sample_photos(seed=1, photos=40), seed=0)


@pytest.fixture(scope="module")
def target() -> PhotoSet:
    return sample_photos(seed=5, photos=30)


@pytest.fixture(scope="module")
def adapted(model: Any, target: PhotoSet) -> Any:
    return model.adapt(target, n_splits=3, top_k=2, lr=1e-3, epochs=2)


def test_out_of_fold_metrics_are_those_of_a_loop_by_hand(model: Any, target: PhotoSet, adapted: Any) -> None:
    _, report = adapted
    labels = target.labels
    config = model.config.replace(
        learning_rate=1e-3,
        dropout=0.2,
        weight_decay=0.02,
        max_epochs=2,
        patience=2,
        batch_size=8,
        gradient_clip=0.5,
        calibration_folds=0,
    )
    logits = np.empty((30, 2))
    folds = [
        test
        for _, test in StratifiedGroupKFold(3, shuffle=True, random_state=0).split(
            labels, labels, target.groups
        )
    ]
    bags = model.bags(target, augmented=True)
    for k, test in enumerate(folds):
        held = folds[(k + 1) % 3]
        train = np.setdiff1d(np.arange(30), np.concatenate([test, held]))
        parts = [bags.take(torch.from_numpy(np.sort(p))) for p in (train, held, test)]
        network = model.trained(parts[0], seed=k, validation=parts[1], start=model.network, config=config)
        logits[np.sort(test)] = model.verdict(parts[2], network=network)[0]
    np.testing.assert_allclose(report.logits, logits, rtol=1e-6)
    assert report.metrics["mcc"] == pytest.approx(matthews_corrcoef(labels, logits[:, 1] >= logits[:, 0]))
    assert report.metrics["auc"] == pytest.approx(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))
    assert len(report.chosen) == 2
    assert set(np.argsort(report.fold_mcc)[-1:].tolist()) <= set(report.chosen)


def test_the_model_itself_is_left_alone(model: Any, target: PhotoSet, adapted: Any) -> None:
    state = {k: v.clone() for k, v in model.network.state_dict().items()}
    before = model.predict(target)
    ensemble, _ = model.adapt(target, n_splits=3, top_k=1, lr=1e-2, epochs=1)
    assert model.predict(target) == before
    for name, value in model.network.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    assert not np.allclose(ensemble.predict(target).probabilities, before.probabilities)
    assert ensemble.info.trained_on != model.info.trained_on


def test_photos_trained_on_are_refused(model: Any, target: PhotoSet, adapted: Any) -> None:
    _, report = adapted
    new = sample_photos(seed=9, photos=30)
    found = report.score(new)
    assert set(found) == {"mcc", "auc", "accuracy"}
    for known in (target.take([3]), sample_photos(seed=1, photos=40).take([0])):
        with pytest.raises(LeakError, match="1 of 31 photos have been trained on, the first at 30"):
            report.score(PhotoSet([*new.photos, *known.photos]))
    with pytest.raises(LeakError, match="trained on already"):
        model.adapt(sample_photos(seed=1, photos=40), n_splits=3)


def test_the_ensemble_is_saved_and_loaded_as_one(adapted: Any, target: PhotoSet, tmp_path: Path) -> None:
    ensemble, _ = adapted
    ensemble.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(target) == ensemble.predict(target)
    member = ensemble.members[0]
    member.save(tmp_path / "one")
    loaded: Any = fc.load_model(tmp_path / "one")
    assert loaded.seen == member.seen
    assert loaded.info.trained_on == member.info.trained_on


def test_positions_join_photos_of_one_place(target: PhotoSet) -> None:
    places = [(48.0, 11.0), (48.01, 11.0), (10.0, 10.0), None, (10.01, 10.0), None]
    photos = PhotoSet(
        [replace(p, metadata=Metadata(gps=g)) for p, g in zip(target.photos, places, strict=False)]
    )
    assert adaptation_groups(photos, "photo").tolist() == [0, 1, 2, 3, 4, 5]
    assert adaptation_groups(photos, "gps").tolist() == [0, 0, 2, 3, 2, 5]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"n_splits": 2}, InvalidInputError, "n_splits"),
        ({"n_splits": 20}, InvalidInputError, "n_splits"),
        ({"top_k": 0}, InvalidInputError, "top_k"),
        ({"n_splits": 3, "top_k": 4}, InvalidInputError, "top_k"),
        ({"n_splits": 3, "groups": "city"}, InvalidInputError, "groups"),
        ({"n_splits": 3, "lr": 0.0}, InvalidInputError, "learning_rate"),
    ],
)
def test_wrong_arguments_are_named(model: Any, target: PhotoSet, options: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        model.adapt(target, **options)


def test_a_target_of_one_class_and_an_unfitted_model_are_refused(model: Any, target: PhotoSet) -> None:
    with pytest.raises(DataError, match="target"):
        model.adapt(target.take(np.flatnonzero(target.labels == 1)), n_splits=3)
    with pytest.raises(NotFittedError):
        fc.create_model("vision/roadwork", **OPTIONS).adapt(target)  # type: ignore[attr-defined]


def test_robustness_tells_metrics_under_each_change(model: Any, target: PhotoSet) -> None:
    found = robustness(model, target)
    assert list(found) == ["plain", *CAMERA]
    assert all(set(each) == {"mcc", "auc"} for each in found.values())
    plain = fc.evaluate(model, target, metrics=["mcc", "auc"]).metrics
    assert found["plain"] == plain
    assert robustness(model, target, ["mcc"], transforms=["noise"]) == {
        "plain": {"mcc": plain["mcc"]},
        "noise": {"mcc": found["noise"]["mcc"]},
    }
    with pytest.raises(InvalidInputError, match="blur"):
        robustness(model, target, transforms=["blurr"])
