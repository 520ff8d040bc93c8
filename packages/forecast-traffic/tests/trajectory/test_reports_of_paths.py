"""Charts, the report, the example configurations and the example itself."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import forecast_core as fc
from forecast_core.errors import InvalidInputError
from forecast_traffic.trajectory import sample_tracks, write_track_report
from forecast_traffic.trajectory.charts import calibration_chart, horizon_chart, paths_chart

EXAMPLES = Path(__file__).parents[4] / "examples"
CONFIGS = sorted((EXAMPLES / "conf" / "model").glob("trajectory-*.yaml"))


def evaluations() -> dict[str, fc.Evaluation]:
    windows = sample_tracks().windows(context_length=8, horizon=12, stride=20)
    models = {n: fc.create_model(f"trajectory/{n}") for n in ("constant-velocity", "kalman")}
    models["kalman"].fit(sample_tracks(1).without_clock())
    return {name: fc.evaluate(model, windows, metrics=["ade", "fde"]) for name, model in models.items()}


def test_a_report_holds_numbers_and_charts_of_every_model(tmp_path: Path) -> None:
    found = evaluations()
    path = write_track_report(found, tmp_path / "r.html", title="T <1>", note="simulated")
    text = path.read_text()
    assert "T &lt;1&gt;" in text
    assert text.count("<svg") == 2 + 2 * 3
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["metrics"]["kalman"]["ade"] == found["kalman"].metrics["ade"]


def test_a_report_is_of_one_set_of_windows(tmp_path: Path) -> None:
    found = evaluations()
    other = fc.evaluate(
        fc.create_model("trajectory/constant-velocity"), sample_tracks(items=3), metrics=["ade", "fde"]
    )
    with pytest.raises(InvalidInputError, match="same windows"):
        write_track_report({**found, "other": other}, tmp_path / "r.html")
    with pytest.raises(InvalidInputError, match=r"\.html"):
        write_track_report(found, tmp_path / "r.pdf")
    with pytest.raises(InvalidInputError, match="at least one"):
        write_track_report({}, tmp_path / "r.html")
    assert not list(tmp_path.iterdir())


def test_charts_show_what_they_are_asked_for() -> None:
    found = evaluations()["constant-velocity"]
    windows, prediction = found.windows, found.prediction
    chart = paths_chart(prediction, windows, 0)  # type: ignore[arg-type]
    assert "what came" in chart
    assert "what came" not in paths_chart(prediction, windows, 0, truth=False)  # type: ignore[arg-type]
    assert windows.item_ids[0] in chart  # type: ignore[attr-defined]
    assert "seconds ahead" in horizon_chart({"cv": found})
    assert "share inside" in calibration_chart({"cv": prediction}, windows)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="row"):
        paths_chart(prediction, windows, len(windows))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_example_configurations_are_of_models_there_are(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    model = fc.create_model(config["model"], **config["params"])
    assert model.config.horizon == 30


def test_every_trajectory_model_has_an_example_configuration() -> None:
    named = {yaml.safe_load(path.read_text())["model"] for path in CONFIGS}
    assert named == {m for m in fc.available_models() if m.startswith("trajectory/")}


@pytest.mark.slow
def test_the_example_runs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["trajectories.py", "--epochs", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(EXAMPLES / "trajectories.py"), run_name="__main__")
    told = json.loads((tmp_path / "report.json").read_text())
    assert set(told["metrics"]) == {
        "constant-velocity",
        "kalman",
        "gaussian-process",
        "interaction-transformer",
    }
    assert all(np.isfinite(m["ade"]) for m in told["metrics"].values())
    assert fc.load_model(tmp_path / "model").is_fitted
