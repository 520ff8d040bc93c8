"""A model that was trained on an accelerator computes where it is loaded to."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.artifacts import read_artifact, write_artifact
from forecast_core.cli.app import run
from forecast_core.errors import ArtifactError
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
    with pytest.raises(
        ArtifactError, match=r"is a device of this machine .*'cuda:99'; use 'cpu'; load_model"
    ):
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
    with pytest.raises(ArtifactError, match="'nowhere'"):
        fc.load_model(path, device="nowhere")


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
