"""The example plugin in an environment of its own: core and plugin from wheels, nothing else of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.fresh

Python = Callable[..., str]

BROKEN = """
raise RuntimeError("this plugin is broken on purpose")
"""

MODELS = ("hello/mean", "hello/sky-frequency", "hello/sky-markov")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with forecast-core, forecast-hello, pytest and a broken plugin."""
    home = tmp_path_factory.mktemp("fresh")
    wheels = home / "wheels"
    sources = [str(ROOT / "packages" / "forecast-core"), str(ROOT / "examples" / "forecast-hello")]
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), *sources]
    run([sys.executable, "-m", "pip", *build])
    run([sys.executable, "-m", "venv", str(home / "venv")])
    python = home / "venv" / "bin" / "python"
    install = ["install", "--quiet", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    run([str(python), "-m", "pip", *install, *map(str, sorted(wheels.glob("*.whl"))), "pytest"])
    site = Path(run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    (site / "broken_plugin.py").write_text(BROKEN)
    info = site / "forecast_broken-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forecast-broken\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[forecast.plugins]\nbroken = broken_plugin\n")
    return python


def run(command: list[str], *, cwd: Path | None = None, **variables: str) -> str:
    """What a command prints, run without this process's Python, pytest and plugin variables."""
    ours = ("PYTHON", "PYTEST", "FORECAST_", "COV")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env={**clean, **variables}
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def python(environment: Path, tmp_path: Path) -> Python:
    """Runs code in the new environment, away from the repository, and gives what it prints."""

    def call(*arguments: str, **variables: str) -> str:
        return run([str(environment), *arguments], cwd=tmp_path, **variables)

    return call


def test_the_plugin_is_found_and_a_broken_one_beside_it_hurts_nobody(python: Python) -> None:
    code = (
        "import json, warnings; import forecast_core as fc; from forecast_core import plugins\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    models = fc.available_models()\n"
        "found = {p.name: p.distribution for p in plugins.plugins()}\n"
        "print(json.dumps([models, found, [str(w.message) for w in caught], fc.available_tasks(),\n"
        "                  fc.available_datasets(), 'surprise' in fc.available_metrics()]))"
    )
    models, found, warned, tasks, datasets, has_metric = json.loads(python("-c", code))
    own = ["compose/conformal", "compose/ensemble", "series/naive", "series/seasonal-naive"]
    assert models == sorted([*MODELS, *own])
    assert found == {"hello": "forecast-hello", "compose": "forecast-core", "series": "forecast-core"}
    assert len(warned) == 1
    assert "plugin 'broken' (forecast-broken) failed at import: RuntimeError" in warned[0]
    assert tasks == ["series", "sky"]
    assert datasets == ["hello/sky"]
    assert has_metric


def test_a_broken_plugin_can_be_left_out_or_made_an_error(python: Python) -> None:
    listing = "import forecast_core as fc; print(fc.available_models())"
    assert "hello/mean" in python("-W", "error", "-c", listing, FORECAST_PLUGINS="hello")
    strict = (
        "import forecast_core as fc\n"
        "try: fc.available_models()\n"
        "except fc.ForecastError as error: print(error)"
    )
    assert "plugin 'broken' (forecast-broken) failed" in python("-c", strict, FORECAST_STRICT_PLUGINS="1")


def test_its_own_task_is_evaluated_saved_and_loaded(python: Python) -> None:
    code = (
        "import json; import forecast_core as fc\n"
        "log = fc.load_dataset('hello/sky')\n"
        "train, test = log.between(None, '2024-10-01'), log.between('2024-10-01', None)\n"
        "model = fc.create_model('hello/sky-markov', smoothing=2.0).fit(train)\n"
        "model.save('m')\n"
        "loaded = fc.load_model('m')\n"
        "assert loaded.predict(test) == model.predict(test)\n"
        "result = fc.evaluate(loaded, test)\n"
        "table = fc.backtest([loaded], log, start='2024-10-01')\n"
        "print(json.dumps([dict(result.metrics), dict(result.skill), [s.model for s in table.scores]]))"
    )
    metrics, skill, ranked = json.loads(python("-c", code, FORECAST_PLUGINS="hello"))
    assert list(metrics) == ["surprise", "accuracy", "brier"]
    assert 0 < metrics["surprise"] < 1.585  # bits; log2(3) knows nothing
    assert skill["surprise"] > 0
    assert ranked == ["hello/sky-markov", "hello/sky-frequency"]


def test_its_models_pass_the_conformance_checks_through_every_door(python: Python) -> None:
    code = (
        "import json; import forecast_core as fc\n"
        f"reports = [fc.check_predictor(m) for m in {MODELS!r}]\n"
        "print(json.dumps([[r.model, r.run, r.summary(), r.ok] for r in reports]))"
    )
    for model, count, summary, ok in json.loads(python("-c", code, FORECAST_PLUGINS="hello")):
        assert ok, summary
        assert count > 20, model
    options = [word for model in MODELS for word in ("--forecast-model", model)]
    told = python("-m", "pytest", "-q", *options, FORECAST_PLUGINS="hello")
    assert " failed" not in told
    tests = str(ROOT / "examples" / "forecast-hello" / "tests")
    told = python("-m", "pytest", "-q", "-p", "no:cacheprovider", tests, FORECAST_PLUGINS="hello")
    assert " passed" in told


def test_nothing_there_needs_torch(python: Python) -> None:
    heavy = ("torch", "pandas", "scipy")
    code = f"from importlib.util import find_spec; print([m for m in {heavy} if find_spec(m)])"
    assert python("-c", code).strip() == "[]"
