"""Training the backbone too: it begins as the frozen one, changes nothing else, and is kept small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image

import forecast_core as fc
from forecast_core.errors import (
    ArtifactError,
    ArtifactIntegrityError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
from forecast_vision import Photo, PhotoSet, backbones
from forecast_vision.backbones.adapters import load_trained, merge_adapters, trained_state
from forecast_vision.backbones.cache import shared_cache
from forecast_vision.backbones.tuned import TunedBackbone
from forecast_vision.nn.training import RoadworkLoss
from forecast_vision.testing import sample_photos

pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

VIEWS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8))
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
    "layerscale_value": 1.0,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny transformers with random weights."""
    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    kinds: dict[str, Any] = {
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**SIZE, initializer_range=0.1)),
        "dinov3": transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(**SIZE, intermediate_size=64, num_register_tokens=2)
        ),
    }
    for name, model in kinds.items():
        model.save_pretrained(root / name)
    return {name: str(root / name) for name in kinds}


def options(folders: dict[str, str], **changes: Any) -> dict[str, Any]:
    tuning = {
        "rank": 4,
        "blocks": 1,
        "max_epochs": 2,
        "batch_size": 4,
        "accumulate": 1,
        "learning_rate": 3e-3,
    }
    return {
        "backbone": "dinov2",
        "checkpoint": folders["dinov2"],
        "view_size": 32,
        "hidden_size": 16,
        "num_layers": 1,
        "num_heads": 4,
        "max_epochs": 2,
        "batch_size": 8,
        "accumulate": 1,
        "learning_rate": 3e-3,
        "augmentations": 1,
        "mixup": 0.0,
        "augmentation": {"crop": 0.9, "operations": 0, "cutout": 0, "rotation": 5.0},
        "keep_views": 3,
        "calibration_folds": 0,
        "fine_tuning": tuning,
        **changes,
    }


def stirred(network: torch.nn.Module, by: float = 0.1) -> torch.nn.Module:
    """With other weights in all that is trained."""
    generator = torch.Generator().manual_seed(1)
    for weight in trained_state(network).values():
        weight.add_(by * torch.randn(weight.shape, generator=generator))
    return network


@settings(max_examples=20, deadline=None)
@given(
    family=st.sampled_from(["dinov2", "dinov3"]),
    rank=st.integers(0, 8),
    blocks=st.integers(0, 3),
    alpha=st.floats(0.1, 64),
    seed=st.integers(0, 100),
)
def test_it_begins_as_the_frozen_backbone_and_trains_what_it_says(
    folders: dict[str, str], family: str, rank: int, blocks: int, alpha: float, seed: int
) -> None:
    frozen: Any = backbones.load_backbone(family, folders[family])
    assert isinstance(frozen, backbones.TrainableBackbone)
    network = frozen.trainable(rank=rank, alpha=alpha, blocks=blocks, seed=seed)
    before = frozen.embed(VIEWS.numpy())
    np.testing.assert_allclose(network(VIEWS).detach().numpy(), before, atol=1e-6)
    trained = trained_state(network)
    layers = "encoder.layer" if family == "dinov2" else "model.layer"
    whole = tuple(f"model.{layers}.{k}." for k in range(3 - blocks, 3)) + (
        ("model.layernorm.", "model.norm.") if blocks else ()
    )
    adapters = {name for name in trained if ".lora_" in name}
    assert len(adapters) == (4 * (3 - blocks) if rank else 0)  # A and B of queries and values
    assert not any(name.startswith(whole) for name in adapters)
    assert all(name.startswith(whole) for name in trained.keys() - adapters)
    if not trained:
        return
    network(VIEWS).square().sum().backward()
    assert {name for name, p in network.named_parameters() if p.grad is not None} == set(trained)
    assert all(p.grad is None for p in frozen._model.parameters())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    optimizer.step()
    np.testing.assert_array_equal(frozen.embed(VIEWS.numpy()), before)


@pytest.mark.parametrize("family", ["dinov2", "dinov3"])
def test_merged_adapters_give_what_unmerged_ones_give_and_what_the_paper_says(
    folders: dict[str, str], family: str
) -> None:
    frozen: Any = backbones.load_backbone(family, folders[family])
    before = frozen.embed(VIEWS.numpy())
    network: Any = stirred(frozen.trainable(rank=4, alpha=8.0, blocks=1, seed=0))
    layers = network.model.encoder.layer if family == "dinov2" else network.model.model.layer
    layer = layers[0].attention.q_proj
    x = torch.randn(5, 32)
    by_hand = (
        layer.base_layer(x)
        + 8.0 / 4 * x @ (layer.lora_B["default"].weight @ layer.lora_A["default"].weight).T
    )
    torch.testing.assert_close(layer(x), by_hand)
    with torch.no_grad():
        unmerged, state = network(VIEWS), {k: v.clone() for k, v in trained_state(network).items()}
        merge_adapters(network)
        merge_adapters(network)  # once is enough
        torch.testing.assert_close(network(VIEWS), unmerged, rtol=1e-5, atol=1e-5)
    assert np.abs(unmerged.numpy() - before).max() > 1e-2
    for name, value in trained_state(network).items():
        assert value.equal(state[name])
    np.testing.assert_array_equal(frozen.embed(VIEWS.numpy()), before)


def test_trained_weights_alone_bring_the_backbone_back(folders: dict[str, str]) -> None:
    frozen: Any = backbones.load_backbone("dinov2", folders["dinov2"])
    how = {"rank": 2, "alpha": 4.0, "blocks": 1}
    network = stirred(frozen.trainable(**how, seed=0))
    state = {k: v.clone() for k, v in trained_state(network).items()}
    tuned = TunedBackbone(frozen, network)
    again = frozen.trainable(**how, seed=7)
    load_trained(again, state)
    restored = TunedBackbone(frozen, again)
    assert restored.checkpoint_hash == tuned.checkpoint_hash != frozen.checkpoint_hash
    np.testing.assert_array_equal(restored.embed(VIEWS.numpy()), tuned.embed(VIEWS.numpy()))
    assert tuned.embed(VIEWS.numpy()[:0]).shape == (0, 32)
    assert isinstance(tuned, backbones.Backbone)
    state["more"] = torch.zeros(1)
    with pytest.raises(ValueError, match="another backbone"):
        load_trained(again, state)


@pytest.fixture(scope="module")
def fitted(folders: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    cache = str(tmp_path_factory.mktemp("cache"))
    photos = sample_photos(seed=1, photos=24)
    return fc.create_model("vision/roadwork", **options(folders, cache=cache)).fit(photos, seed=0)


def test_a_saved_model_holds_what_was_trained_and_no_frozen_weight(
    fitted: Any, folders: dict[str, str], tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    photos = sample_photos(seed=2, photos=6)
    fitted.save(tmp_path / "m")
    loaded: Any = fc.load_model(tmp_path / "m")
    assert loaded.predict(photos) == fitted.predict(photos)
    arrays = load_file(tmp_path / "m" / "weights.safetensors")
    kept = {name for name in arrays if name.startswith("backbone.")}
    assert all(".lora_" in n or ".layer.2." in n or ".layernorm." in n for n in kept)
    frozen = sum(p.numel() for p in backbones.load_backbone("dinov2", folders["dinov2"])._model.parameters())  # type: ignore[attr-defined]
    assert sum(arrays[name].size for name in kept) < 0.5 * frozen
    adapters = sum(arrays[name].size for name in kept if ".lora_" in name)
    assert adapters == 2 * 2 * (4 * 32 + 32 * 4)  # two blocks, queries and values, rank 4


@pytest.mark.slow
def test_loading_a_tuned_model_never_touches_pickle(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    code = f"""
import sys
events = []
sys.addaudithook(lambda name, args: events.append(name) if name.startswith("pickle.") else None)
import forecast_core as fc
from forecast_vision.testing import sample_photos
fc.load_model({str(tmp_path / "m")!r}).predict(sample_photos(photos=3))
assert not events, events
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_backbone_in_training_neither_fills_nor_reads_the_cache(
    fitted: Any, folders: dict[str, str], tmp_path: Path
) -> None:
    photos, cache = sample_photos(seed=1, photos=24), tmp_path / "cache"
    frozen = options(folders, cache=str(cache), fine_tuning=None)
    fc.create_model("vision/roadwork", **frozen).fit(photos, seed=0)
    entries = {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}
    again: Any = fc.create_model("vision/roadwork", **options(folders, cache=str(cache))).fit(photos, seed=0)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")} == entries
    # Its own features are kept under its own hash: the frozen ones of the same photos are not taken for them.
    kept = again.predict(photos)
    assert len(list(cache.rglob("*.safetensors"))) == len(entries) + len(photos)
    shared_cache.cache_clear()
    assert again.predict(photos) == kept == fitted.predict(photos)


def test_training_repeats(fitted: Any, folders: dict[str, str]) -> None:
    photos = sample_photos(seed=1, photos=24)
    again = fc.create_model("vision/roadwork", **options(folders)).fit(photos, seed=0)
    assert again.predict(photos).probabilities.tolist() == fitted.predict(photos).probabilities.tolist()  # type: ignore[attr-defined]


def test_a_tuned_model_conforms(folders: dict[str, str]) -> None:
    tuning = {"rank": 2, "blocks": 0, "max_epochs": 1, "batch_size": 8}
    config = options(folders, max_epochs=1, augmentations=0, fine_tuning=tuning)
    report = fc.check_predictor("vision/roadwork", configs=(config,))
    assert report.ok, report.summary()


@pytest.mark.slow
def test_a_trained_backbone_tells_photos_left_out_better_than_a_frozen_one(folders: dict[str, str]) -> None:
    test = sample_photos(seed=99, photos=96)
    tuning = {
        "rank": 8,
        "blocks": 2,
        "max_epochs": 8,
        "batch_size": 8,
        "accumulate": 1,
        "learning_rate": 2e-3,
    }
    own = options(folders, max_epochs=8, keep_views=None, fine_tuning=tuning, use_metadata=False)
    losses = []
    for seed in range(3):
        train = sample_photos(seed=seed, photos=48)
        both = [
            fc.create_model("vision/roadwork", **{**own, **changes}).fit(train, seed=seed)
            for changes in ({}, {"fine_tuning": None})
        ]
        losses.append([fc.evaluate(m, test, metrics=["log_loss"]).metrics["log_loss"] for m in both])
    assert all(tuned < frozen for tuned, frozen in losses)  # type: ignore[operator]


def test_it_is_calibrated_out_of_fold_stopped_by_validation_and_resumed(
    folders: dict[str, str], tmp_path: Path
) -> None:
    train, held = sample_photos(seed=1, photos=16), sample_photos(seed=3, photos=8)
    own = options(folders, calibration_folds=2, patience=1)
    run = fc.Run(tmp_path / "run")
    model: Any = fc.create_model("vision/roadwork", **own).fit(train, validation=held, seed=0, run=run)
    assert model.report.folds == 2
    last = tmp_path / "run" / "fine-tuning" / "checkpoints" / "last.safetensors"
    assert last.exists()
    assert last.stat().st_size < 1_000_000
    again = fc.create_model("vision/roadwork", **own)
    again.fit(train, validation=held, seed=0, run=fc.Run(tmp_path / "run", resume=True))
    assert again.predict(held) == model.predict(held)


def test_training_that_ends_worse_on_validation_than_it_began_is_dropped(folders: dict[str, str]) -> None:
    train, held = sample_photos(seed=1, photos=24), sample_photos(seed=3, photos=24)
    wild = {"rank": 4, "blocks": 2, "max_epochs": 1, "batch_size": 4, "learning_rate": 3.0}
    tuned, frozen = (
        fc.create_model("vision/roadwork", **options(folders, fine_tuning=each, max_epochs=8))
        .fit(train, validation=held, seed=0)
        .predict(held)
        .probabilities  # type: ignore[attr-defined]
        for each in (wild, None)
    )
    np.testing.assert_allclose(tuned, frozen, atol=1e-5)


def test_a_tuned_model_is_adapted_on_its_own_features(fitted: Any, tmp_path: Path) -> None:
    target = sample_photos(seed=5, photos=18)
    ensemble, report = fitted.adapt(target, n_splits=3, top_k=1, lr=1e-3, epochs=1)
    assert report.logits.shape == (18, 2)
    ensemble.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(target) == ensemble.predict(target)


def test_another_checkpoint_is_refused_at_loading(folders: dict[str, str], tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(folders["dinov2"], tmp_path / "copy")
    own = options(folders, checkpoint=str(copy))
    fc.create_model("vision/roadwork", **own).fit(sample_photos(photos=8), seed=0).save(tmp_path / "m")
    torch.manual_seed(5)
    transformers.Dinov2Model(transformers.Dinov2Config(**SIZE)).save_pretrained(copy)
    from forecast_vision.backbones import registry

    registry._load.cache_clear()
    with pytest.raises(ArtifactIntegrityError, match="dinov2"):
        fc.load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"backbone": "histogram", "checkpoint": None}, ConfigError, "histogram cannot be trained"),
        ({"merge": 0.5}, ConfigError, "merge"),
        ({"compile": True}, ConfigError, "compile"),
        ({"fine_tuning": {"rank": 0, "blocks": 0}}, ConfigError, "rank"),
        ({"fine_tuning": {"blocks": 4}}, ConfigError, "blocks"),
        ({"fine_tuning": {"ranks": 4}}, ConfigError, "ranks"),
    ],
)
def test_what_cannot_be_trained_is_named(
    folders: dict[str, str], changes: dict[str, Any], error: Any, says: str
) -> None:
    with pytest.raises(error, match=says):
        fc.create_model("vision/roadwork", **options(folders, **changes)).fit(sample_photos(), seed=0)


def test_a_photo_that_is_gone_by_the_time_it_is_decoded_is_named(
    folders: dict[str, str], tmp_path: Path
) -> None:
    from forecast_vision.fine_tuning import fine_tuned

    files = []
    for k, photo in enumerate(sample_photos(photos=8).photos):
        assert isinstance(photo.image, np.ndarray)
        Image.fromarray(photo.image).save(tmp_path / f"{k}.png")
        files.append(Photo(tmp_path / f"{k}.png", label=photo.label, name=f"street-{k}"))
    photos = PhotoSet(files)
    model: Any = fc.create_model("vision/roadwork", **options(folders, fine_tuning=None)).fit(photos, seed=0)
    config = type(model.config)(**options(folders))
    (tmp_path / "3.png").unlink()
    bags = model.bags(photos.take([0, 1, 2, 4, 5, 6, 7, 0]))
    with pytest.raises(DataError, match=r"street-3"):
        fine_tuned(
            photos,
            bags,
            model.network,
            config=config,
            loss=RoadworkLoss.balanced(config, bags.labels),
            transforms=model._transforms(),
            seed=0,
        )


def test_adapters_without_their_library_say_what_to_install(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_vision.backbones.adapters.find_spec", lambda name: None)
    frozen: Any = backbones.load_backbone("dinov2", folders["dinov2"])
    with pytest.raises(MissingDependencyError, match=r"forecast-vision\[lora\]"):
        frozen.trainable(rank=2, alpha=1.0, blocks=0, seed=0)
    frozen.trainable(rank=0, alpha=1.0, blocks=1, seed=0)  # whole blocks need none


def test_weights_of_a_backbone_and_its_configuration_go_together(fitted: Any) -> None:
    state = fitted._state()
    arrays = {name: value for name, value in state.arrays.items() if not name.startswith("backbone.")}
    model: Any = fc.create_model("vision/roadwork", **fitted.config.model_dump())
    with pytest.raises((ValueError, ArtifactError), match="if and only if"):
        model._load_state(type(state)(arrays=arrays, texts=state.texts))
