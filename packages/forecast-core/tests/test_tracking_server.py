"""A real `mlflow server`: what it holds after it was killed while a model trained, and models through it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.artifacts import State
from forecast_core.errors import ArtifactIntegrityError, UnknownIdError
from forecast_core.run import Run
from forecast_core.series.sample import sample_panel
from forecast_core.tracking import MLflowTracker, ModelRegistry, RegistryError, resend
from forecast_core.tracking.connection import Connection
from forecast_core.tracking.journal import JOURNAL, read_journal
from forecast_core.training import HistoryWriter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process groups there")

PANEL = sample_panel(rows=60)


class Server:
    """An `mlflow server` on loopback over files in a folder, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self.folder / 'server.db'}",
            "--artifacts-destination": str(self.folder / "artifacts"),
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--workers": "1",
        }
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *(x for o in options.items() for x in o)],
                stdout=log,
                stderr=log,
                env={**os.environ, **quiet},
                start_new_session=True,
            )
        wait_for(f"{self.uri}/health", self.process)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server has left"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("no answer in a minute")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


class ClimbConfig(fc.ModelConfig):
    """Options of the model here."""

    horizon: int = 3
    epochs: int = 30
    seconds: float = 0.02


class Climb(fc.Predictor[fc.Panel]):
    """Takes its time over some epochs, and predicts their number."""

    config_class: ClassVar[type[fc.ModelConfig]] = ClimbConfig

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        for epoch in range(1, self.config.epochs + 1):
            time.sleep(self.config.seconds)
            numbers = {"train_loss": 1 / epoch, "valid_loss": seed + 2 / epoch}
            run.emit("forecast_epoch_finished", epoch=epoch, metrics=numbers)
        self.reached = self.config.epochs

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> fc.Prediction:
        shape = (len(data.item_ids), horizon or self.config.horizon, 1)
        return fc.PointPrediction(values=np.full(shape, float(self.reached)), item_ids=data.item_ids)

    def _state(self) -> State:
        return State(arrays={"reached": np.array(self.reached)})

    def _load_state(self, state: State) -> None:
        self.reached = int(state.arrays["reached"])


@pytest.fixture(autouse=True)
def _slopes(plug_in: Callable[..., None]) -> None:
    spec = fc.ModelSpec(
        id="slopes/climb",
        task="series",
        entry_point="slopes:Climb",
        config_entry_point="slopes:ClimbConfig",
        summary="Climbs",
        capabilities=fc.Capabilities(prediction="point"),
    )
    plug_in("slopes", [spec], Climb=Climb, ClimbConfig=ClimbConfig)


def climb_while_the_server_dies(
    server: Server, folder: Path, *, after: float, epochs: int
) -> fc.Predictor[Any]:
    """A fitted model whose server was killed `after` seconds from the first epoch on, at any moment."""
    tracker = MLflowTracker(server.uri, experiment=folder.name, pause=0.3)

    class Killer:
        thread: threading.Timer | None = None

        def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Any) -> None:
            if self.thread is None:
                self.thread = threading.Timer(after, server.kill)
                self.thread.start()

    killer = Killer()
    run = Run(folder, listeners=[HistoryWriter(), killer, tracker])
    model = fc.create_model("slopes/climb", epochs=epochs)
    model.fit(PANEL, seed=4, run=run)
    assert killer.thread is not None
    killer.thread.join()
    model.save(folder / "model")
    tracker.log_results(run, metrics={"mae": 0.5})
    return model


def check_nothing_is_lost_or_doubled(server: Server, folder: Path, *, epochs: int) -> None:
    with Connection(server.uri, timeout=30).session() as client:
        experiment = client.get_experiment_by_name(folder.name)
        (run,) = client.search_runs([experiment.experiment_id])
        run_id = run.info.run_id
        for name, bias in (("train_loss", 0), ("valid_loss", 4)):
            found = [(m.step, m.value) for m in client.get_metric_history(run_id, name)]
            scale = 1 if name == "train_loss" else 2
            assert sorted(found) == [(e, bias + scale / e) for e in range(1, epochs + 1)]
        assert run.info.status == "FINISHED"
        assert run.data.params["epochs"] == str(epochs)
        assert run.data.tags["forecast.trained_on"] == PANEL.fingerprint()
        assert run.data.metrics["mae"] == 0.5
        names = {found.path for found in client.list_artifacts(run_id)}
        assert names == {"history.csv", "history.json", "model"}
        place = client.download_artifacts(run_id, "model", str(folder))
        assert fc.load_model(place).reached == epochs  # type: ignore[attr-defined]


def test_killing_the_server_while_a_model_trains_loses_nothing(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "killed"
    with caplog.at_level(logging.WARNING):
        model = climb_while_the_server_dies(server, folder, after=0.2, epochs=30)
    assert model.is_fitted
    assert len([r for r in caplog.records if "goes on" in r.getMessage()]) == 1
    (section,) = read_journal(folder / JOURNAL)
    assert section.pending
    assert section.sent
    with pytest.raises(RegistryError):
        resend(folder)
    server.start()
    (sent,) = resend(folder)
    assert sent.events == len(section.pending)
    assert [each.events for each in resend(folder)] == [0]
    check_nothing_is_lost_or_doubled(server, folder, epochs=30)


def test_a_server_that_comes_back_gets_what_it_missed_while_training_goes_on(
    server: Server, tmp_path: Path
) -> None:
    tracker = MLflowTracker(server.uri, experiment=tmp_path.name, timeout=1.0, pause=0.0)
    run = Run(tmp_path, listeners=[tracker])
    run.info = fc.create_model("slopes/climb").info
    run.emit("forecast_run_started")
    assert server.process is not None
    os.killpg(server.process.pid, signal.SIGSTOP)  # neither answers nor refuses
    epochs = 0
    for answers in (False, True):
        if answers:
            os.killpg(server.process.pid, signal.SIGCONT)
        for _ in range(20 if answers else 2):
            epochs += 1
            run.emit("forecast_epoch_finished", epoch=epochs, metrics={"train_loss": 1 / epochs})
            if read_journal(tmp_path / JOURNAL)[0].delivered:
                break
        assert read_journal(tmp_path / JOURNAL)[0].delivered == answers
    with Connection(server.uri, timeout=30).session() as client:
        found = client.get_metric_history(tracker.run_id(run), "train_loss")
        assert sorted((m.step, m.value) for m in found) == [(e, 1 / e) for e in range(1, epochs + 1)]


def test_models_go_through_a_server_and_come_back_equal(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    registry = ModelRegistry(server.uri, experiment=tmp_path.name)
    run = Run(tmp_path / "run", listeners=[MLflowTracker(server.uri, experiment=tmp_path.name)])
    models = [fc.create_model("slopes/climb", epochs=n, seconds=0.0).fit(PANEL, run=run) for n in (2, 3)]
    models[1].save(tmp_path / "run" / "model")
    first = registry.register(models[0], "climber", alias="champion", metrics={"mae@3": 2.0})
    second = registry.register(tmp_path / "run" / "model", "climber", metrics={"mae@3": 1.5})
    assert (first.version, first.aliases, second.version, second.aliases) == (1, ("champion",), 2, ())
    assert registry.promote("climber", 2).aliases == ("champion",)
    assert [(r.version, r.aliases) for r in registry.list("climber")] == [
        (2, ("champion",)),
        (1, ("archived",)),
    ]
    for model, version in zip(models, (1, 2), strict=True):
        loaded = registry.load("climber", version=version)
        assert loaded.predict(PANEL) == model.predict(PANEL)
        assert loaded.info == model.info
    assert registry.load("climber").predict(PANEL) == models[1].predict(PANEL)
    lineage = registry.lineage("climber", 2)
    assert (lineage.commit_of, lineage.tracked_run) == ("training", "run")
    assert lineage.trained_on == PANEL.fingerprint()
    with pytest.raises(UnknownIdError, match="did you mean 'climber'"):
        registry.load("climer")
    for weights in (server.folder / "artifacts").rglob("artifact/weights.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x77")
    with pytest.raises(ArtifactIntegrityError, match="hash"):
        registry.load("climber")


@pytest.mark.slow
@pytest.mark.parametrize("after", np.linspace(0.0, 0.6, 7).round(2).tolist())
def test_killing_the_server_at_any_moment_loses_nothing(server: Server, tmp_path: Path, after: float) -> None:
    folder = tmp_path / f"after-{after}"
    climb_while_the_server_dies(server, folder, after=after, epochs=30)
    server.start()
    resend(folder)
    resend(folder)
    check_nothing_is_lost_or_doubled(server, folder, epochs=30)
