"""Exported folders: what is in them, that they are all or nothing, and what is refused."""

from __future__ import annotations

import ast
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import forecast_core as fc
from forecast_core import registry
from forecast_core.cli.app import run
from forecast_core.errors import (
    ArtifactError,
    ArtifactIntegrityError,
    CapabilityError,
    ConfigError,
    InvalidInputError,
    MissingDependencyError,
    PluginError,
)
from forecast_core.exporting import Graph, GraphInput, GraphOutput, onnx_file, package, requirements, to_onnx
from forecast_core.series.sample import sample_panel
from forecast_core.series.serving import SeriesRequest


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A saved seasonal naive model of six steps."""
    path = tmp_path / "runs" / "naive"
    fc.create_model("series/seasonal-naive", seasonality=24, horizon=6).save(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_folder_holds_what_its_readme_names(artifact: Path, tmp_path: Path) -> None:
    made = fc.export(artifact, tmp_path / "demand")
    folder = made.path
    assert (made.name, made.onnx) == ("demand", False)
    listed = ["MODEL_CARD.md", "README.md", "client.py", "metadata.json", "model", "request.json"]
    assert names(folder) == [*listed, "requirements.txt"]
    assert set(made.files) == {
        each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()
    }
    told = json.loads((folder / "metadata.json").read_text())
    assert told["files"] == {
        file: hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for file in made.files
        if file != "metadata.json"
    }
    readme = (folder / "README.md").read_text()
    assert "forecast serve demand=model" in readme
    assert "There is no ONNX file: series/seasonal-naive has no network" in readme
    assert "| seasonality | 24 |" in (folder / "MODEL_CARD.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", readme):
        assert (folder / target).is_file()
    panel = sample_panel(rows=60)
    assert fc.load_model(folder / "model").predict(panel) == fc.load_model(artifact).predict(panel)
    assert str(tmp_path) not in "".join((folder / file).read_text() for file in made.files if "." in file)


def test_a_predictor_is_exported_like_its_artifact(artifact: Path, tmp_path: Path) -> None:
    made = fc.export(fc.load_model(artifact), tmp_path / "a", name="other")
    assert made.name == "other"
    assert "forecast serve other=model" in (made.path / "README.md").read_text()
    assert "/models/other/predict" in (made.path / "client.py").read_text()


def test_the_card_tells_the_scores_it_is_given(artifact: Path, tmp_path: Path) -> None:
    panel = sample_panel(rows=200)
    model = fc.load_model(artifact)
    result = fc.backtest(
        [model], panel, start=panel.timestamps[150], horizon=6, stride=6, metrics=["mae", "mase"]
    )
    (tmp_path / "metrics.json").write_text(result.to_json())
    for k, scores in enumerate((result, tmp_path / "metrics.json")):
        folder = fc.export(model, tmp_path / f"a{k}", scores=scores).path
        card = (folder / "MODEL_CARD.md").read_text()
        own = result["series/seasonal-naive"].metrics
        assert f"| series/seasonal-naive | {own['mae']:.4g} | {own['mase']:.4g} |" in card
        assert f"On {len(result.windows)} windows of 6 steps from 2024-01-07" in card
        told = json.loads((folder / "metadata.json").read_text())["scores"]
        assert told["scores"][0]["metrics"]["mae"] == own["mae"]
    for text, reason in (
        ("{}", "is a backtest"),
        ("[", "is a backtest"),
        (result.to_json(), "holds those of"),
    ):
        (tmp_path / "metrics.json").write_text(text.replace("series/seasonal-naive", "series/other"))
        with pytest.raises(InvalidInputError, match=reason):
            fc.export(artifact, tmp_path / "b", scores=tmp_path / "metrics.json")
    with pytest.raises(InvalidInputError, match="is a file of scores"):
        fc.export(artifact, tmp_path / "b", scores=tmp_path / "nothing.json")
    assert names(tmp_path) == ["a0", "a1", "metrics.json", "runs"]


def test_a_model_that_cannot_be_served_comes_without_a_server(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = registry.task_spec
    monkeypatch.setattr(registry, "task_spec", lambda name: real(name).model_copy(update={"request": None}))
    folder = fc.export(artifact, tmp_path / "a").path
    assert names(folder) == ["MODEL_CARD.md", "README.md", "metadata.json", "model", "requirements.txt"]
    readme = (folder / "README.md").read_text()
    assert "forecast serve" not in readme
    assert 'load_model("model").predict(data)' in readme


def test_requirements_are_the_exact_versions_installed_here(artifact: Path, tmp_path: Path) -> None:
    folder = fc.export(artifact, tmp_path / "a").path
    lines = (folder / "requirements.txt").read_text().splitlines()[1:]
    pins = dict(re.sub(r"\[.*\]", "", line).split("==") for line in lines)
    assert {"forecast-core", "numpy", "pydantic", "fastapi", "uvicorn", "typer"} <= pins.keys()
    assert "torch" not in pins  # a naive model needs none
    assert all(version(name).partition("+")[0] == text for name, text in pins.items())
    assert any(line.startswith("forecast-core[cli,serve]==") for line in lines)
    assert "://" not in "\n".join(lines)


def test_requirements_reach_the_models_inside_a_model() -> None:
    member = {"id": "timeseries/linear", "params": {}}
    nested = {"model": {"id": "compose/ensemble", "params": {"members": [member]}}}
    packages, ours = requirements.needed("compose/conformal", nested)
    assert ours == ("forecast-core", "forecast-timeseries")
    assert "torch" in packages


def test_what_breaks_a_requirement_here_is_not_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    before, _ = requirements.needed("series/naive", {})
    real = requirements.distribution

    class Demanding:
        version = "0.1.0"
        requires: ClassVar[list[str]] = [*(real("forecast-core").requires or ()), "narwhals>=999", "numpy"]

    monkeypatch.setattr(
        requirements, "distribution", lambda name: Demanding() if name == "forecast-core" else real(name)
    )
    after, _ = requirements.needed("series/naive", {})
    assert before.keys() - after.keys() == {"narwhals"}


def test_code_that_is_no_package_cannot_be_exported(plug_in: Any, tmp_path: Path) -> None:
    class Config(fc.ModelConfig):
        """None."""

    class Last(fc.Predictor[fc.Panel]):
        """Nothing of interest."""

        config_class: ClassVar[type[fc.ModelConfig]] = Config

        def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
            raise NotImplementedError

    spec = fc.ModelSpec(
        id="toy/last",
        task="series",
        entry_point="toy:Last",
        config_entry_point="toy:Config",
        summary="toy",
        capabilities=fc.Capabilities(prediction="point", needs_fit=False),
    )
    plug_in("toy", [spec], Last=Last, Config=Config)
    fc.create_model("toy/last").save(tmp_path / "m")
    with pytest.raises(ArtifactError, match="toy/last was registered by code that is no installed package"):
        fc.export(tmp_path / "m", tmp_path / "a")
    assert names(tmp_path) == ["m"]


def test_the_client_is_short_plain_and_asks_the_served_folder(artifact: Path, tmp_path: Path) -> None:
    folder = fc.export(artifact, tmp_path / "demand").path
    text = (folder / "client.py").read_text()
    assert len(text.splitlines()) <= 30
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    command = "import sys; from forecast_core.cli.app import run; sys.exit(run(sys.argv[1:]))"
    server = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "demand=model", "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        ask = [sys.executable, "client.py", "request.json", address]
        done = subprocess.run(ask, cwd=folder, capture_output=True, text=True, check=True)
        (folder / "wrong.json").write_text("{}")
        wrong = subprocess.run(
            [*ask[:2], "wrong.json", address], cwd=folder, capture_output=True, check=False
        )
    finally:
        server.terminate()
        server.wait(30)
        assert server.stdout is not None
        server.stdout.close()
    model = fc.load_model(artifact)
    body = SeriesRequest.model_validate_json((folder / "request.json").read_text())
    expected: Any = model.predict(body.to_data(model.info))
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["mean"]["target"], expected.mean()[..., 0], rtol=1e-12)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(b"422:")


def test_requests_made_up_for_a_model_fit_it() -> None:
    panel = sample_panel(rows=100, items=3, past_covariates=1, future_covariates=2, static_covariates=1)
    model: Any = fc.create_model("timeseries/gbm", horizon=4, num_trees=3, min_leaf=5, lags=4, seasons=())
    model.fit(panel)
    body = SeriesRequest.example(model.info, rows=30)
    assert body is not None
    data = SeriesRequest.model_validate_json(json.dumps(body)).to_data(model.info)
    assert data.item_ids == ("item-0", "item-1")
    assert (data.known_rows, len(data)) == (30, 34)
    assert data.timestamps[29] == panel.timestamps[-1]
    assert data.values[:30].min() >= panel.values.min()
    assert data.values[:30].max() <= panel.values.max()
    assert len(model.predict(data)) == 2


@pytest.mark.parametrize("freq", ["MS", "5min", "W", "ms"])
def test_times_of_made_up_requests_lie_on_the_grid(freq: str) -> None:
    grid = fc.Freq.parse(freq)
    stamps = grid.range(np.datetime64("2024-01-01T00", "us"), 40)
    panel = fc.Panel(
        values=np.arange(40.0)[:, None, None], timestamps=stamps, item_ids=("a",), freq=grid, tz="Asia/Tokyo"
    )
    model: Any = fc.create_model("timeseries/linear", context_length=4, horizon=2).fit(panel)
    body = SeriesRequest.example(model.info, rows=12)
    data = SeriesRequest.model_validate_json(json.dumps(body)).to_data(model.info)
    assert (data.timestamps == stamps[-12:]).all()
    assert data.tz == "Asia/Tokyo"


def test_a_folder_with_files_is_never_overwritten(artifact: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("keep me")
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "link").symlink_to(mine)
    for target in ("mine", "file", "link"):
        for replace in (False, True):
            with pytest.raises(InvalidInputError, match="path: is a new"):
                fc.export(artifact, tmp_path / target, replace=replace)
    assert (mine / "notes.txt").read_text() == "keep me"
    assert names(tmp_path) == ["file", "link", "mine", "runs"]


def test_only_an_export_is_replaced_and_only_when_asked(artifact: Path, tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.mkdir()
    fc.export(artifact, target, name="first")  # an empty folder is as good as none
    with pytest.raises(InvalidInputError, match="--replace"):
        fc.export(artifact, target)
    (target / "notes.txt").write_text("stays")
    with pytest.raises(InvalidInputError, match=r"holds an export alone.*notes\.txt"):
        fc.export(artifact, target, name="second", replace=True)
    assert json.loads((target / "metadata.json").read_text())["name"] == "first"
    assert (target / "notes.txt").read_text() == "stays"
    (target / "notes.txt").unlink()
    fc.export(artifact, target, name="second", replace=True)
    assert json.loads((target / "metadata.json").read_text())["name"] == "second"
    assert names(tmp_path) == ["a", "runs"]


def test_a_path_may_be_relative_to_an_empty_folder(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert fc.export(artifact.resolve(), ".").name == "here"
    assert "metadata.json" in names(tmp_path / "here")
    with pytest.raises(InvalidInputError, match="path: is a path"):
        fc.export(artifact.resolve(), "a\0b")


def test_folders_made_for_an_export_that_fails_go_again(artifact: Path, tmp_path: Path) -> None:
    (artifact / "weights.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError):
        fc.export(artifact, tmp_path / "new" / "inner" / "a")
    assert names(tmp_path) == ["runs"]


@pytest.mark.parametrize("replace", [False, True])
def test_an_export_that_fails_changes_nothing(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    target = tmp_path / "a"
    if replace:
        fc.export(artifact, target)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}

    def full(*arguments: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(package, "metadata", full)
    with pytest.raises(ArtifactError, match=r"No space left on device; nothing was changed"):
        fc.export(artifact, target, replace=replace)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before
    assert names(tmp_path) == (["a", "runs"] if replace else ["runs"])


def test_a_damaged_or_absent_artifact_is_refused(artifact: Path, tmp_path: Path) -> None:
    weights = artifact / "weights.safetensors"
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(
        ArtifactIntegrityError, match=re.escape(f"{artifact}: weights.safetensors was altered")
    ):
        fc.export(artifact, tmp_path / "a")
    weights.write_bytes(raw)
    (artifact / "extra.py").write_text("print('not ours')")
    with pytest.raises(ArtifactIntegrityError, match="does not belong to it"):
        fc.export(artifact, tmp_path / "a")
    with pytest.raises(ArtifactError, match="not a forecast artifact"):
        fc.export(tmp_path / "nothing", tmp_path / "a")
    assert names(tmp_path) == ["runs"]


def test_a_changed_export_is_refused_where_it_is_served(artifact: Path, tmp_path: Path) -> None:
    folder = fc.export(artifact, tmp_path / "a").path
    manifest = folder / "model" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seasonality": 24', '"seasonality": 12'))
    with pytest.raises(ArtifactIntegrityError):
        fc.load_model(folder / "model")


def test_onnx_is_refused_where_the_model_has_no_network(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="series/seasonal-naive has no network"):
        fc.export(artifact, tmp_path / "a", onnx=True)
    fc.export(artifact, tmp_path / "b", onnx=False)
    assert "it was left out" in (tmp_path / "b" / "README.md").read_text()
    assert names(tmp_path) == ["b", "runs"]


def test_a_missing_extra_is_told_before_anything_is_written(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[onnx\]'"):
        fc.export(artifact, tmp_path / "a", onnx=True)
    monkeypatch.setitem(sys.modules, "packaging", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[export\]'"):
        fc.export(artifact, tmp_path / "a")
    assert names(tmp_path) == ["runs"]


def test_wheels_that_are_needed_are_copied(artifact: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with pytest.raises(InvalidInputError, match=f"none of forecast-core {fc.__version__} in"):
        fc.export(artifact, tmp_path / "a", wheels=wheels)
    wanted = [
        f"forecast_core-{fc.__version__}-py3-none-any.whl",
        f"numpy-{version('numpy')}-py3-none-any.whl",
    ]
    others = ["forecast_core-99.0-py3-none-any.whl", "forecast_vision-0.1.0-py3-none-any.whl", "broken.whl"]
    for name in (*wanted, *others):
        (wheels / name).write_bytes(name.encode())
    folder = fc.export(artifact, tmp_path / "a", wheels=wheels).path
    assert names(folder / "wheels") == wanted
    assert "-r requirements.txt --find-links wheels" in (folder / "README.md").read_text()


def test_a_name_that_cannot_stand_in_an_address_is_refused(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        fc.export(artifact, tmp_path / "my model")
    assert fc.export(artifact, tmp_path / "my model", name="mine").name == "mine"


def test_the_command_exports_folders_and_registered_models(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["export", str(artifact), str(tmp_path / "a"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["name"] == "a"
    assert told["onnx"] is False
    assert "README.md" in told["files"]
    assert run(["export", str(artifact), str(tmp_path / "a")]) == 1
    assert "is a new or empty folder" in capsys.readouterr().err
    assert run(["export", str(artifact), str(tmp_path / "b"), "--onnx"]) == 1
    assert "has no network" in capsys.readouterr().err

    class Registry:
        def __init__(self, uri: str) -> None:
            assert uri == "sqlite:///there.db"

        def get(self, name: str, *, alias: str) -> SimpleNamespace:
            assert (name, alias) == ("demand", "champion")
            return SimpleNamespace(version=3)

        def load(self, name: str, *, version: int, device: str | None) -> Any:
            assert (name, version, device) == ("demand", 3, None)
            return fc.load_model(artifact)

    monkeypatch.setattr("forecast_core.tracking.ModelRegistry", Registry)
    assert run(["export", "demand@champion", str(tmp_path / "c"), "--uri", "sqlite:///there.db"]) == 0
    assert "no ONNX" in capsys.readouterr().out
    assert fc.load_model(tmp_path / "c" / "model").config.seasonality == 24


# graphs


def graph_of(module: Any, **outputs: str) -> Graph:
    """A graph of one input x [n, 3]."""
    example = np.random.default_rng(0).normal(size=(3, 3))
    return Graph(
        module=module.eval(),
        inputs=(GraphInput("x", "numbers", ("window", "row"), example),),
        outputs=(GraphOutput("y", "numbers", ("window", "row")),),
        feed=lambda data: {"x": data},
    )


def test_graphs_that_differ_from_torch_are_never_written() -> None:
    import torch

    class Doubling(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (2.0 * x,)

    class OfThree(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x * torch.ones(3, 1),)  # as many windows as the example has

    class Random(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x + torch.rand_like(x),)

    class Dividing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x / 0.0,)

    x = np.arange(12.0).reshape(4, 3)
    raw = to_onnx(graph_of(Doubling()), owner="toy/a")
    np.testing.assert_array_equal(onnx_file.onnx_session(raw).run(["y"], {"x": x})[0], 2.0 * x)
    assert str(Path(__file__).parent).encode() not in raw  # no paths of this machine
    for module, reason in (
        (OfThree(), "onnxruntime cannot run its graph"),
        (Random(), "differ by"),
        (Dividing(), "infinity"),
    ):
        with pytest.raises(PluginError, match=rf"toy/b: .*{reason}"):
            to_onnx(graph_of(module), owner="toy/b")


def test_a_copy_of_a_folder_is_as_good(artifact: Path, tmp_path: Path) -> None:
    folder = fc.export(artifact, tmp_path / "a").path
    shutil.copytree(folder, tmp_path / "elsewhere")
    shutil.rmtree(folder)
    panel = sample_panel(rows=60)
    copied = fc.load_model(tmp_path / "elsewhere" / "model")
    assert copied.predict(panel) == fc.load_model(artifact).predict(panel)
