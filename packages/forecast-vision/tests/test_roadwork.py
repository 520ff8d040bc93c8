"""`vision/roadwork` and its peers: they learn, they say why, and what is saved is all that is needed."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import forecast_core as fc
from forecast_core.errors import (
    ArtifactIntegrityError,
    CapabilityError,
    ConfigError,
    DataError,
    LeakError,
    MissingDependencyError,
    NotFittedError,
    UnknownIdError,
)
from forecast_core.splits import StratifiedGroupSplit
from forecast_vision import Metadata, MetadataLeakWarning, Photo, PhotoSet, robustness
from forecast_vision.testing import sample_photos

SMALL: dict[str, Any] = {
    "backbone": "histogram",
    "view_size": 32,
    "hidden_size": 32,
    "num_layers": 1,
    "num_heads": 4,
    "max_epochs": 2,
    "batch_size": 8,
    "accumulate": 1,
    "learning_rate": 3e-3,
    "augmentations": 1,
    "calibration_folds": 3,
}
GENTLE = {"crop": 0.9, "operations": 0, "cutout": 0, "rotation": 5.0}


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return sample_photos(seed=1, photos=60)


@pytest.fixture(scope="module")
def fitted(photos: PhotoSet) -> Any:
    options = {**SMALL, "max_epochs": 15, "mixup": 0.0, "augmentation": GENTLE}
    return fc.create_model("vision/roadwork", **options).fit(photos, seed=0)


def test_it_tells_barriers_from_streets_better_than_the_prior(fitted: Any) -> None:
    unseen = sample_photos(seed=2, photos=60)
    result = fc.evaluate(fitted, unseen, metrics=["mcc", "auc", "log_loss"])
    assert result.metrics["mcc"] > 0.6  # type: ignore[operator]
    assert result.metrics["auc"] > 0.85  # type: ignore[operator]
    assert result.skill["log_loss"] > 0.3  # type: ignore[operator]


def test_a_prediction_says_which_views_counted_and_what_is_decided(fitted: Any, photos: PhotoSet) -> None:
    p = fitted.predict(photos)
    assert p.classes == ("no-roadwork", "roadwork")
    assert p.item_ids == photos.item_ids
    assert p.aux["view_weights"].shape == (60, 12)
    np.testing.assert_allclose(p.aux["view_weights"].sum(1), 1.0, atol=1e-6)
    yes = p.probability("roadwork") >= p.metadata["threshold"]
    np.testing.assert_array_equal(p.aux["decision"], yes)
    report = fitted.report
    assert report.folds == 3
    assert report.temperature == p.metadata["temperature"]
    assert set(report.out_of_fold) >= {"mcc", "auc", "ece", "recall"}
    assert report.metadata_auc is not None


def test_photos_without_names_are_told_by_their_place_in_the_whole_set(fitted: Any, photos: PhotoSet) -> None:
    unnamed = PhotoSet([replace(p, name=None) for p in photos.photos[:6]])
    p = fitted.predict_windows(unnamed.windows().take(np.array([4, 1])))
    assert p.item_ids == ("photo-4", "photo-1")


def test_unlabelled_photos_are_predicted_and_left_out_of_training(fitted: Any, photos: PhotoSet) -> None:
    blank = PhotoSet([replace(p, label=None) for p in photos.photos])
    assert fitted.predict(blank).probabilities.tolist() == fitted.predict(photos).probabilities.tolist()
    few = sample_photos()
    more = PhotoSet([*few.photos, *blank.photos[:5]])
    one, two = (
        fc.create_model("vision/roadwork", **SMALL).fit(each, seed=0).predict(few) for each in (few, more)
    )
    assert one.replace(model=None) == two.replace(model=None)


def test_photos_without_any_metadata_and_with_strange_one_are_predicted(fitted: Any) -> None:
    (photo,) = sample_photos(photos=1).photos
    strange = Metadata(weather="Volcanic ash", gps=(-89.9, 179.9), city="Nowhere", scene_description="?")
    for metadata in (Metadata(), strange):
        p = fitted.predict(PhotoSet([replace(photo, metadata=metadata)]))
        assert np.isfinite(p.probabilities).all()


@pytest.mark.parametrize("keep_views", [None, 4])
def test_a_second_training_decodes_no_photo(
    keep_views: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from forecast_vision.backbones.cache import shared_cache

    (tmp_path / "photos").mkdir()
    sample = sample_photos(seed=3, photos=12)
    files = []
    for k, photo in enumerate(sample.photos):
        path = tmp_path / "photos" / f"{k}.png"
        assert isinstance(photo.image, np.ndarray)
        Image.fromarray(photo.image).save(path)
        files.append(replace(photo, image=path))
    on_disk = PhotoSet(files)
    options = {**SMALL, "cache": str(tmp_path / "cache"), "keep_views": keep_views}
    first = fc.create_model("vision/roadwork", **options).fit(on_disk, seed=0).predict(on_disk)
    shared_cache.cache_clear()  # as in a new process

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a photo was decoded")

    for module in ("embedding", "skipping", "views.extraction"):
        monkeypatch.setattr(f"forecast_vision.{module}.decode", refuse)
    monkeypatch.setattr(Image.Image, "load", refuse)  # what decodes a file, whoever calls it
    second = fc.create_model("vision/roadwork", **options).fit(on_disk, seed=0).predict(on_disk)
    assert first == second
    with pytest.raises(AssertionError, match="decoded"):
        fc.create_model("vision/roadwork", **{**options, "view_size": 48}).fit(on_disk, seed=0)


def test_an_artifact_holds_no_backbone_and_checks_its_hash(
    fitted: Any, photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fc.create_model("vision/roadwork", **{**SMALL, "backbone": "efficientnet-lite0"})
    model.fit(photos.between(0, 12), seed=0).save(tmp_path / "m")
    assert sorted(p.suffix for p in (tmp_path / "m").iterdir()) == [".json"] * 3 + [".safetensors", ".sha256"]
    stored = sum(p.stat().st_size for p in (tmp_path / "m").iterdir())
    assert stored < 2_000_000  # the backbone has 17 MB
    loaded = fc.load_model(tmp_path / "m")
    assert loaded.predict(photos.between(0, 5)) == model.predict(photos.between(0, 5))
    assert loaded.report == model.report  # type: ignore[attr-defined]
    monkeypatch.setattr("forecast_vision.backbones.efficientnet_lite._Backbone.checkpoint_hash", "0" * 64)
    with pytest.raises(ArtifactIntegrityError, match="backbone 'efficientnet-lite0'"):
        fc.load_model(tmp_path / "m")


def test_validation_stops_training_and_region_and_texts_are_taken(photos: PhotoSet) -> None:
    rng = np.random.default_rng(0)
    texts = [
        replace(
            p, metadata=Metadata(gps=(48.0, 11.0), scene_description=str(rng.choice(["a street", "cars"])))
        )
        for p in photos.photos
    ]
    options = {
        **SMALL,
        "patience": 1,
        "calibration_folds": 0,
        "text_fields": ("scene_description",),
        "region": ((48.1, 11.5),),
        "keep_views": 3,
    }
    seen: list[float] = []

    class Listener:
        def forecast_epoch_finished(self, run: Any, epoch: int, metrics: Any) -> None:
            seen.append(metrics["valid_loss"])

    model = fc.create_model("vision/roadwork", **options)
    model.fit(
        PhotoSet(texts[:40]), validation=PhotoSet(texts[40:]), seed=0, run=fc.Run(listeners=[Listener()])
    )
    assert 0 < len(seen) <= 2
    p = model.predict(PhotoSet(texts[40:]))
    assert ((p.aux["view_weights"] > 0).sum(1) == 3).all()
    assert p.metadata["temperature"] == 1.0


def test_texts_of_positives_alone_warn_of_a_leak(photos: PhotoSet) -> None:
    leaking = PhotoSet(
        [
            replace(p, metadata=Metadata(scene_description="Road work ahead" if p.label else None))
            for p in photos.photos[:30]
        ]
    )
    options = {**SMALL, "max_epochs": 1, "calibration_folds": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.create_model("vision/roadwork", **options).fit(leaking, seed=0)  # texts are off
        blind = {**options, "use_metadata": False, "text_fields": ("scene_description",)}
        unused: Any = fc.create_model("vision/roadwork", **blind).fit(leaking, seed=0)
        assert unused.report.metadata_auc == 1.0  # told, but nothing to warn of
    model = fc.create_model("vision/roadwork", **options, text_fields=("scene_description",))
    with pytest.warns(MetadataLeakWarning, match=r"AUC of 1\.00"):
        model.fit(leaking, seed=0)
    assert model.report.metadata_auc == 1.0  # type: ignore[attr-defined]


def test_lion_has_a_learning_rate_of_its_own() -> None:
    pytest.importorskip("lion_pytorch")
    rates = {}
    for optimizer in ("adamw", "lion"):
        metrics: list[Any] = []

        class Listener:
            def forecast_epoch_finished(
                self, run: Any, epoch: int, metrics: Any, to: list[Any] = metrics
            ) -> None:
                to.append(metrics["learning_rate"])

        options = {**SMALL, "learning_rate": None, "optimizer": optimizer, "calibration_folds": 0}
        model = fc.create_model("vision/roadwork", **{**options, "warmup_steps": 0, "max_epochs": 30})
        model.fit(sample_photos(), seed=0, run=fc.Run(listeners=[Listener()]))
        rates[optimizer] = metrics[0]
        assert model.config.peak_rate == {"adamw": 3e-4, "lion": 1e-4}[optimizer]  # type: ignore[attr-defined]
    assert rates["lion"] == pytest.approx(rates["adamw"] / 3)


def test_training_in_bf16_and_compiled_ends_near_plain_training(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = sample_photos()
    compiled = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(len(inputs))
        return graph.forward

    plain_compile = torch.compile
    monkeypatch.setattr("torch.compile", partial(plain_compile, backend=backend))
    own = {**SMALL, "calibration_folds": 0, "dropout": 0.0, "drop_path": 0.0, "metadata_dropout": 0.0}
    plain, half, fast = (
        fc.create_model("vision/roadwork", **own, **changes).fit(photos, seed=0).predict(photos).probabilities  # type: ignore[attr-defined]
        for changes in ({}, {"precision": "bf16"}, {"compile": True})
    )
    assert compiled
    np.testing.assert_allclose(fast, plain, atol=1e-4)
    np.testing.assert_allclose(half, plain, atol=0.05)
    assert not np.array_equal(half, plain)


def test_peers_are_compared_in_folds_that_keep_groups(photos: PhotoSet) -> None:
    found = fc.cross_validate(
        "vision/logistic",
        photos,
        StratifiedGroupSplit(n_splits=3),
        ["mcc", "log_loss"],
        params={"backbone": "histogram", "view_size": 32},
    )
    assert found.mean["mcc"] > 0.1  # type: ignore[operator]
    assert found.baseline["log_loss"] == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"hidden_size": 30}, ConfigError, "hidden_size"),
        ({"num_key_heads": 3}, ConfigError, "num_key_heads"),
        ({"calibration_folds": 1}, ConfigError, "calibration_folds"),
        ({"alpha": (0.0, 1.0)}, ConfigError, "alpha"),
        ({"region": ((91.0, 0.0),)}, ConfigError, "region"),
        ({"augmentation": {"rotations": 3}}, ConfigError, "rotations"),
        ({"text_fields": ("gps",)}, ConfigError, "text_fields"),
        ({"view_size": 34}, ConfigError, "view_size"),
        ({"backbone": "histograms"}, UnknownIdError, "histogram"),
        ({"device": "tpu9"}, ConfigError, "device"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        fc.create_model("vision/roadwork", **{**SMALL, **options}).fit(sample_photos(), seed=0)


def test_photos_that_cannot_be_used_are_named(fitted: Any, photos: PhotoSet, tmp_path: Path) -> None:
    for labels in ([True] * 10, [None] * 10, [True] * 9 + [False]):
        some = PhotoSet([replace(p, label=y) for p, y in zip(photos.photos, labels, strict=False)])
        with pytest.raises(DataError, match="data: has at least 3 photos labelled"):
            fc.create_model("vision/roadwork", **SMALL).fit(some, seed=0)
    copies = PhotoSet([photos.photos[0], photos.photos[1]] * 6)  # two photos, again and again
    with pytest.raises(DataError, match="different videos, got 1"):
        fc.create_model("vision/roadwork", **SMALL).fit(copies, seed=0)
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"photos at 1 \(street-b\)"):
        fitted.predict(PhotoSet([photos.photos[0], Photo(tmp_path / "b.jpg", name="street-b")]))
    with pytest.raises(CapabilityError, match="horizon"):
        fitted.predict(photos, horizon=1)
    with pytest.raises(NotFittedError):
        fc.create_model("vision/roadwork", **SMALL).report  # type: ignore[attr-defined]  # noqa: B018


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from forecast_vision.metadata import text

    text._loaded.cache_clear()
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"forecast-vision\[text\]"):
        text.embed_texts(["a text that nobody has embedded before"])


def test_predictions_survive_json(fitted: Any, photos: PhotoSet) -> None:
    p = fitted.predict(photos.between(0, 3))
    assert fc.Prediction.from_json(p.to_json()) == p
    assert json.loads(fitted.report.model_dump_json())["folds"] == 3


@pytest.mark.parametrize("name", ["roadwork", "logistic"])
def test_photos_fitted_on_are_neither_scored_nor_validated_on(tmp_path: Path, name: str) -> None:
    options = SMALL if name == "roadwork" else {"backbone": "histogram", "view_size": 32}
    photos = sample_photos(seed=0, photos=40)
    model: Any = fc.create_model(f"vision/{name}", **options).fit(photos.take(range(30)))
    model.save(tmp_path / "m")
    for each in (model, fc.load_model(tmp_path / "m")):
        assert fc.evaluate(each, photos.take(range(30, 40)), metrics=["mcc"]).metrics
        with pytest.raises(
            LeakError, match=r"1 of 11 photos, the first at 0 .*, have been trained or validated on"
        ):
            fc.evaluate(each, photos.take(range(29, 40)), metrics=["mcc"])
        with pytest.raises(LeakError):
            fc.backtest([each], photos, start=20, metrics=["mcc"])
        with pytest.raises(LeakError):
            robustness(each, photos)
    windows = photos.windows()
    for data, held in (
        (photos.take(range(30)), photos.take(range(29, 40))),
        (windows.take(np.arange(30)), windows.take(np.arange(29, 40))),
    ):
        with pytest.raises(LeakError, match=r"1 of 11 photos, the first at 0 .*, are fitted on"):
            model.fit(data, validation=held)
