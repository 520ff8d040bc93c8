"""The model registry: versions and aliases, equal predictions, no pickle, and MLflow's own scoring."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import typer
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel

import forecast_core as fc
from forecast_core import plugins
from forecast_core.artifacts import State
from forecast_core.cli import tracking as commands
from forecast_core.errors import (
    ArtifactError,
    ArtifactIntegrityError,
    CapabilityError,
    DataError,
    ForecastError,
    InvalidInputError,
    MissingDependencyError,
    NotFittedError,
    UnknownIdError,
)
from forecast_core.series.sample import sample_panel
from forecast_core.tracking import MLflowTracker, ModelRegistry, RegistryError
from forecast_core.tracking.catalogue import assign
from forecast_core.tracking.connection import Connection
from forecast_core.tracking.packing import staged
from forecast_core.tracking.pyfunc import TablePredictor

PANEL = sample_panel(rows=60)


@pytest.fixture(autouse=True)
def _no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('registry') / 'mlflow.db'}"


@pytest.fixture
def registry(uri: str) -> ModelRegistry:
    return ModelRegistry(uri)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return "m-" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


def fitted(**params: Any) -> fc.Predictor[Any]:
    options = {"horizon": 6, "seasonality": 12, **params}
    return fc.create_model("series/seasonal-naive", **options).fit(PANEL, seed=3)


# versions and aliases


class Model:
    """What promotions ought to lead to: the newest holder of each alias, and all who were demoted."""

    def __init__(self, versions: int) -> None:
        self.held: dict[int, set[str]] = {version: set() for version in range(1, versions + 1)}

    def promote(self, version: int, alias: str) -> None:
        for other, aliases in self.held.items():
            if alias in aliases and other != version and alias != "archived":
                aliases.discard(alias)
                if alias == "champion":
                    aliases.add("archived")
        self.held[version] = {alias}


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moves=st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from(["candidate", "champion", "archived"])), max_size=6
    )
)
def test_any_promotions_leave_one_champion_and_its_predecessors_archived(
    registry: ModelRegistry, uri: str, moves: list[tuple[int, str]]
) -> None:
    named, connection = "walked", Connection(uri, timeout=30)
    with connection.session() as client:
        there = [m.name for m in client.search_registered_models()]
        if named in there:
            for alias in client.get_registered_model(named).aliases:
                client.delete_registered_model_alias(named, alias)
    model = fitted()
    for _ in range(0 if named in there else 3):
        registry.register(model, named)
    with connection.session() as client:
        for version in (1, 2, 3):
            client.set_model_version_tag(named, str(version), "forecast.archived", "false")
    expected = Model(3)
    with connection.session() as client:
        for version, alias in moves:
            assign(client, named, version, alias)  # type: ignore[arg-type]
            expected.promote(version, alias)
            aliases = client.get_registered_model(named).aliases
            assert (aliases.get("champion") is None) == (
                not any("champion" in held for held in expected.held.values())
            )
    assert {r.version: set(r.aliases) for r in registry.list(named)} == expected.held


def test_registering_promoting_and_loading_gives_the_same_predictions(
    registry: ModelRegistry, name: str, tmp_path: Path
) -> None:
    models = [fitted(), fitted(seasonality=24)]
    models[1].save(tmp_path / "model")
    first = registry.register(models[0], name, alias="champion", metrics={"mae@3": 2.0, "crps": 1.0})
    second = registry.register(
        tmp_path / "model", name, alias="candidate", metrics={"mae@3": 1.0}, tags={"owner": "me"}
    )
    assert (first.version, first.aliases, first.model) == (1, ("champion",), "series/seasonal-naive")
    assert (second.version, second.aliases, second.tags) == (2, ("candidate",), {"owner": "me"})
    assert registry.load(name).predict(PANEL) == models[0].predict(PANEL)
    assert registry.load(name, alias="candidate").predict(PANEL) == models[1].predict(PANEL)
    assert registry.promote(name, 2).aliases == ("champion",)
    assert registry.get(name, version=1).aliases == ("archived",)
    assert registry.load(name).predict(PANEL) == models[1].predict(PANEL)
    assert registry.load(name, alias="archived").info == models[0].info
    back = registry.promote(name, 1)
    assert (back.aliases, registry.get(name, version=2).aliases) == (("champion",), ("archived",))


def test_versions_are_compared_by_their_metrics(registry: ModelRegistry, name: str) -> None:
    registry.register(fitted(), name, metrics={"mae@3,6": 2.0, "crps": 1.0})
    registry.register(fitted(), name, metrics={"mae@3,6": 0.1 + 0.2}, alias="champion")
    frame = registry.compare(name, backend="pandas")
    assert list(frame.columns) == ["version", "aliases", "model", "created", "crps", "mae@3,6"]
    assert frame["version"].tolist() == [2, 1]
    assert frame["aliases"].tolist() == ["champion", ""]
    assert frame["mae@3,6"].tolist() == [0.1 + 0.2, 2.0]
    assert np.isnan(frame["crps"][0])


def test_lineage_tells_data_configuration_packages_and_run(
    registry: ModelRegistry, name: str, tmp_path: Path, uri: str
) -> None:
    run = fc.Run(tmp_path / "run", listeners=[MLflowTracker(uri)])
    model = fc.create_model("series/seasonal-naive", horizon=6, seasonality=12)
    train, valid = PANEL.rows(0, 40), PANEL.rows(40, 60)
    model.fit(train, validation=valid, seed=8, run=run).save(tmp_path / "run" / "model")
    registry.register(tmp_path / "run" / "model", name)
    registry.register(model, name)
    tracked, alone = registry.lineage(name, 1), registry.lineage(name, 2)
    for lineage in (tracked, alone):
        assert (lineage.trained_on, lineage.validated_on) == (train.fingerprint(), valid.fingerprint())
        assert lineage.config == {"horizon": 6, "seasonality": 12}
        assert (lineage.seed, lineage.data["rows"]) == (8, 40)
        assert lineage.packages["numpy"] == np.__version__
    assert (tracked.commit_of, tracked.tracked_run) == ("training", "run")
    assert (alone.commit_of, alone.tracked_run) == ("registration", None)
    manifest = (tmp_path / "run" / "model" / "manifest.json").read_bytes()
    assert tracked.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    with Connection(uri, timeout=30).session() as client:
        parent = client.get_run(tracked.run_id)
        assert parent.info.run_name == "run"
        assert parent.data.tags["forecast.trained_on"] == tracked.trained_on
        assert client.get_run(alone.run_id).info.status == "FINISHED"


def test_a_folder_fitted_again_since_it_was_tracked_is_not_that_run(
    registry: ModelRegistry, name: str, tmp_path: Path, uri: str
) -> None:
    model = fc.create_model("series/seasonal-naive", horizon=6, seasonality=12)
    model.fit(PANEL, run=fc.Run(tmp_path, listeners=[MLflowTracker(uri)]))
    model.fit(PANEL.rows(0, 50)).save(tmp_path / "model")
    registry.register(tmp_path / "model", name)
    assert registry.lineage(name, 1).commit_of == "registration"


# no pickle, nothing foreign

_AUDIT = """
import os, sys, warnings
pickled = []
sys.addaudithook(lambda event, _: pickled.append(event) if event.startswith("pickle.") else None)
import forecast_core as fc
from forecast_core.series.sample import sample_panel
import forecast_core.tracking
assert "mlflow" not in sys.modules
def mlflow_options():
    return {key: value for key, value in os.environ.items() if "MLFLOW" in key}
before = mlflow_options()
panel = sample_panel(rows=60)
tracker = forecast_core.tracking.MLflowTracker(sys.argv[1])
model = fc.create_model("series/seasonal-naive", horizon=6).fit(panel, run=fc.Run("run", listeners=[tracker]))
model.save("run/model")
registry = forecast_core.tracking.ModelRegistry(sys.argv[1])
registry.register("run/model", "ped", alias="candidate", metrics={"mae": 1.0})
registry.promote("ped", 1)
loaded = registry.load("ped")
assert loaded.predict(panel) == model.predict(panel)
assert registry.lineage("ped", 1).trained_on == panel.fingerprint()
assert os.environ.pop("MLFLOW_DISABLE_TELEMETRY") == "true"
assert mlflow_options() == before
from mlflow.telemetry import get_telemetry_client
assert get_telemetry_client() is None
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    mlflow.set_tracking_uri(sys.argv[1])
    scored = mlflow.pyfunc.load_model("models:/ped@champion", suppress_warnings=True)
    frame = scored.predict(panel.to_frame(backend="pandas"))
assert frame["mean"].tolist() == model.predict(panel).mean().reshape(-1).tolist()
print(*sorted(set(pickled)))
import pickle
pickle.loads(b"cposix\\ngetpid\\n(tR.")
assert pickled[-1] == "pickle.find_class"  # the ear is open
"""


def test_nothing_is_unpickled_said_sent_or_changed_on_the_way(tmp_path: Path) -> None:
    hidden = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _AUDIT, "sqlite:///mlflow.db"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**environment, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == ""
    assert "mlflow" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mlartifacts", "mlflow.db", "run"]


def stored_artifacts(uri: str) -> list[Path]:
    place = Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts"
    return sorted(place.rglob("data/artifact"), key=lambda path: path.stat().st_mtime_ns)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_stored_artifact_with_any_byte_changed_is_refused(
    registry: ModelRegistry, uri: str, data: st.DataObject
) -> None:
    if not any(record.name == "flipped" for record in registry.list()):
        registry.register(fitted(), "flipped", alias="champion")
    location = ""
    with Connection(uri, timeout=30).session() as client:
        location = client.get_model_version_download_uri("flipped", "1").removeprefix("file://")
    file = data.draw(st.sampled_from(sorted(Path(location, "data", "artifact").iterdir())))
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    file.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        with pytest.raises(ArtifactIntegrityError):
            registry.load("flipped")
    finally:
        file.write_bytes(whole)
    assert registry.load("flipped").is_fitted


def test_another_whole_artifact_in_its_place_is_refused(
    registry: ModelRegistry, name: str, uri: str, tmp_path: Path
) -> None:
    registry.register(fitted(), name, alias="champion")
    place = stored_artifacts(uri)[-1]
    shutil.rmtree(place)
    fitted(seasonality=2).save(place)
    for action in (lambda: registry.load(name), lambda: registry.lineage(name, 1)):
        with pytest.raises(ArtifactIntegrityError, match="not the one registered"):
            action()


def test_models_that_others_registered_are_neither_loaded_nor_listed(
    registry: ModelRegistry, name: str, uri: str, tmp_path: Path
) -> None:
    with Connection(uri, timeout=30).session() as client:
        client.create_registered_model(name)
        client.create_model_version(name, tmp_path.as_uri())
        client.set_registered_model_alias(name, "champion", "1")
    assert registry.list(name) == ()
    for action in (lambda: registry.load(name), lambda: registry.promote(name, 1)):
        with pytest.raises(ArtifactError, match="not registered by ModelRegistry"):
            action()


def test_what_is_no_whole_artifact_is_not_registered(
    registry: ModelRegistry, name: str, tmp_path: Path
) -> None:
    fitted().save(tmp_path / "model")
    (tmp_path / "model" / "extra.pkl").write_bytes(b"cposix\ngetpid\n(tR.")
    for path in (tmp_path / "model", tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError):
            registry.register(path, name)
    with pytest.raises(UnknownIdError):
        registry.list(name)


# what is not there


def test_unknown_names_versions_and_aliases_are_named_with_what_is_near(
    registry: ModelRegistry, name: str
) -> None:
    registry.register(fitted(), name, alias="candidate")
    with pytest.raises(UnknownIdError, match=f"did you mean .*{name}"):
        registry.load(name[:-1])
    with pytest.raises(UnknownIdError, match=r"no version 7 .* known: 1"):
        registry.promote(name, 7)
    with pytest.raises(UnknownIdError, match=r"alias 'champion'.* candidate"):
        registry.load(name)
    with pytest.raises(RegistryError, match="refuses"):
        registry.register(fitted(), name, run_id="0" * 32)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("name", lambda r: r.register(fitted(), "a/b")),
        ("name", lambda r: r.register(fitted(), "")),
        ("alias", lambda r: r.register(fitted(), "ok", alias="latest")),
        ("alias", lambda r: r.promote("ok", 1, alias="winner")),
        ("alias", lambda r: r.load("walked", alias="champion", version=1)),
        ("metrics", lambda r: r.register(fitted(), "ok", metrics={"mae": float("nan")})),
        ("metrics", lambda r: r.register(fitted(), "ok", metrics={"mae": "3"})),
        ("metrics", lambda r: r.register(fitted(), "ok", metrics={"mae": 10**400})),
        ("tags", lambda r: r.register(fitted(), "ok", tags={"forecast.model": "other"})),
        ("tags", lambda r: r.register(fitted(), "ok", tags={"n": 1})),
    ],
)
def test_wrong_arguments_are_named(registry: ModelRegistry, argument: str, call: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"^{argument}"):
        call(registry)


def test_unfitted_models_unreachable_registries_and_missing_mlflow_have_errors(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, toys: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(NotFittedError):
        registry.register(fc.create_model("toys/echo"), "ok")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dead = ModelRegistry(f"http://127.0.0.1:{probe.getsockname()[1]}", timeout=2)
        began = time.perf_counter()
        with pytest.raises(RegistryError, match="cannot be reached"):
            dead.list()
        assert time.perf_counter() - began < 4.0
    absent = ModelRegistry(f"sqlite:///{tmp_path}/nowhere/mlflow.db")
    for ask in (absent.list, lambda: absent.load("ok"), lambda: absent.promote("ok", 1)):
        with pytest.raises(RegistryError, match="there is no such file"):
            ask()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("forecast_core.tracking.connection.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[track\]'"):
        ModelRegistry()


# MLflow's scoring


class EchoConfig(fc.ModelConfig):
    """Options of the model here."""


class Words:
    """Data of a task that is not of panels."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def windows(self, **_: Any) -> Any:
        raise NotImplementedError

    def between(self, start: Any, stop: Any) -> Any:
        raise NotImplementedError

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.words).encode()).hexdigest()

    @property
    def timeline(self) -> np.ndarray:
        return np.arange(len(self.words))


class Echo(fc.Predictor[Words]):
    """Tells long words from short ones."""

    config_class: ClassVar[type[fc.ModelConfig]] = EchoConfig

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Any) -> None:
        pass

    def _predict(self, data: Words, *, horizon: int | None) -> fc.Prediction:
        long = np.array([float(len(word) > 3) for word in data.words])
        return fc.ClassPrediction(
            probabilities=np.stack([1 - long, long], axis=1), classes=("short", "long"), item_ids=data.words
        )

    def _state(self) -> State:
        return State(texts={"nothing.txt": ""})

    def _load_state(self, state: State) -> None:
        pass


class WordsRequest(BaseModel):
    """A request of the task."""

    words: list[str]

    def to_data(self, info: fc.predictor.ModelInfo) -> Words:
        return Words(self.words)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    home = ModuleType("toys")
    vars(home).update(Echo=Echo, EchoConfig=EchoConfig, Words=Words, WordsRequest=WordsRequest)
    vars(home).update(Mute=type("Mute", (Echo,), {}))
    specs = [
        fc.ModelSpec(
            id=f"toys/{model.lower()}",
            task=task,
            entry_point=f"toys:{model}",
            config_entry_point="toys:EchoConfig",
            summary="Tells long words from short ones",
            capabilities=fc.Capabilities(prediction="class"),
        )
        for model, task in (("Echo", "words"), ("Mute", "mute-words"))
    ]
    tasks = [
        fc.TaskSpec(
            id=task,
            kind="classification",
            data="toys:Words",
            baseline="toys/echo",
            objective="accuracy",
            sample_data="toys:Words",
            request=request,
        )
        for task, request in (("words", "toys:WordsRequest"), ("mute-words", None))
    ]
    home.forecast_models = fc.hookimpl(lambda: specs)  # type: ignore[attr-defined]
    home.forecast_tasks = fc.hookimpl(lambda: tasks)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toys", home)
    plugins.register_plugin(home, name="toys")
    yield home
    plugins.unregister_plugin("toys")


def invoke(model: Any, body: dict[str, Any]) -> list[dict[str, Any]]:
    """What MLflow's scoring server answers to a body."""
    from mlflow.pyfunc.scoring_server import invocations

    answer = invocations(json.dumps(body), "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    return list(json.loads(answer.response)["predictions"])


def split_of(panel: fc.Panel) -> dict[str, Any]:
    frame = panel.to_frame(backend="pandas").astype({"timestamp": str})
    rows = [[None if value != value else value for value in row] for row in frame.to_numpy().tolist()]
    return {"columns": list(frame.columns), "data": rows}


def pyfunc(registry: ModelRegistry, name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow.pyfunc

    with Connection(registry.uri, timeout=30).session() as client:
        place = client.get_model_version_download_uri(name, "1")
        monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        return mlflow.pyfunc.load_model(place, suppress_warnings=True)


def test_scoring_requests_are_answered_with_the_models_own_numbers(
    registry: ModelRegistry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fitted()
    registry.register(model, name)
    scored = pyfunc(registry, name, monkeypatch)
    split = split_of(PANEL)
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    renamed = {"item_id": "who", "timestamp": "when", "target": "y"}
    for body, horizon in (
        ({"dataframe_split": split}, 6),
        ({"dataframe_records": records, "params": {"horizon": 3}}, 3),
        (
            {
                "dataframe_records": [{renamed[k]: v for k, v in row.items()} for row in records],
                "params": {"item_id": "who", "timestamp": "when", "target": ["y"]},
            },
            6,
        ),
    ):
        answer = invoke(scored, body)
        expected = model.predict(PANEL, horizon=horizon)
        assert [row["mean"] for row in answer] == expected.mean().reshape(-1).tolist()
        assert [row["0.9"] for row in answer] == expected.quantile(0.9).reshape(-1).tolist()
        assert [row["item_id"] for row in answer] == [i for i in PANEL.item_ids for _ in range(horizon)]
        stamps = [np.datetime64(row["timestamp"]) for row in answer[:horizon]]
        assert stamps == PANEL.future_timestamps(horizon).tolist()


def test_missing_values_and_several_items_pass_through_scoring(
    registry: ModelRegistry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = sample_panel(rows=60, missing=0.2)
    model = fc.create_model("series/naive", horizon=2)
    registry.register(model, name)  # never fitted, for there is nothing to fit
    answer = invoke(pyfunc(registry, name, monkeypatch), {"dataframe_split": split_of(panel)})
    assert [row["mean"] for row in answer] == model.predict(panel).mean().reshape(-1).tolist()


def test_wrong_tables_give_errors_that_name_what_is_wrong() -> None:
    scored = TablePredictor(fitted())
    frame = PANEL.to_frame(backend="pandas")
    with pytest.raises(DataError, match="target: is a column"):
        scored.predict(frame.drop(columns="target"))
    with pytest.raises(InvalidInputError, match="params: are among horizon"):
        scored.predict(frame, params={"horzion": 3})
    with pytest.raises(ForecastError, match="horizon"):
        scored.predict(frame, params={"horizon": 0})
    with pytest.raises(InvalidInputError, match="frame"):
        scored.predict([1, 2])


@pytest.mark.usefixtures("toys")
def test_other_tasks_are_asked_by_their_requests_or_say_that_they_cannot(tmp_path: Path) -> None:
    import pandas as pd

    words = Words(["ant", "horse"])
    echo, mute = (fc.create_model(f"toys/{name}").fit(words) for name in ("echo", "mute"))
    with staged(echo) as artifact:
        scored = TablePredictor(fc.load_model(artifact.path))
    answer = scored.predict(pd.DataFrame({"words": [["ant", "horse"], ["elephant"]]}))
    assert answer["request"].tolist()[0] == 0
    assert set(answer["request"]) == {0, 1}
    assert "ant" in answer["item_id"].tolist()
    with pytest.raises(InvalidInputError, match="row 0"):
        scored.predict(pd.DataFrame({"words": [3]}))
    with pytest.raises(InvalidInputError, match="at least one row"):
        scored.predict(pd.DataFrame({"words": []}))
    with pytest.raises(CapabilityError, match=r"'mute-words' defines no request.*ModelRegistry\.load"):
        TablePredictor(mute).predict(pd.DataFrame({"words": [["ant"]]}))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no process groups there")
def test_mlflow_models_serve_answers_with_the_models_own_numbers(
    registry: ModelRegistry, name: str, tmp_path: Path
) -> None:
    model = fitted()
    registry.register(model, name, alias="champion")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": registry.uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    with (tmp_path / "log").open("wb") as log:
        served = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{name}@champion", *options],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        for _ in range(900):
            assert served.poll() is None, (tmp_path / "log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        for horizon in (6, 2):
            body = {"dataframe_split": split_of(PANEL), "params": {"horizon": horizon}}
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/invocations",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                rows = json.load(answer)["predictions"]
            expected = model.predict(PANEL, horizon=horizon)
            assert [row["mean"] for row in rows] == expected.mean().reshape(-1).tolist()
            assert [row["0.1"] for row in rows] == expected.quantile(0.1).reshape(-1).tolist()
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()


# the command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.add_to(app)
    app(["registry", *arguments], standalone_mode=False)
    return capsys.readouterr().out


def test_the_commands_do_what_the_registry_does(
    capsys: pytest.CaptureFixture[str], uri: str, name: str, tmp_path: Path
) -> None:
    fitted().save(tmp_path / "model")
    at = ("--uri", uri, "--json")
    options = ("--alias", "candidate", "--metric", "mae@3=1.5", "--tag", "owner=me")
    made = json.loads(run(capsys, "register", str(tmp_path / "model"), name, *options, *at))
    assert (made["version"], made["aliases"]) == (1, ["candidate"])
    assert (made["metrics"], made["tags"]) == ({"mae@3": 1.5}, {"owner": "me"})
    assert json.loads(run(capsys, "promote", name, "1", *at))["aliases"] == ["champion"]
    assert json.loads(run(capsys, "show", name, *at))["trained_on"] == PANEL.fingerprint()
    assert name in {record["name"] for record in json.loads(run(capsys, "list", *at))}
    compared = json.loads(run(capsys, "compare", name, *at))
    assert compared == [
        {"version": 1, "aliases": ["champion"], "model": made["model"], "metrics": {"mae@3": 1.5}}
    ]
    for shown in (("list",), ("show", name), ("compare", name)):
        assert "champion" in run(capsys, *shown, "--uri", uri)
    assert "version 1 (champion)" in run(capsys, "promote", name, "1", "--uri", uri)


def test_missed_runs_are_sent_from_the_command_line(
    capsys: pytest.CaptureFixture[str], uri: str, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        tracker = MLflowTracker(f"http://127.0.0.1:{probe.getsockname()[1]}")
        fc.create_model("series/naive").fit(PANEL, run=fc.Run(tmp_path / "missed", listeners=[tracker]))
    (sent,) = json.loads(run(capsys, "resend", str(tmp_path), "--uri", uri, "--json"))
    assert (sent["run"], sent["events"]) == ("missed", 2)
    assert "missed" in run(capsys, "resend", str(tmp_path), "--uri", uri)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("register", "absent", "ok"), ArtifactError),
        (("register", "absent", "ok", "--metric", "mae"), InvalidInputError),
        (("register", "absent", "ok", "--metric", "mae=x"), InvalidInputError),
        (("show", "nobody"), UnknownIdError),
        (("resend", "absent"), InvalidInputError),
    ],
)
def test_wrong_commands_have_typed_errors(
    capsys: pytest.CaptureFixture[str], uri: str, arguments: tuple[str, ...], error: type[ForecastError]
) -> None:
    at = () if arguments[0] == "resend" else ("--uri", uri)
    with pytest.raises(error):
        run(capsys, *arguments, *at)
