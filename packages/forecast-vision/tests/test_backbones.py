"""Backbones: their features, their cache, and that anybody can register one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecast_core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    DuplicateIdError,
    InvalidInputError,
    PluginError,
    ShapeError,
    UnknownIdError,
)
from forecast_core.hookspecs import hookimpl
from forecast_core.plugins import register_plugin, unregister_plugin
from forecast_vision import backbones, extract_views
from forecast_vision.backbones.cache import EmbeddingCache, bag_key
from forecast_vision.backbones.token_merging import merge_tokens
from forecast_vision.specs import BackboneSpec

VIEWS = np.random.default_rng(0).integers(0, 256, (3, 3, 56, 56), dtype=np.uint8)
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 56,
}


def checkpoint(folder: Path, family: str, **options: Any) -> str:
    """A tiny transformer with random weights."""
    import transformers

    torch.manual_seed(0)
    model: Any
    if family == "dinov2":
        model = transformers.Dinov2Model(
            transformers.Dinov2Config(**{**SMALL, "patch_size": 14, "layerscale_value": 1.0, **options})
        )
    else:
        model = transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(
                **{
                    **SMALL,
                    "patch_size": 8,
                    "intermediate_size": 64,
                    "num_register_tokens": 2,
                    "layerscale_value": 1.0,
                    **options,
                }
            )
        )
    model.save_pretrained(folder)
    return str(folder)


def test_efficientnet_gives_the_features_of_the_published_code() -> None:
    """The reference values are those of the package efficientnet-lite-pytorch 0.1.0 with the same weights."""
    rows, columns = np.mgrid[0:224, 0:224]
    picture = np.stack([rows % 256, columns % 256, (rows * columns) % 256], -1).astype(np.uint8)
    odd = np.stack([columns[:75, :75] * 3, rows[:75, :75] * 2, rows[:75, :75] % 7 * 30], -1).astype(np.uint8)
    golden = json.loads((Path(__file__).parent / "golden" / "efficientnet-lite0.json").read_text())
    backbone = backbones.load_backbone("efficientnet-lite0")
    for image, expected in ((picture, golden["224"]), (odd, golden["75"])):
        features = backbone.embed(image.transpose(2, 0, 1)[None])
        assert features.shape == (1, 1280)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features[0, ::40], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "histogram"])
def test_a_view_alone_has_the_features_it_has_among_others(name: str) -> None:
    backbone = backbones.load_backbone(name)
    views = np.concatenate([VIEWS, VIEWS[:1]])
    together = backbone.embed(views)
    assert together.shape == (4, backbone.feature_dim)
    np.testing.assert_allclose(together[0], together[3], atol=1e-5)
    np.testing.assert_allclose(backbone.embed(views[1:2]), together[1:2], atol=1e-4)
    assert backbone.embed(views[:0]).shape == (0, backbone.feature_dim)
    assert len(backbone.checkpoint_hash) == 64


@pytest.mark.parametrize("family", ["dinov2", "dinov3"])
def test_dino_gives_the_class_token_of_transformers(family: str, tmp_path: Path) -> None:
    import transformers

    folder = checkpoint(tmp_path, family)
    backbone = backbones.load_backbone(family, folder)
    assert backbone.patch == {"dinov2": 14, "dinov3": 8}[family]
    assert backbone.feature_dim == 32
    model = {"dinov2": transformers.Dinov2Model, "dinov3": transformers.DINOv3ViTModel}[family]
    reference = model.from_pretrained(folder).eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = (VIEWS / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = reference(pixel_values=torch.tensor(pixels, dtype=torch.float32)).pooler_output
    np.testing.assert_allclose(backbone.embed(VIEWS), expected.numpy(), atol=1e-4)
    with pytest.raises(ShapeError, match="multiple"):
        backbone.embed(VIEWS[:, :, :51, :51])


@pytest.mark.parametrize("family", ["dinov2", "dinov3"])
def test_merging_hardly_any_token_is_the_plain_transformer(family: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, family)
    plain, merged = (backbones.load_backbone(family, folder, merge=m) for m in (0.0, 1e-9))
    np.testing.assert_allclose(merged.embed(VIEWS), plain.embed(VIEWS), atol=1e-4)
    assert merged.checkpoint_hash != plain.checkpoint_hash
    half = backbones.load_backbone(family, folder, merge=0.5).embed(VIEWS)
    cosine = (half * plain.embed(VIEWS)).sum(1) / np.linalg.norm(half, axis=1)
    assert np.isfinite(cosine).all()
    assert not np.allclose(half, plain.embed(VIEWS), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), tokens=st.integers(4, 20), protected=st.integers(0, 3))
def test_merging_keeps_special_tokens_and_the_mean(data: st.DataObject, tokens: int, protected: int) -> None:
    count = data.draw(st.integers(1, (tokens + 1) // 2))
    rng = np.random.default_rng(tokens)
    values = torch.tensor(rng.normal(size=(2, protected + tokens, 5)))
    sizes = torch.tensor(rng.integers(1, 4, (2, protected + tokens)).astype(float))
    matching = backbones.bipartite_matching(values, count=count, protected=protected)
    merged, after = merge_tokens(values, sizes, matching)
    assert merged.shape == (2, protected + tokens - count, 5)
    torch.testing.assert_close(merged[:, :protected], values[:, :protected])
    torch.testing.assert_close(after.sum(1), sizes.sum(1))
    total = (values * sizes[..., None]).sum(1)
    torch.testing.assert_close((merged * after[..., None]).sum(1), total)


def test_equal_tokens_merge_first_and_too_many_are_refused() -> None:
    values = torch.eye(6, dtype=torch.float64)[None]
    values[0, 5] = values[0, 2]  # a target, and the second source of the five after one special token
    matching = backbones.bipartite_matching(values[:, [0, 1, 2, 3, 4, 5]], count=1, protected=0)
    assert (matching.merged.item(), matching.into.item()) == (1, 2)
    with pytest.raises(InvalidInputError, match="count"):
        backbones.bipartite_matching(values, count=4, protected=0)


@pytest.mark.slow
def test_token_merging_is_quicker_and_stays_near(tmp_path: Path) -> None:
    """ViT-S at 518 pixels, random weights."""
    folder = checkpoint(
        tmp_path,
        "dinov2",
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        image_size=518,
        layerscale_value=0.1,
        initializer_range=0.2,
    )
    from sklearn.datasets import load_sample_image

    views = extract_views(load_sample_image("china.jpg"), 518)[:1]
    kinds = {merge: backbones.load_backbone("dinov2", folder, merge=merge) for merge in (0.0, 0.6)}
    features = {merge: backbone.embed(views) for merge, backbone in kinds.items()}
    seconds = dict.fromkeys(kinds, float("inf"))
    for _ in range(5):  # in turn, so that a busy machine is busy for both
        for merge, backbone in kinds.items():
            began = time.process_time()
            backbone.embed(views)
            seconds[merge] = min(seconds[merge], time.process_time() - began)
    plain, merged = features.values()
    cosine = (plain * merged).sum(1) / np.linalg.norm(plain, axis=1) / np.linalg.norm(merged, axis=1)
    assert seconds[0.0] / seconds[0.6] >= 1.3, seconds
    assert cosine.min() >= 0.95, cosine


def test_folders_without_a_checkpoint_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "v2", "dinov2")
    with pytest.raises(ArtifactError, match="dinov3_vit"):
        backbones.load_backbone("dinov3", folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"config\.json"):
        backbones.load_backbone("dinov2", str(tmp_path / "empty"))
    weights = tmp_path / "v2" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        backbones.load_backbone("dinov2", folder)
    weights.unlink()
    with pytest.raises(ArtifactError, match="safetensors"):
        backbones.load_backbone("dinov2", folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ArtifactError, match="no folder"):
        backbones.load_backbone("dinov2", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("efficientnet-lite", {}, UnknownIdError, "efficientnet-lite0"),
        ("dinov2", {}, ConfigError, "checkpoint"),
        ("histogram", {"checkpoint": "there"}, ConfigError, "left out"),
        ("efficientnet-lite0", {"merge": 0.5}, ConfigError, "no tokens"),
        ("dinov2", {"checkpoint": "x", "merge": 1.0}, ConfigError, "merge"),
    ],
)
def test_wrong_requests_say_what_is_wrong(name: str, options: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        backbones.load_backbone(name, **options)


@pytest.mark.parametrize("views", [VIEWS.astype(float), VIEWS[0], VIEWS[:, :2], VIEWS[:, :, :40], None])
def test_what_are_no_views_is_refused(views: Any) -> None:
    for name in ("efficientnet-lite0", "histogram"):
        with pytest.raises(InvalidInputError, match="views"):
            backbones.load_backbone(name).embed(views)


class Constant:
    """A backbone of a third party."""

    name, feature_dim, size, patch, checkpoint_hash = "acme", 2, 16, 1, "0" * 64

    def embed(self, views: np.ndarray) -> np.ndarray:
        return np.ones((len(views), 2), dtype=np.float32)


def plugin(*specs: Any) -> Any:
    return SimpleNamespace(forecast_backbones=hookimpl(lambda: list(specs)))


def test_plugins_register_backbones_and_two_of_one_name_are_refused() -> None:
    from forecast_core import registry

    spec = BackboneSpec(name="acme", entry_point="acme.net:load", summary="ones", requires=())
    register_plugin(plugin(spec), name="acme")
    try:
        assert backbones.available_backbones()["acme"] == "ones"
        with pytest.raises(PluginError):
            backbones.load_backbone("acme")  # there is no module acme
        register_plugin(plugin(spec), name="emca")
        try:
            with pytest.raises(DuplicateIdError, match=r"acme.*emca"):
                backbones.available_backbones()
        finally:
            unregister_plugin("emca")
    finally:
        unregister_plugin("acme")
    assert "acme" not in backbones.available_backbones()
    assert isinstance(Constant(), backbones.Backbone)
    assert registry is not None
    with pytest.raises(PluginError, match="name"):
        BackboneSpec(name="Not A Name", entry_point="a:b", summary="x")


BOXES = [(0, 0, 4, 4), (1, 2, 3, 4), (0, 0, 2, 2)]


def test_the_cache_keeps_features_by_box_in_memory_and_on_disk(tmp_path: Path) -> None:
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    key = bag_key("image", augmentation="plain", size=224, checkpoint="c")
    assert key != bag_key("image", augmentation="plain", size=112, checkpoint="c")
    for folder in (None, tmp_path / "cache"):
        cache = EmbeddingCache(folder)
        assert cache.get(key, BOXES) == [None] * 3
        cache.put(key, BOXES[:2], features[:2])
        first, second, third = cache.get(key, BOXES)
        assert third is None
        np.testing.assert_array_equal([first, second], features[:2])
        cache.put(key, BOXES[2:], features[2:])
        np.testing.assert_array_equal(cache.get(key, BOXES), features)
    again = EmbeddingCache(tmp_path / "cache")
    np.testing.assert_array_equal(again.get(key, BOXES), features)


def test_a_damaged_entry_of_the_cache_counts_as_absent(tmp_path: Path) -> None:
    key = bag_key("image", augmentation="plain", size=224, checkpoint="c")
    EmbeddingCache(tmp_path).put(key, BOXES, np.ones((3, 2), dtype=np.float32))
    (path,) = tmp_path.rglob("*.safetensors")
    content = path.read_bytes()
    for damaged in (b"", content[:40], b"\xff" * len(content)):
        path.write_bytes(damaged)
        cache = EmbeddingCache(tmp_path)
        assert cache.get(key, BOXES) == [None] * 3
    cache.put(key, BOXES, np.ones((3, 2), dtype=np.float32))
    assert path.read_bytes() == content
    assert len(list(tmp_path.rglob("*"))) == 2  # nothing half-written stays
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="folder"):
        EmbeddingCache(tmp_path / "file")


def test_the_memory_of_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_vision.backbones.cache._MEMORY", 100)
    cache = EmbeddingCache()
    for name in "abc":
        cache.put(name, [(0, 0, 1, 1)], np.zeros((1, 10), dtype=np.float32))
    assert cache.get("a", [(0, 0, 1, 1)]) == [None]
    assert cache.get("c", [(0, 0, 1, 1)])[0] is not None
