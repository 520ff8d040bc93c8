"""KServe's own client and types against our server; `make interop` sets up the environment they run in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.series.sample import sample_panel

ROOT = Path(__file__).parents[1]
KSERVE = ROOT / ".venv-interop" / "bin" / "python"
pytestmark = pytest.mark.interop

HORIZON, LEVELS = 5, [0.1, 0.5, 0.9]
FREQUENCIES = [
    *("second", "S", "minute", "T", "hour", "H", "day", "D"),
    *("week", "W", "month", "M", "quarter", "Q", "year", "Y"),
]
STEPS = {"S": "s", "T": "min", "H": "h", "D": "D", "W": "W", "M": "MS", "Q": "QS", "Y": "YS"}


@pytest.fixture(scope="module")
def model() -> fc.Predictor[fc.Panel]:
    return fc.create_model("series/seasonal-naive", seasonality=6, horizon=HORIZON)


@pytest.fixture(scope="module")
def server(model: fc.Predictor[fc.Panel], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a `forecast serve` of a naive model called "daily"."""
    artifact = tmp_path_factory.mktemp("served") / "daily"
    model.save(artifact)
    command = "import sys; from forecast_core.cli.app import run; sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "serve", str(artifact), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    yield found[0]
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def panel() -> fc.Panel:
    return sample_panel(rows=48, items=2)


@pytest.fixture(scope="module")
def answers(server: str, panel: fc.Panel) -> dict[str, Any]:
    """What KServe's client and types make of the server's answers."""
    assert KSERVE.is_file(), "make interop sets it up"
    question = {
        "values": panel.values[..., 0].T.tolist(),
        "timestamps": [f"{stamp}Z" for stamp in np.datetime_as_string(panel.timestamps, unit="s").tolist()],
        "item_ids": list(panel.item_ids),
        "start": "2024-01-01T00:00:00Z",
        "frequencies": FREQUENCIES,
        "horizon": HORIZON,
        "levels": LEVELS,
    }
    done = subprocess.run(
        [str(KSERVE), str(ROOT / "tests" / "interop" / "ask_with_kserve.py"), server, "daily"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_open_inference_client_round_trips(
    answers: dict[str, Any], model: fc.Predictor[fc.Panel], panel: fc.Panel
) -> None:
    told = answers["infer"]
    assert told["ready"] == [True, True, True]
    assert (told["id"], told["model"]) == ("ours", "daily")
    expected: Any = model.predict(panel)
    outputs = told["outputs"]
    np.testing.assert_array_equal(outputs["mean"]["data"], expected.mean())
    np.testing.assert_array_equal(outputs["quantiles"]["data"], expected.quantile(LEVELS))
    assert outputs["quantiles"]["shape"] == [2, HORIZON, 1, 3]
    assert outputs["item_ids"]["data"] == list(panel.item_ids)
    assert len(outputs["timestamps"]["data"]) == HORIZON
    assert "422" in told["refused"]


def test_kserve_accepts_every_forecast_and_knows_all_its_fields(
    answers: dict[str, Any], model: fc.Predictor[fc.Panel], panel: fc.Panel
) -> None:
    told = answers["forecast"]["answers"]
    assert len(told) == 2 * len(FREQUENCIES)
    expected: Any = model.predict(panel)
    mean, quantiles = expected.mean()[..., 0], expected.quantile(LEVELS)[:, :, 0]
    for k, answer in enumerate(told):
        wide, frequency = bool(k % 2), FREQUENCIES[k // 2]
        assert answer["unknown"] == []
        assert (answer["status"], answer["error"], answer["model"]) == ("completed", None, "daily")
        assert [output["status"] for output in answer["outputs"]] == ["completed", "completed"]
        for item, output in enumerate(answer["outputs"]):
            (content,) = output["content"]
            assert (content["name"], content["frequency"]) == (panel.item_ids[item], frequency)
            wanted = np.stack([mean[item], 2 * mean[item]], -1) if wide else mean[item]
            np.testing.assert_allclose(content["mean_forecast"], wanted, rtol=1e-12)
            assert list(content["quantiles"]) == ["0.1", "0.5", "0.9"]
            middle = np.array(content["quantiles"]["0.5"])
            np.testing.assert_allclose(middle[..., 0] if wide else middle, quantiles[item, :, 1], rtol=1e-9)
            step = STEPS.get(frequency) or STEPS[frequency[0].upper().replace("M", "T")]
            if frequency in ("month", "M"):
                step = "MS"
            grid = fc.Freq.parse(step)
            first = grid.shift(np.array("2024-01-01", dtype="datetime64[us]"), 48)
            assert np.datetime64(content["start_timestamp"].removesuffix("Z")) == first


def test_kserve_reads_our_errors(answers: dict[str, Any]) -> None:
    errors = answers["forecast"]["errors"]
    assert [each["status"] for each in errors] == [422, 404]
    assert all(each["error"]["message"] and each["error"]["type"] for each in errors)
    assert [each["unknown"] for each in errors] == [[], []]
    assert answers["forecast"]["models"] == ["daily"]
