"""An exported folder in environments of its own: nothing is done but what its README says."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.series.sample import sample_panel
from forecast_core.series.serving import SeriesRequest

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.fresh]

SMALL = {"context_length": 24, "horizon": 6, "lags": (24,), "hidden_size": 8, "max_epochs": 2}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of core and this package."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT / "packages" / name) for name in ("forecast-core", "forecast-timeseries")]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), *sources]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    return folder


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Variables without this environment's Python; `python3` is the interpreter below it."""
    programs = tmp_path_factory.mktemp("programs")
    (programs / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
    ours = ("PYTHON", "PYTEST", "FORECAST_", "COV", "VIRTUAL_ENV")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**plain, "PATH": f"{programs}{os.pathsep}{plain['PATH']}", "OMP_NUM_THREADS": "1"}


def commands(folder: Path) -> dict[str, str]:
    """The commands of each section of a folder's README."""
    found = re.findall(r"## ([^\n]+)\n(.*?)```sh\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return {title: block for title, _, block in found}


def run(script: str, folder: Path, surroundings: Mapping[str, str]) -> str:
    """What a block of commands prints."""
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def serving(script: str, folder: Path, surroundings: Mapping[str, str]) -> Iterator[None]:
    """A server that a block of commands starts, once it listens."""
    server = subprocess.Popen(
        ["sh", "-e", "-c", f"exec {script}"], cwd=folder, env=surroundings, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving demand on ")
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0


def test_an_exported_folder_works_by_its_own_readme(
    wheels: Path, surroundings: Mapping[str, str], tmp_path: Path
) -> None:
    panel = sample_panel(rows=300, items=2, past_covariates=1, future_covariates=1)
    model: Any = fc.create_model("timeseries/lstm", **SMALL).fit(panel, seed=0)
    folder = fc.export(model, tmp_path / "demand", wheels=wheels).path
    steps = commands(folder)
    assert list(steps) == ["Install", "Serve", "Ask", "Without this SDK"]

    run(steps["Install"], folder, surroundings)
    location = "import forecast_core, sys; print(forecast_core.__file__, sys.prefix)"
    where, prefix = run(f".venv/bin/python -c '{location}'", folder, surroundings).split()
    assert prefix == str(folder / ".venv")
    assert where.startswith(prefix)  # and not the working copy

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with serving(steps["Serve"].replace("8080", port), folder, surroundings):
        answer = json.loads(run(steps["Ask"].replace("8080", port), folder, surroundings))
    body = SeriesRequest.model_validate_json((folder / "request.json").read_text())
    expected = model.predict(body.to_data(model.info))
    levels = {level: np.array(columns["target"]) for level, columns in answer["quantiles"].items()}
    assert list(levels) == ["0.1", "0.5", "0.9"]
    wanted = expected.quantile((0.1, 0.5, 0.9))[:, :, 0]  # [item, step, level]
    np.testing.assert_allclose(np.stack(list(levels.values()), -1), wanted, rtol=1e-6)
    np.testing.assert_allclose(answer["mean"]["target"], expected.mean()[..., 0], rtol=1e-6)

    told = run(steps["Without this SDK"], folder, surroundings)
    name, *_, apart, _, largest = told.splitlines()[-1].split()
    assert name == "quantiles"
    assert float(apart) <= 1e-5 * float(largest)
    modules = "import importlib.util as u; print([m for m in ('torch', 'forecast_core') if u.find_spec(m)])"
    assert run(f'.venv-onnx/bin/python -c "{modules}"', folder, surroundings).strip() == "[]"
