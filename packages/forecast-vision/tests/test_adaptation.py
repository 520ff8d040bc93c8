"""Adapting: scored out of fold as by hand, refusing what has been trained on, leaving the model as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import matthews_corrcoef, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

import forecast_core as fc
from forecast_core.cli.app import run
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
        with pytest.raises(LeakError, match=r"1 of 31 photos, the first at 30 .*, have been trained on"):
            report.score(PhotoSet([*new.photos, *known.photos]))
    with pytest.raises(LeakError, match="trained on already"):
        model.adapt(sample_photos(seed=1, photos=40), n_splits=3)
    ensemble, _ = adapted
    for each in (ensemble, fc.create_ensemble([model, model])):
        with pytest.raises(LeakError, match="trained or validated on by vision/roadwork"):
            fc.evaluate(each, sample_photos(seed=1, photos=40).take([0, 1]), metrics=["mcc"])
    assert fc.evaluate(ensemble, new, metrics=["mcc"]).metrics


def test_the_adapted_model_decides_at_its_threshold_whoever_else_is_asked_about(
    model: Any, target: PhotoSet, adapted: Any
) -> None:
    ensemble, report = adapted
    assert report.threshold != 0.5
    photos = sample_photos(seed=9, photos=30)
    p, own = ensemble.predict(photos), model.predict(photos)
    assert p.metadata["threshold"] == report.threshold
    assert p.aux.keys() == own.aux.keys()
    np.testing.assert_array_equal(p.aux["decision"], p.probability("roadwork") >= report.threshold)
    assert len({tuple(m.predict(photos).aux["decision"]) for m in ensemble.members}) > 1  # they do disagree
    np.testing.assert_allclose(p.aux["view_weights"].sum(1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(p.confidence, p.probabilities.max(1))
    alone = fc.ClassPrediction.concat([ensemble.predict(photos.take([k])) for k in range(30)])
    np.testing.assert_allclose(alone.probabilities, p.probabilities, atol=1e-6)
    assert alone.aux.keys() == p.aux.keys()
    np.testing.assert_array_equal(alone.aux["decision"], p.aux["decision"])


def test_the_command_line_tells_the_decision_of_an_adapted_model(
    adapted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble, _ = adapted
    ensemble.save(tmp_path / "m")
    with (tmp_path / "metadata.jsonl").open("w") as table:
        for photo in sample_photos(seed=9, photos=30).photos:
            Image.fromarray(np.asarray(photo.image)).save(tmp_path / f"{photo.name}.png")
            known = photo.metadata
            row = {"gps": known.gps, "weather": known.weather, "time": known.daytime}
            table.write(json.dumps({"file_name": f"{photo.name}.png", **row}) + "\n")
    output = tmp_path / "told.csv"
    assert run(["vision", "predict", str(tmp_path / "m"), str(tmp_path), "--output", str(output)]) == 0
    assert output.read_text().splitlines()[0] == "photo,roadwork,decision,view"
    capsys.readouterr()


def test_the_ensemble_is_saved_and_loaded_as_one(adapted: Any, target: PhotoSet, tmp_path: Path) -> None:
    ensemble, report = adapted
    ensemble.save(tmp_path / "m")
    loaded: Any = fc.load_model(tmp_path / "m")
    assert loaded.predict(target) == ensemble.predict(target)
    assert loaded.predict(target).metadata["threshold"] == report.threshold
    assert loaded.seen == report.seen
    member = ensemble.members[0]
    member.save(tmp_path / "one")
    loaded = fc.load_model(tmp_path / "one")
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
        ({"n_splits": 3.0}, InvalidInputError, "n_splits: is a whole number"),
        ({"n_splits": 3, "top_k": 1.5}, InvalidInputError, "top_k: is a whole number"),
        ({"n_splits": 3, "seed": -1}, InvalidInputError, "seed: is a whole number in"),
        ({"n_splits": 3, "seed": 0.5}, InvalidInputError, "seed: is a whole number in"),
        ({"n_splits": 3, "lr": 0.0}, InvalidInputError, "^lr: "),
        ({"n_splits": 3, "lr": float("nan")}, InvalidInputError, "^lr: "),
        ({"n_splits": 3, "epochs": 0}, InvalidInputError, "^epochs: "),
        ({"n_splits": 3, "clip": -1.0}, InvalidInputError, "^clip: "),
        ({"n_splits": 3, "dropout": 1.0}, InvalidInputError, "^dropout: "),
        ({"n_splits": 3, "batch_size": 2.5}, InvalidInputError, "^batch_size: "),
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


def test_robustness_of_peers_and_ensembles(model: Any, adapted: Any) -> None:
    target = sample_photos(seed=9, photos=30)  # the adapted model has seen its own
    options = {"backbone": "histogram", "view_size": 32}
    logistic = fc.create_model("vision/logistic", **options).fit(sample_photos(seed=1, photos=40))
    mixed = fc.create_ensemble([model, logistic])
    for each in (logistic, fc.create_model("vision/prior"), adapted[0], mixed):
        found = robustness(each, target, ["mcc", "log_loss"], transforms=["noise", "blur"])
        plain = fc.evaluate(each, target, metrics=["mcc", "log_loss"]).metrics
        assert found["plain"] == pytest.approx(plain)
        changed = found["noise"]["log_loss"] != found["plain"]["log_loss"]
        assert changed == (each.spec.id != "vision/prior")


def test_robustness_of_what_cannot_see_changed_photos_is_refused(target: PhotoSet) -> None:
    naive: Any = fc.create_model("series/naive", horizon=1)
    for model in (naive, None, fc.create_ensemble([naive])):
        with pytest.raises(InvalidInputError, match="model: is a classifier with answer"):
            robustness(model, target)
    with pytest.raises(NotFittedError, match="vision/logistic"):
        robustness(fc.create_model("vision/logistic"), target)
    with pytest.raises(InvalidInputError, match="photos: is a PhotoSet"):
        robustness(fc.create_model("vision/prior"), None)  # type: ignore[arg-type]
