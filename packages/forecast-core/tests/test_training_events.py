"""Runs, and the listeners that come with them: history and progress bar."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core import plugins
from forecast_core.errors import InvalidInputError, MissingDependencyError
from forecast_core.run import Run
from forecast_core.training import HistoryWriter, ProgressBar


class Ear:
    """Hears everything."""

    def __init__(self):
        self.heard = []

    def forecast_run_started(self, run):
        self.heard.append(("started", run))

    def forecast_epoch_finished(self, run, epoch, metrics):
        self.heard.append(("epoch", run, epoch, metrics))

    def forecast_run_finished(self, run, result):
        self.heard.append(("finished", run, result))

    def forecast_run_failed(self, run, error):
        self.heard.append(("failed", run, error))


def metrics(epoch, *, total=3, valid=True):
    found = {"train_loss": 1 / epoch, "learning_rate": 0.1, "seconds": 2.0}
    if valid:
        found["valid_loss"] = 2 / epoch
    return {**found, "eta_seconds": 2.0 * (total - epoch), "max_epochs": float(total)}


def tell(run, *epochs, **keywords):
    for epoch in epochs:
        run.emit("forecast_epoch_finished", epoch=epoch, metrics=metrics(epoch, **keywords))


def history(folder):
    rows = json.loads((folder / "history.json").read_text())
    with (folder / "history.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items() if v} for row in table] == rows
    return rows


# runs


def test_a_run_makes_nothing_before_something_is_written(tmp_path):
    run = Run(tmp_path / "new")
    run.emit("forecast_run_started")
    assert (run.id, run.directory) == ("new", tmp_path / "new")
    assert run.checkpoints == tmp_path / "new" / "checkpoints"
    assert not run.resume
    assert not os.listdir(tmp_path)


def test_a_run_without_a_folder_keeps_nothing():
    run = Run()
    assert run.directory is run.checkpoints is None
    assert re.fullmatch(r"run_\d{8}T\d{6}Z", run.id)


def test_created_runs_have_folders_of_their_own(tmp_path):
    runs = [Run.create(tmp_path / "runs", "series/dummy") for _ in range(3)]
    assert len({run.id for run in runs}) == 3
    for run in runs:
        assert run.directory == tmp_path / "runs" / run.id
        assert run.directory.is_dir()
        assert re.fullmatch(r"series_dummy_\d{8}T\d{6}Z(-\d)?", run.id)


@pytest.mark.parametrize("name", ["", "..", "../up", "/root", "a/../b", "a b", "a/", "a\\b", ".hidden"])
def test_names_cannot_lead_elsewhere(name, tmp_path):
    with pytest.raises(InvalidInputError, match="name"):
        Run.create(tmp_path, name)
    assert not os.listdir(tmp_path)


def test_folders_that_cannot_be_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="directory"):
        Run(tmp_path / "file")
    with pytest.raises(InvalidInputError, match="root"):
        Run.create(tmp_path / "file")
    for missing in (None, tmp_path / "absent"):
        with pytest.raises(InvalidInputError, match="resum"):
            Run(missing, resume=True)
    assert Run(tmp_path, resume=True).resume


def test_listeners_hear_every_event_with_its_arguments():
    ear, result, error = Ear(), object(), ValueError()
    run = Run(listeners=[ear])
    run.emit("forecast_run_started")
    run.emit("forecast_epoch_finished", epoch=1, metrics={"train_loss": 1.0})
    run.emit("forecast_run_finished", result=result)
    run.emit("forecast_run_failed", error=error)
    assert ear.heard == [
        ("started", run),
        ("epoch", run, 1, {"train_loss": 1.0}),
        ("finished", run, result),
        ("failed", run, error),
    ]


def test_plugins_hear_too_before_listeners():
    heard = []

    class Plugin:
        @fc.hookimpl
        def forecast_epoch_finished(self, epoch):
            heard.append(("plugin", epoch))

    class Late:
        def forecast_epoch_finished(self, run, epoch, metrics):
            heard.append(("listener", epoch))

    plugins.register_plugin(Plugin(), name="hearsay")
    try:
        tell(Run(listeners=[Late()]), 4)
    finally:
        plugins.unregister_plugin("hearsay")
    assert heard == [("plugin", 4), ("listener", 4)]


def test_a_plugin_that_raises_is_isolated():
    class Plugin:
        @fc.hookimpl
        def forecast_run_started(self):
            raise RuntimeError("broken")

    ear = Ear()
    plugins.register_plugin(Plugin(), name="hearsay")
    try:
        with pytest.warns(plugins.PluginWarning, match="broken"):
            Run(listeners=[ear]).emit("forecast_run_started")
    finally:
        plugins.unregister_plugin("hearsay")
    assert len(ear.heard) == 1


def test_a_listener_that_raises_is_logged_and_the_others_hear(caplog):
    class Bad:
        def forecast_run_started(self, run):
            raise OSError("disk gone")

    class Quitting:
        def forecast_run_started(self, run):
            raise KeyboardInterrupt

    ear = Ear()
    with caplog.at_level(logging.WARNING, "forecast"):
        Run(listeners=[Bad(), ear]).emit("forecast_run_started")
    assert "Bad" in caplog.text
    assert "disk gone" in caplog.text
    assert len(ear.heard) == 1
    with pytest.raises(KeyboardInterrupt):
        Run(listeners=[Quitting()]).emit("forecast_run_started")


def test_misspelt_events_and_listeners_are_refused():
    class Misspelt:
        def forecast_epoch_finish(self, run, epoch, metrics):
            pass

    with pytest.raises(InvalidInputError, match="did you mean 'forecast_epoch_finished'"):
        Run(listeners=[Misspelt()])
    with pytest.raises(InvalidInputError, match="listener 1"):
        Run(listeners=[Ear(), object()])
    with pytest.raises(InvalidInputError, match="hook"):
        Run().emit("forecast_models")


# history


@given(
    killed=st.lists(st.integers(0, 6), max_size=4),
    valid=st.booleans(),
)
@settings(deadline=None, max_examples=30)
def test_history_has_each_epoch_once_however_often_the_run_was_resumed(killed, valid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    reached = 0
    for number, further in enumerate(killed):
        run = Run(folder, resume=number > 0, listeners=[HistoryWriter()])
        # The last epoch told may not have been saved: it is told again.
        tell(run, *range(max(reached, 1), reached + further + 1), total=99, valid=valid)
        reached += further
    run = Run(folder, resume=bool(killed), listeners=[HistoryWriter()])
    tell(run, *range(reached + 1, reached + 3), total=99, valid=valid)
    rows = history(folder)
    assert [row["epoch"] for row in rows] == list(range(1, reached + 3))
    assert all(row["train_loss"] == 1 / row["epoch"] for row in rows)
    names = {"epoch", "train_loss", "learning_rate", "seconds"} | ({"valid_loss"} if valid else set())
    assert all(set(row) == names for row in rows)
    assert sorted(os.listdir(folder)) == ["history.csv", "history.json"]


def test_a_fresh_run_replaces_an_old_history(tmp_path):
    tell(Run(tmp_path, listeners=[HistoryWriter()]), 1, 2, 3)
    tell(Run(tmp_path, listeners=[HistoryWriter()]), 1)
    assert [row["epoch"] for row in history(tmp_path)] == [1]


def test_one_writer_can_serve_several_runs(tmp_path):
    writer = HistoryWriter()
    first, second = (Run(tmp_path / name, listeners=[writer]) for name in ("a", "b"))
    tell(first, 1, 2)
    tell(second, 1)
    assert [len(history(tmp_path / name)) for name in ("a", "b")] == [2, 1]


def test_no_folder_no_history(caplog):
    tell(Run(listeners=[HistoryWriter()]), 1)
    assert not caplog.records


@pytest.mark.parametrize("content", ["{", "[1]", '[{"loss": 1}]', '{"epoch": 1}'])
def test_a_damaged_history_is_reported_and_left_alone_but_by_a_fresh_run(content, tmp_path, caplog):
    (tmp_path / "history.json").write_text(content)
    tell(Run(tmp_path, resume=True, listeners=[HistoryWriter()]), 2)
    assert "is no history of a run" in caplog.text
    assert (tmp_path / "history.json").read_text() == content
    tell(Run(tmp_path, listeners=[HistoryWriter()]), 1)
    assert [row["epoch"] for row in history(tmp_path)] == [1]


# progress


def bar():
    from rich.console import Console

    screen = io.StringIO()
    return ProgressBar(Console(file=screen, force_terminal=True, width=120, color_system=None)), screen


def test_the_bar_shows_epochs_losses_and_time_left():
    progress, screen = bar()
    run = Run(listeners=[progress])
    run.emit("forecast_run_started")
    tell(run, 1, 2, total=4000)
    run.emit("forecast_run_failed", error=KeyboardInterrupt())
    shown = screen.getvalue()
    assert "2/4000" in shown
    assert "train 0.5, validation 1" in shown
    assert "ETA 2:13:16" in shown
    written = len(shown)
    tell(run)
    assert len(screen.getvalue()) == written


def test_the_bar_ends_with_the_last_epoch_and_without_validation(capfd):
    progress, screen = bar()
    tell(Run(listeners=[progress]), 1, 2, 3, valid=False)
    assert "3/3" in screen.getvalue()
    assert "validation" not in screen.getvalue()
    assert "ETA 0:00" in screen.getvalue()
    assert screen.getvalue().endswith("\n\x1b[?25h")  # the cursor is given back
    assert not any(capfd.readouterr())


def test_the_bar_keeps_standard_output_clean(capfd):
    run = Run(listeners=[ProgressBar()])
    run.emit("forecast_run_started")
    tell(run, 1)
    run.emit("forecast_run_finished", result=None)
    out, err = capfd.readouterr()
    assert not out
    assert "1/3" in err


def test_without_rich_the_bar_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "forecast_core.training.progress.find_spec", lambda name: None if name == "rich" else find(name)
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[cli\]'"):
        ProgressBar()


def test_parts_of_a_run_have_folders_of_their_own_and_stop_together(tmp_path: Path) -> None:
    heard = []

    class Listener:
        def forecast_run_started(self, run: Run) -> None:
            heard.append(run.id)

    whole = Run(tmp_path / "run", listeners=[Listener()])
    one, two = whole.child("member-0"), whole.child("member-1")
    one.emit("forecast_run_started")
    assert heard == ["member-0"]
    assert one.directory == tmp_path / "run" / "member-0"
    assert not one.resume
    assert Run().child("part").directory is None
    one.stop()
    assert whole.stopped
    assert two.stopped
