"""A model that was trained on an accelerator computes where it is loaded to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.artifacts import read_artifact, write_artifact
from forecast_core.cli.app import run
from forecast_core.cli.sources import named_model
from forecast_core.errors import ArtifactError, DeviceError, InvalidInputError
from forecast_core.prediction import Prediction
from forecast_core.series.sample import sample_panel
from forecast_core.serving.sources import source_of
from forecast_timeseries import RealTimePredictor

HORIZON = 6
SMALL = {
    "context_length": 24,
    "horizon": HORIZON,
    "patch_length": 8,
    "model_size": 8,
    "num_heads": 2,
    "num_layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
}


def trained_elsewhere(path: Path) -> Prediction:
    """An ensemble at `path` as a machine with a hundred accelerators saves it; what it predicted there."""
    panel = sample_panel(rows=100)
    members = [fc.create_model("timeseries/patch-transformer", **SMALL), fc.create_model("series/naive")]
    model = fc.create_ensemble(members).fit(panel)
    model.save(path)
    manifest, state = read_artifact(path)
    config = copy.deepcopy(manifest.config)
    config["members"][0]["params"]["device"] = "cuda:99"
    told = manifest.model_dump(include={"spec_id", "spec_version", "info", "data"})
    write_artifact(path, state, config=config, **told)
    return model.predict(panel, horizon=HORIZON)


def test_a_model_of_a_device_that_is_not_here_is_refused_by_name(tmp_path: Path) -> None:
    trained_elsewhere(tmp_path / "m")
    with pytest.raises(ArtifactError, match=r"was trained on 'cuda:99', which is not here .*--device cpu"):
        fc.export(tmp_path / "m", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_saved_model_computes_where_it_is_told_to(tmp_path: Path) -> None:
    path, panel = tmp_path / "m", sample_panel(rows=100)
    expected = trained_elsewhere(path)
    loaded = fc.load_model(path, device="cpu")
    assert loaded.config.members[0].params["device"] == "cpu"
    assert "device" not in loaded.config.members[1].params
    assert loaded.info == fc.load_model(path, device="cpu:0").info
    exported = fc.export(path, tmp_path / "moved", device="cpu").path / "model"
    source = source_of(f"m={path}", device="cpu")[1]
    realtime = RealTimePredictor(path, device="cpu").predict(panel)
    for each in (loaded, fc.load_model(exported), source.load()[1]):
        np.testing.assert_array_equal(each.predict(panel, horizon=HORIZON).mean(), expected.mean())
    np.testing.assert_array_equal(realtime.mean(), expected.mean())
    with pytest.raises(DeviceError, match=r"device: .*'nowhere'"):
        fc.load_model(path, device="nowhere")
    with pytest.raises(InvalidInputError, match="device: is given for a saved model"):
        RealTimePredictor(loaded, device="cpu")


def test_only_what_moves_is_written_anew(tmp_path: Path) -> None:
    trained_elsewhere(tmp_path / "m")
    here = fc.export(tmp_path / "m", tmp_path / "a", device="cpu").path / "model"
    again = fc.export(here, tmp_path / "b", device="cpu").path / "model"
    assert (again / "manifest.json").read_bytes() == (here / "manifest.json").read_bytes()


def test_models_within_models_are_moved_too() -> None:
    inner = {"id": "compose/conformal", "params": {"model": {"id": "timeseries/lstm"}}}
    config: Any = fc.create_model("compose/ensemble", members=[inner, {"id": "series/naive"}]).config
    moved = config.on_device("cuda:1")
    assert moved.members[0].config.model.config.device == "cuda:1"
    assert moved.members[1] == config.members[1]
    assert moved.on_device("cpu").members[0].config.model.config == config.members[0].config.model.config
    assert config.on_device("cpu") == config


def test_a_model_is_registered_wherever_it_was_trained(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from forecast_core.tracking import ModelRegistry
    from forecast_core.tracking.pyfunc import _load_pyfunc

    expected = trained_elsewhere(tmp_path / "m")
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    version = registry.register(tmp_path / "m", "demand").version
    with pytest.raises(ArtifactError, match="was trained on 'cuda:99'"):
        registry.load("demand", version=version)
    loaded = registry.load("demand", version=version, device="cpu")
    data = sample_panel(rows=100)
    np.testing.assert_array_equal(loaded.predict(data, horizon=HORIZON).mean(), expected.mean())
    assert _load_pyfunc(str(tmp_path / "m"), {"device": "cpu"}).model.config == loaded.config


@pytest.mark.parametrize("command", ["predict", "evaluate", "compare"])
def test_commands_say_where_a_saved_model_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    trained_elsewhere(tmp_path / "m")
    sample_panel(rows=160).to_frame(backend="pandas").to_csv(tmp_path / "data.csv", index=False)
    data = ["--data", str(tmp_path / "data.csv"), "--item-id", "item_id"]
    assert run([command, str(tmp_path / "m"), *data]) == 1
    assert "cuda:99" in capsys.readouterr().err
    assert run([command, str(tmp_path / "m"), *data, "--device", "cpu"]) == 0
    assert run([command, str(tmp_path / "m"), *data, "--device", "nowhere"]) == 2


def test_models_that_are_compared_unfitted_are_put_there_too() -> None:
    def config(text: str) -> Any:
        return named_model(text, device="cuda:1").config

    assert config("timeseries/lstm:horizon=3").device == "cuda:1"
    assert config("timeseries/lstm:device=cpu").device == "cpu"
    assert "device" not in config("series/naive").model_dump()
