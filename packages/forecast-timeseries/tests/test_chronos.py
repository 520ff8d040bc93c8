"""`timeseries/chronos`: tiny random checkpoints of each family, made on disk and loaded without a network."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import forecast_core as fc
from forecast_core.errors import ArtifactError, ArtifactIntegrityError, ConfigError, InvalidInputError
from forecast_core.series.sample import sample_panel

pytest.importorskip("chronos")
from chronos import BaseChronosPipeline
from chronos.chronos2 import Chronos2Model
from chronos.chronos2.config import Chronos2CoreConfig
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration
from transformers.utils import logging as transformers_logging

FAMILIES = ("t5", "bolt", "two")
DECILES = [k / 10 for k in range(1, 10)]
SIZES: dict[str, Any] = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 1,
    "num_heads": 2,
    "dropout_rate": 0.0,
}
SPECIAL: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1}


def of_t5(*, top_k: int = 50) -> Any:
    config = T5Config(vocab_size=64, decoder_start_token_id=0, **SIZES, **SPECIAL)
    config.chronos_config = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "context_length": 48,
        "prediction_length": 24,
        "n_tokens": 64,
        "n_special_tokens": 2,
        "use_eos_token": True,
        "model_type": "seq2seq",
        "num_samples": 8,
        "temperature": 1.0,
        "top_k": top_k,
        "top_p": 1.0,
        **SPECIAL,
    }
    return T5ForConditionalGeneration(config)


def in_order(network: Any, *, steps: int) -> Any:
    """The network with quantiles that hardly cross, as those of trained ones: apart by its biases."""
    head = network.output_patch_embedding
    with torch.no_grad():
        head.output_layer.weight.mul_(0.001)
        head.residual_layer.weight.mul_(0.001)
        head.output_layer.bias.copy_(torch.linspace(-1.0, 1.0, len(DECILES)).repeat_interleave(steps))
    return network


def of_bolt() -> Any:
    config = T5Config(vocab_size=2, decoder_start_token_id=0, **SIZES, **SPECIAL)
    config.chronos_pipeline_class = "ChronosBoltPipeline"
    config.architectures = ["ChronosBoltModelForForecasting"]
    config.chronos_config = {
        "context_length": 48,
        "prediction_length": 24,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": DECILES,
        "use_reg_token": True,
    }
    return in_order(ChronosBoltModelForForecasting(config), steps=24)


def of_two() -> Any:
    config = Chronos2CoreConfig(**SIZES)
    config.chronos_pipeline_class = "Chronos2Pipeline"
    config.chronos_config = {
        "context_length": 48,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "output_patch_size": 8,
        "max_output_patches": 3,
        "quantiles": DECILES,
        "use_reg_token": True,
        "use_arcsinh": True,
    }
    return in_order(Chronos2Model(config), steps=8)


MAKERS: dict[str, Callable[[], Any]] = {"t5": of_t5, "bolt": of_bolt, "two": of_two}


def write(network: Any, folder: Path) -> str:
    transformers_logging.disable_progress_bar()
    network.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A folder of each family."""
    root = tmp_path_factory.mktemp("checkpoints")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield {name: write(make(), root / name) for name, make in MAKERS.items()}


def model(checkpoint: str, **options: Any) -> Any:
    return fc.create_model("timeseries/chronos", **{"checkpoint": checkpoint, "horizon": 12, **options})


def library(checkpoint: str) -> Any:
    return BaseChronosPipeline.from_pretrained(checkpoint, dtype="float32", local_files_only=True)


def tensor_of(panel: fc.Panel) -> torch.Tensor:
    return torch.tensor(panel.values[:, :, 0].T, dtype=torch.float32)  # [item, time]


@pytest.mark.parametrize("family", ["bolt", "two"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_it_says_what_the_library_says(checkpoints: dict[str, str], family: str, missing: float) -> None:
    panel = sample_panel(rows=70, missing=missing)
    levels = (0.1, 0.25, 0.5, 0.86)
    inputs = tensor_of(panel)[:, -48:].contiguous()
    theirs, _ = library(checkpoints[family]).predict_quantiles(
        inputs[:, None] if family == "two" else inputs, prediction_length=12, quantile_levels=list(levels)
    )
    expected = torch.cat(list(theirs)) if family == "two" else theirs  # [item, step, level]
    p = model(checkpoints[family], quantile_levels=levels).predict(panel)
    np.testing.assert_allclose(p.values[:, :, 0], expected.numpy(), rtol=1e-4, atol=1e-4)
    own = model(checkpoints[family]).predict(panel)
    np.testing.assert_allclose(own.levels, DECILES)


def test_a_t5_without_chance_says_what_the_library_says(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        checkpoint = write(of_t5(top_k=1), tmp_path / "greedy")
    panel = sample_panel(rows=60, missing=0.1)
    pipeline = library(checkpoint)
    for steps in (10, 30):  # the second reads its own medians
        theirs = pipeline.predict(
            tensor_of(panel)[:, -48:].contiguous(), prediction_length=steps, num_samples=3
        )
        p = model(checkpoint, num_samples=3).predict(panel, horizon=steps)
        np.testing.assert_allclose(p.median()[..., 0], theirs[:, 0].numpy(), rtol=1e-5)


def test_paths_of_a_t5_are_distributed_as_those_of_the_library(checkpoints: dict[str, str]) -> None:
    panel = sample_panel(rows=60, items=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        theirs = library(checkpoints["t5"]).predict(
            tensor_of(panel)[:, -48:].contiguous(), prediction_length=4, num_samples=1500
        )
    p = model(checkpoints["t5"], num_samples=1500).predict(panel, horizon=4)
    expected = np.quantile(theirs.numpy(), DECILES, axis=1).transpose(1, 2, 0)
    spread = theirs.numpy().std(axis=1)[..., None]
    assert (np.abs(p.values[:, :, 0] - expected) < 0.25 * spread).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_forecasts_are_the_same_each_time_and_in_any_batch(checkpoints: dict[str, str], family: str) -> None:
    panel = sample_panel(rows=80, items=3, missing=0.1)
    windows = panel.windows(horizon=6, origins=panel.timestamps[[20, 45, 46, 70]])
    first = model(checkpoints[family], batch_size=64).predict_windows(windows)
    state = torch.random.get_rng_state()
    for size in (64, 5):
        again = model(checkpoints[family], batch_size=size).predict_windows(windows)
        np.testing.assert_allclose(again.values, first.values, rtol=1e-4, atol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_seed_decides_the_paths(checkpoints: dict[str, str]) -> None:
    panel = sample_panel(rows=60)
    one, other = (model(checkpoints["t5"], seed=seed).predict(panel) for seed in (0, 1))
    assert not np.array_equal(one.values, other.values)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_context_is_read(checkpoints: dict[str, str], family: str) -> None:
    panel = sample_panel(rows=80)
    values = panel.values.copy()
    values[:-24] = 1e3
    chosen = model(checkpoints[family], context_length=24)
    assert chosen.predict(panel) == chosen.predict(replace(panel, values=values))


def test_every_target_is_a_series_and_an_unseen_one_is_the_naive_baselines(
    checkpoints: dict[str, str],
) -> None:
    panel = sample_panel(rows=60, items=3)
    values = np.concatenate([panel.values, 2.0 * panel.values[:, ::-1]], axis=2)
    values[:, 1, 1] = np.nan
    both = replace(panel, values=values, target_names=("a", "b"))
    chosen = model(checkpoints["bolt"])
    p = chosen.predict(both)
    np.testing.assert_allclose(p.values[:, :, 0], chosen.predict(panel).values[:, :, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(p.values[0, :, 1], 2.0 * p.values[2, :, 0], rtol=1e-3, atol=1e-3)
    naive = fc.create_model("series/naive", horizon=12).predict(both).quantile(p.levels)
    np.testing.assert_array_equal(p.values[1, :, 1], naive[1, :, 1])


def test_more_steps_than_a_checkpoint_was_trained_for_come_with_its_warning(
    checkpoints: dict[str, str],
) -> None:
    with pytest.warns(UserWarning, match="<= 24"):
        p = model(checkpoints["bolt"]).predict(sample_panel(rows=60), horizon=30)
    assert p.shape == (3, 30, 1)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_artifact_holds_no_weights_and_refuses_others(
    checkpoints: dict[str, str], family: str, tmp_path: Path
) -> None:
    panel, folder = sample_panel(rows=60), tmp_path / "checkpoint"
    folder.mkdir()
    for file in Path(checkpoints[family]).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    chosen = model(str(folder))
    said = chosen.predict(panel)
    chosen.save(tmp_path / "model")
    stored = load_file(tmp_path / "model" / "weights.safetensors")
    assert not stored
    loaded = fc.load_model(tmp_path / "model")
    assert loaded.predict(panel) == said
    later = fc.load_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] + 1e-3}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArtifactIntegrityError, match=r"model\.safetensors differs"):
        fc.load_model(tmp_path / "model")
    with pytest.raises(ArtifactIntegrityError, match=r"model\.safetensors differs"):
        later.predict(panel)  # verified again when the weights are read
    (folder / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match="safetensors"):
        fc.load_model(tmp_path / "model")


def test_pickled_weights_and_what_is_no_checkpoint_are_refused(
    checkpoints: dict[str, str], tmp_path: Path
) -> None:
    panel = sample_panel(rows=60)
    config = (Path(checkpoints["bolt"]) / "config.json").read_text()

    def refused(match: str, files: dict[str, str]) -> None:
        folder = tmp_path / f"case-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        with pytest.raises(ConfigError, match=match):
            model(str(folder)).predict(panel)

    refused(r"holds config\.json", {})
    pickled = {"config.json": config, "pytorch_model.bin": ""}
    refused(r"pickled ones are never loaded, got pytorch_model\.bin", pickled)
    index = json.dumps({"weight_map": {"shared.weight": "pytorch_model.bin"}})
    refused(
        "pickled ones are never loaded",
        {**pickled, "model.safetensors.index.json": index},
    )
    named = json.dumps({**json.loads(config), "transformers_weights": "pytorch_model.bin"})
    refused("pickled ones are never loaded", {"config.json": named, "model.safetensors": ""})
    refused("not an adapter", {"config.json": config, "adapter_config.json": "{}"})
    refused("can load", {"config.json": "{}", "model.safetensors": ""})
    refused("can load", {"config.json": config, "model.safetensors": "damaged"})


def test_missing_weights_are_refused_rather_than_drawn(checkpoints: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    source = Path(checkpoints["two"])
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    weights = load_file(source / "model.safetensors")
    name = next(name for name in sorted(weights) if "input_patch_embedding" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=f"the files hold no {name}"):
        model(str(folder)).predict(sample_panel(rows=60))


def test_what_cannot_be_had_is_named(
    checkpoints: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = sample_panel(rows=60)
    with pytest.raises(ConfigError, match="checkpoint"):
        fc.create_model("timeseries/chronos")
    for wrong in (str(tmp_path / "nowhere"), "./nowhere", "s3://bucket/model"):
        with pytest.raises(ConfigError, match="is a folder, or an id of the hub"):
            model(wrong).predict(panel)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"a model of the hub that can be fetched, got 'nobody/nothing'"):
        model("nobody/nothing").predict(panel)
    with pytest.raises(ConfigError, match="context_length: is at most 48"):
        model(checkpoints["t5"], context_length=49).predict(panel)
    with pytest.raises(ConfigError, match=r"within 0\.1\.\.0\.9"):
        model(checkpoints["bolt"], quantile_levels=(0.05, 0.5)).predict(panel)
    with pytest.raises(InvalidInputError, match="checkpoint"):
        fc.check_predictor("timeseries/chronos")


@pytest.mark.parametrize(
    "family", ["two", *(pytest.param(name, marks=pytest.mark.slow) for name in ("t5", "bolt"))]
)
def test_conformance(checkpoints: dict[str, str], family: str) -> None:
    options = {"checkpoint": checkpoints[family], "horizon": 6, "context_length": 24, "num_samples": 5}
    report = fc.check_predictor("timeseries/chronos", configs=[options])
    assert report.ok, report.summary()
    assert report.run >= 30
