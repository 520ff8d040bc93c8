"""Runs in MLflow: what is tracked, and that nothing is lost or doubled whatever fails on the way."""

from __future__ import annotations

import json
import logging
import math
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core import plugins
from forecast_core.errors import ForecastError, InvalidInputError, MissingDependencyError
from forecast_core.predictor import ModelInfo
from forecast_core.run import Run
from forecast_core.series.sample import sample_panel
from forecast_core.tracking import MLflowTracker, RegistryError, resend
from forecast_core.tracking.connection import Connection
from forecast_core.tracking.journal import JOURNAL, read_journal
from forecast_core.tracking.provenance import code_state, metric_name, model_params

PANEL = sample_panel(rows=60)
INFO = ModelInfo(
    id="series/naive",
    version=1,
    task="series",
    config={"horizon": 3, "seed": 7, "inner": {"width": 2, "names": ["a", "b"]}, "nothing": None},
    seed=5,
    data={"type": "panel"},
    trained_on="f" * 64,
)


def train(run: Run, *epochs: int, info: ModelInfo = INFO, fail: bool = False) -> None:
    """The events of a training run."""
    run.info = info
    run.emit("forecast_run_started")
    for epoch in epochs:
        numbers = {"train_loss": 1 / epoch, "valid_loss": math.nan if epoch == 2 else 2 / epoch}
        passing = {"eta_seconds": 1.0, "max_epochs": 9.0}
        run.emit("forecast_epoch_finished", epoch=epoch, metrics={**numbers, **passing})
    if fail:
        run.emit("forecast_run_failed", error=ValueError("the loss is not finite"))
    else:
        done = info.model_copy(update={"fitted": True, "fit_seconds": 1.5})
        run.emit("forecast_run_finished", result=done)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, which takes seconds to make."""
    path = tmp_path_factory.mktemp("blank") / "mlflow.db"
    with Connection(f"sqlite:///{path}", timeout=30).session() as client:
        client.get_experiment_by_name("any")
    return path


@pytest.fixture
def uri(tmp_path: Path, blank: Path) -> str:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "mlflow.db").write_bytes(blank.read_bytes())
    return f"sqlite:///{tmp_path / 'db' / 'mlflow.db'}"


def tracked(uri: str, experiment: str = "forecast") -> list[Any]:
    with Connection(uri, timeout=30).session() as client:
        found = client.get_experiment_by_name(experiment)
        return [] if found is None else list(client.search_runs([found.experiment_id]))


def history(uri: str, run_id: str, metric: str) -> list[tuple[int, float]]:
    with Connection(uri, timeout=30).session() as client:
        return sorted((m.step, m.value) for m in client.get_metric_history(run_id, metric))


def files(uri: str, run_id: str, folder: str | None = None) -> set[str]:
    with Connection(uri, timeout=30).session() as client:
        return {found.path for found in client.list_artifacts(run_id, folder)}


# whatever fails, sending it again gives what would have been there


class Lost(RegistryError):
    """An answer or a request that did not arrive."""


class Server:
    """What MLflow keeps, in memory, behind a line that loses requests and answers as it is told."""

    def __init__(self, losses: list[str]) -> None:
        self.losses = iter(losses)
        self.experiments: list[str] = []
        self.runs: dict[str, dict[str, Any]] = {}

    def _through(self, effect: Any) -> Any:
        loss = next(self.losses, "")
        if loss == "request":
            raise Lost("request lost")
        answer = effect()
        if loss == "answer":
            raise Lost("answer lost")
        return answer

    def get_experiment_by_name(self, name: str) -> Any:
        there = name in self.experiments
        return self._through(lambda: SimpleNamespace(experiment_id=name) if there else None)

    def create_experiment(self, name: str, artifact_location: str | None) -> Any:
        return self._through(lambda: self.experiments.append(name) or name)

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> Any:
        key = query.split("'")[1]
        keys = {name: run["tags"]["forecast.run_key"] for name, run in self.runs.items()}
        found = [SimpleNamespace(info=SimpleNamespace(run_id=n)) for n, k in keys.items() if k == key]
        return self._through(lambda: found)

    def create_run(self, experiment: str, *, start_time: int, run_name: str, tags: dict[str, str]) -> Any:
        def make() -> Any:
            name = f"run-{len(self.runs)}"
            self.runs[name] = {
                "tags": dict(tags),
                "params": {},
                "metrics": [],
                "status": "RUNNING",
                "files": {},
            }
            return SimpleNamespace(info=SimpleNamespace(run_id=name))

        return self._through(make)

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        def log() -> None:
            run = self.runs[run_id]
            for each in metrics:
                row = (each.key, each.step, each.timestamp, repr(each.value))
                if row not in run["metrics"]:  # the key of MLflow's table
                    run["metrics"].append(row)
            run["params"].update({each.key: each.value for each in params})
            run["tags"].update({each.key: each.value for each in tags})

        self._through(log)

    def update_run(self, run_id: str, *, status: str) -> None:
        self._through(lambda: self.runs[run_id].update(status=status))

    def set_terminated(self, run_id: str, status: str, *, end_time: int) -> None:
        self._through(lambda: self.runs[run_id].update(status=status))

    def log_artifact(self, run_id: str, path: str) -> None:
        text = Path(path).read_text()
        self._through(lambda: self.runs[run_id]["files"].update({Path(path).name: text}))


@contextmanager
def connected_to(server: Server) -> Iterator[None]:
    """All connections lead to this server."""

    @contextmanager
    def session(self: Connection, *, timeout: float | None = None) -> Iterator[Server]:
        yield server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "session", session)
        yield


LOSSES = st.lists(st.sampled_from(["", "", "request", "answer"]), max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    losses=LOSSES, later=LOSSES, folder=st.booleans(), fail=st.booleans(), pause=st.sampled_from([0.0, 60.0])
)
def test_no_loss_of_requests_or_answers_loses_or_doubles_anything(
    tmp_path_factory: pytest.TempPathFactory,
    losses: list[str],
    later: list[str],
    folder: bool,
    fail: bool,
    pause: float,
) -> None:
    place = tmp_path_factory.mktemp("runs")
    server = Server(losses)
    with connected_to(server):
        tracker = MLflowTracker("http://127.0.0.1:9", pause=pause, spool=place / "spool")
        run = Run(place / "run" if folder else None, listeners=[tracker])
        if folder:
            (place / "run").mkdir()
            (place / "run" / "history.csv").write_text("epoch\n1\n")
        train(run, 1, 2, 3, fail=fail)
        server.losses = iter(later)
        for _ in range(len(later) + 1):
            try:
                if list(place.rglob(f"*{JOURNAL}")):
                    resend(place)
                break
            except Lost:
                continue
        server.losses = iter(())
        if list(place.rglob(f"*{JOURNAL}")):
            again = resend(place)
            assert [each.run_id for each in again] == ["run-0"]
            assert [each.events for each in resend(place)] == [0]
    assert list(server.runs) == ["run-0"]
    found = server.runs["run-0"]
    rows = [(key, step, value) for key, step, _, value in found["metrics"]]
    expected = [("train_loss", e, repr(1 / e)) for e in (1, 2, 3)]
    expected += [("valid_loss", 1, "2.0"), ("valid_loss", 2, "nan"), ("valid_loss", 3, repr(2 / 3))]
    expected += [] if fail else [("fit_seconds", 0, "1.5")]
    assert sorted(rows) == sorted(expected)
    assert found["status"] == ("FAILED" if fail else "FINISHED")
    assert ("forecast.error" in found["tags"]) == fail
    assert found["params"] == model_params(INFO)
    assert found["files"] == ({"history.csv": "epoch\n1\n"} if folder else {})


@settings(deadline=None, max_examples=40)
@given(share=st.floats(0.0, 1.0))
def test_a_journal_cut_off_anywhere_keeps_what_stands_before(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("cut")
    with connected_to(Server(["request"] * 99)):
        train(Run(place, listeners=[MLflowTracker("http://127.0.0.1:9", pause=0.0)]), 1, 2, 3)
    path = place / JOURNAL
    whole, raw = read_journal(path)[0].events, path.read_bytes()
    first = raw.index(b"\n")
    path.write_bytes(raw[: first + round(share * (len(raw) - first))])
    before = read_journal(path)[0].events
    assert [e.model_dump_json() for e in before] == [e.model_dump_json() for e in whole[: len(before)]]
    assert len(before) >= path.read_bytes().count(b"\n") - 1
    server = Server([])
    with connected_to(server):
        run = Run(place, resume=True, listeners=[MLflowTracker("http://127.0.0.1:9")])
        train(run, 1, 2, 3)
        resend(place)
    (found,) = server.runs.values()
    losses = sorted((step, value) for key, step, _, value in found["metrics"] if key == "train_loss")
    assert losses == [(e, repr(1 / e)) for e in (1, 2, 3)]
    assert found["status"] == "FINISHED"


@given(name=st.text(max_size=300))
def test_every_metric_has_a_name_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(metric_name(name))


def test_metrics_of_the_grammar_stay_legible() -> None:
    assert metric_name("coverage@0.9") == "coverage/0.9"
    assert metric_name("train_loss") == "train_loss"


# what is tracked


def test_a_run_is_tracked_with_options_seed_data_versions_and_files(tmp_path: Path, uri: str) -> None:
    tracker = MLflowTracker(uri, tags={"team": "north"})
    run = Run(tmp_path / "run", listeners=[tracker])
    model = fc.create_model("series/seasonal-naive", horizon=6, seasonality=12)
    model.fit(PANEL, seed=11, run=run)
    model.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "metrics.json").write_text("{}")
    (tmp_path / "run" / "checkpoints").mkdir()
    tracker.log_results(run, metrics={"mae@3": 2.5})
    (found,) = tracked(uri)
    assert found.info.run_id == tracker.run_id(run)
    assert (found.info.run_name, found.info.status) == ("run", "FINISHED")
    assert found.data.params == {
        "model": "series/seasonal-naive",
        "seed": "11",
        "horizon": "6",
        "seasonality": "12",
    }
    tags = found.data.tags
    assert tags["forecast.trained_on"] == PANEL.fingerprint()
    assert json.loads(tags["forecast.data"])["rows"] == 60
    assert json.loads(tags["forecast.packages"])["numpy"] == np.__version__
    assert tags["team"] == "north"
    assert found.data.metrics["mae/3"] == 2.5
    assert files(uri, found.info.run_id) == {"metrics.json", "model"}
    assert "model/manifest.json" in files(uri, found.info.run_id, "model")


def test_metrics_are_logged_by_epoch_and_not_a_number_too(tmp_path: Path, uri: str) -> None:
    train(Run(tmp_path / "run", listeners=[MLflowTracker(uri)]), 1, 2, 3)
    (found,) = tracked(uri)
    assert history(uri, found.info.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    (_, undefined), *_ = [row for row in history(uri, found.info.run_id, "valid_loss") if row[0] == 2]
    assert math.isnan(undefined)
    assert "eta_seconds" not in found.data.metrics
    assert found.data.metrics["fit_seconds"] == 1.5


def test_a_failed_run_is_marked_with_its_error(tmp_path: Path, uri: str) -> None:
    train(Run(tmp_path / "run", listeners=[MLflowTracker(uri)]), 1, fail=True)
    (found,) = tracked(uri)
    assert found.info.status == "FAILED"
    assert found.data.tags["forecast.error"] == "ValueError: the loss is not finite"


def test_a_resumed_run_goes_on_in_the_same_run_of_mlflow(tmp_path: Path, uri: str) -> None:
    train(Run(tmp_path / "run", listeners=[MLflowTracker(uri)]), 1, 2, fail=True)
    train(Run(tmp_path / "run", resume=True, listeners=[MLflowTracker(uri)]), 2, 3, 4)
    (found,) = tracked(uri)
    assert history(uri, found.info.run_id, "train_loss") == [(e, 1 / e) for e in (1, 2, 3, 4)]
    assert found.info.status == "FINISHED"


def test_fitting_again_in_a_folder_is_another_run(tmp_path: Path, uri: str) -> None:
    tracker = MLflowTracker(uri)
    run = Run(tmp_path / "run", listeners=[tracker])
    train(run, 1)
    train(run, 1)
    assert len(tracked(uri)) == 2
    assert [each.events for each in resend(tmp_path / "run")] == [0, 0]


def test_one_tracker_is_a_listener_and_a_plugin_and_hears_once(tmp_path: Path, uri: str) -> None:
    tracker = MLflowTracker(uri)
    plugins.register_plugin(tracker, name="mlflow")
    try:
        fc.create_model("series/naive", horizon=3).fit(PANEL)
        train(Run(tmp_path / "both", listeners=[tracker]), 1, 2)
    finally:
        plugins.unregister_plugin("mlflow")
    assert not plugins.plugin_failures()
    both, _ = tracked(uri)
    assert both.info.run_name == "both"
    assert history(uri, both.info.run_id, "train_loss") == [(1, 1.0), (2, 0.5)]


def test_only_the_first_of_several_processes_tells(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    train(Run(tmp_path / "run", listeners=[MLflowTracker(uri)]), 1)
    assert tracked(uri) == []
    assert not (tmp_path / "run").exists()


def test_without_artifacts_no_file_goes_along(tmp_path: Path, uri: str) -> None:
    run = Run(tmp_path / "run", listeners=[MLflowTracker(uri, artifacts=False)])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "history.csv").write_text("epoch\n")
    train(run, 1)
    (found,) = tracked(uri)
    assert files(uri, found.info.run_id) == set()


def test_options_are_flat_and_collide_with_nothing() -> None:
    assert model_params(INFO) == {
        "model": "series/naive",
        "seed": "5",
        "horizon": "3",
        "config.seed": "7",
        "inner.width": "2",
        "inner.names": '["a", "b"]',
        "nothing": "null",
    }


def test_the_commit_and_its_changes_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_state() is None
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    (tmp_path / "code.py").write_text("a = 1\n")
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], check=True, cwd=tmp_path)
    state = code_state()
    assert state is not None
    assert len(state.commit) == 40
    assert not state.dirty
    (tmp_path / "code.py").write_text("a = 2\n")
    assert code_state() == (state.commit, True)


# what cannot be reached


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_server_costs_no_time_and_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MLflowTracker(f"http://127.0.0.1:{closed_port()}")
    run = Run(tmp_path / "run", listeners=[tracker])
    with caplog.at_level(logging.WARNING):
        began = time.perf_counter()
        train(run, *range(1, 51))
        spent = time.perf_counter() - began
    (record,) = caplog.records
    assert "Connection refused" in record.getMessage()
    assert str(tmp_path / "run" / JOURNAL) in record.getMessage()
    assert spent < 3.0
    assert len(read_journal(tmp_path / "run" / JOURNAL)[0].pending) == 52
    assert tracker.run_id(run) is None
    with pytest.raises(RegistryError, match="Connection refused"):
        resend(tmp_path / "run")


def test_a_server_that_hangs_stalls_an_epoch_for_one_timeout_at_most(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        tracker = MLflowTracker(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1.0)
        run = Run(tmp_path / "run", listeners=[tracker])
        began = time.perf_counter()
        train(run, *range(1, 51))  # tried at the start and at the end
        assert time.perf_counter() - began < 4.0
    assert len(read_journal(tmp_path / "run" / JOURNAL)[0].pending) == 52


def test_what_was_missed_is_sent_elsewhere_on_request(tmp_path: Path, uri: str) -> None:
    train(Run(tmp_path / "run", listeners=[MLflowTracker(f"http://127.0.0.1:{closed_port()}")]), 1, 2)
    (done,) = resend(tmp_path, tracking_uri=uri)
    (found,) = tracked(uri)
    assert (done.run_id, done.events, done.run) == (found.info.run_id, 4, "run")
    assert resend(tmp_path / "run" / JOURNAL, tracking_uri=uri)[0].events == 0
    assert len(tracked(uri)) == 1
    with pytest.raises(RegistryError, match="refused"):  # the one it was for has still got nothing
        resend(tmp_path)


def test_runs_without_a_folder_are_spooled_only_when_something_fails(tmp_path: Path, uri: str) -> None:
    train(Run(listeners=[MLflowTracker(uri, spool=tmp_path / "spool")]), 1)
    assert not (tmp_path / "spool").exists()
    dead = f"http://127.0.0.1:{closed_port()}"
    train(Run(listeners=[MLflowTracker(dead, spool=tmp_path / "spool")]), 1, 2)
    resend(tmp_path / "spool", tracking_uri=uri)
    assert sorted(run.data.metrics["train_loss"] for run in tracked(uri)) == [0.5, 1.0]


def test_a_database_that_is_locked_is_waited_for_briefly(tmp_path: Path, uri: str) -> None:
    path = uri.removeprefix("sqlite:///")
    tracker = MLflowTracker(uri, timeout=1.0)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    run = Run(tmp_path / "run", listeners=[tracker])
    began = time.perf_counter()
    run.info = INFO
    run.emit("forecast_run_started")
    assert time.perf_counter() - began < 4.0
    holder.execute("ROLLBACK")
    holder.close()
    run.emit("forecast_run_finished", result=INFO)
    (found,) = tracked(uri)
    assert found.info.status == "FINISHED"


def test_a_disk_that_refuses_the_journal_stops_neither_training_nor_tracking(
    tmp_path: Path, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run" / JOURNAL).mkdir(parents=True)  # in the way of the file
    with caplog.at_level(logging.WARNING):
        train(Run(tmp_path / "run", listeners=[MLflowTracker(uri)]), 1, 2)
    assert [r.getMessage() for r in caplog.records if "cannot be written" in r.getMessage()] != []
    assert len(caplog.records) == 1
    (found,) = tracked(uri)
    assert history(uri, found.info.run_id, "train_loss") == [(1, 1.0), (2, 0.5)]


def test_credentials_are_neither_written_nor_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = MLflowTracker(f"http://me:s3cret@127.0.0.1:{closed_port()}")
    with caplog.at_level(logging.WARNING):
        train(Run(tmp_path / "run", listeners=[tracker]), 1)
    assert "s3cret" not in caplog.text
    assert "s3cret" not in (tmp_path / "run" / JOURNAL).read_text()


# bad input


@pytest.mark.parametrize(
    "address", ["", "mlflow.db", "ftp://host", "sqlite://", "sqlite:///:memory:", None, 3]
)
def test_addresses_that_are_none_are_refused(address: Any) -> None:
    with pytest.raises(InvalidInputError, match="tracking_uri"):
        MLflowTracker(address)


@pytest.mark.parametrize("timeout", [0, -1.0, math.inf, math.nan, True, "5"])
def test_timeouts_are_positive_seconds(timeout: Any) -> None:
    with pytest.raises(InvalidInputError, match="timeout"):
        MLflowTracker(timeout=timeout)


def test_databases_that_cannot_be_opened_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, however long it may be")
    for path in (tmp_path / "text.db", tmp_path / "text.db" / "below.db", tmp_path):
        began = time.perf_counter()
        with pytest.raises(RegistryError, match="cannot be reached"):
            resend_one(tmp_path, f"sqlite:///{path}")
        assert time.perf_counter() - began < 2.0
    with pytest.raises(RegistryError, match="refused"):
        resend_one(tmp_path, f"postgresql://u:p@127.0.0.1:{closed_port()}/db")


def resend_one(folder: Path, uri: str) -> None:
    if not (folder / "run").exists():
        train(Run(folder / "run", listeners=[MLflowTracker(f"http://127.0.0.1:{closed_port()}")]), 1)
    resend(folder / "run", tracking_uri=uri)


def test_folders_without_a_journal_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="journal"):
        resend(tmp_path)
    for text in ("", "no json\n", '{"kind":"metrics","time":1,"step":1,"values":{}}\n', '{"kind":"other"}\n'):
        (tmp_path / JOURNAL).write_text(text)
        with pytest.raises(ForecastError, match=r"mlflow\.jsonl"):
            resend(tmp_path)


def test_files_of_a_journal_cannot_lie_elsewhere(tmp_path: Path) -> None:
    train(Run(tmp_path, listeners=[MLflowTracker(f"http://127.0.0.1:{closed_port()}")]), 1)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"kind":"files","names":["../secret"]}\n')
    with pytest.raises(InvalidInputError, match="names"):
        resend(tmp_path)


def test_results_of_a_run_nobody_followed_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="followed"):
        MLflowTracker().log_results(Run())


def test_without_mlflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_core.tracking.connection.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"forecast-core\[track\]"):
        MLflowTracker()


def test_a_run_of_the_command_line_is_recorded_with_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from forecast_core.cli.app import run as command

    sample_panel(rows=300).to_frame(backend="pandas").to_csv(tmp_path / "t.csv", index=False)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "series/naive", "--data", str(tmp_path / "t.csv"), "--item-id", "item_id"]
    arguments += ["--horizon", "6", "--metrics", "mae,coverage@0.9", "--track", uri, "--json"]
    assert command(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    score = next(s for s in told["scores"] if s["label"] == "series/naive")["metrics"]
    import mlflow

    (recorded,) = mlflow.MlflowClient(uri).search_runs(
        [e.experiment_id for e in mlflow.MlflowClient(uri).search_experiments()]
    )
    assert recorded.data.metrics["test_mae"] == pytest.approx(score["mae"])
    assert any(value == pytest.approx(score["coverage@0.9"]) for value in recorded.data.metrics.values())
