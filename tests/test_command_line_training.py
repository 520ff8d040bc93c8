"""`forecast train` on a table: everything of a run in one folder, and a run that can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import forecast_core as fc
from forecast_core.cli.app import run
from forecast_core.config import RunConfig
from forecast_core.series.sample import sample_panel

OPTIONS = {
    "context-length": "24", "horizon": "6", "hidden-size": "8", "num-layers": "1", "max-epochs": "2",
    "windows-per-epoch": "64", "batch-size": "32", "calendar": "hour_sin,hour_cos", "lags": "24,",
}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    sample_panel(rows=400).to_frame(backend="pandas").to_csv(path, index=False)
    return path


def train(table: Path, runs: Path, *extra: str) -> int:
    flags = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    return run(
        [
            "train",
            "timeseries/lstm",
            "--data",
            str(table),
            "--item-id",
            "item_id",
            "--runs",
            str(runs),
            *flags,
            *extra,
        ]
    )


def test_a_run_leaves_its_configuration_history_metrics_and_model(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(table, tmp_path / "runs", "--json", "--seed", "3") == 0
    printed = json.loads(capsys.readouterr().out)
    folder = Path(printed["run"])
    config = RunConfig(**json.loads((folder / "run.json").read_text()))
    assert config.seed == 3
    assert config.params["lags"] == [24]
    assert len((folder / "history.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "metrics.json").read_text()) == printed
    model = fc.load_model(folder / "model")
    assert model.info.seed == 3
    assert {s["label"] for s in printed["scores"]} == {"timeseries/lstm", "series/seasonal-naive"}

    # the same configuration gives the same numbers, and evaluate finds the rows after those seen
    assert (
        run(["train", "--config", str(folder / "run.json"), "--runs", str(tmp_path / "again"), "--json"]) == 0
    )
    again = json.loads(capsys.readouterr().out)
    assert [s["metrics"] for s in again["scores"]] == [s["metrics"] for s in printed["scores"]]
    assert (
        run(["evaluate", str(folder / "model"), "--data", str(table), "--item-id", "item_id", "--json"]) == 0
    )
    scored = json.loads(capsys.readouterr().out)
    assert scored["start"] == printed["start"]
    assert (
        run(["predict", str(folder / "model"), "--data", str(table), "--item-id", "item_id", "--json"]) == 0
    )


def test_a_wrong_option_leaves_no_folder_behind(table: Path, tmp_path: Path) -> None:
    assert train(table, tmp_path / "runs", "--dropout", "2") == 2
    assert train(table, tmp_path / "runs", "--learningrate", "2") == 2
    assert train(table, tmp_path / "runs", "--metrics", "maee") == 2
    assert train(table, tmp_path / "runs", "--ratios", "0.8,0.2") == 2
    assert not (tmp_path / "runs").exists()
    assert train(table, tmp_path / "runs", "--device", "nowhere") == 2


def test_rows_a_model_has_seen_cannot_test_it(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(table, tmp_path / "runs", "--json") == 0
    folder = json.loads(capsys.readouterr().out)["model"]
    assert (
        run(["evaluate", folder, "--data", str(table), "--item-id", "item_id", "--start", "2024-01-05"]) == 1
    )
    assert "has seen data until" in capsys.readouterr().err
