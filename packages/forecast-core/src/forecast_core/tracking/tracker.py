"""`MLflowTracker`: runs in MLflow, as a listener of one run or as a plugin that hears all of them."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from forecast_core.errors import ForecastError, InvalidInputError
from forecast_core.hookspecs import hookimpl
from forecast_core.run import Run
from forecast_core.tracking.connection import Connection, without_credentials
from forecast_core.tracking.delivery import deliver
from forecast_core.tracking.journal import (
    JOURNAL,
    Began,
    Event,
    Files,
    Metrics,
    Section,
    Status,
    read_journal,
)
from forecast_core.tracking.provenance import metric_name, model_params, model_tags

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["MLflowTracker"]

_log = logging.getLogger("forecast")

_PASSING = ("eta_seconds", "max_epochs")  # told with every epoch, but nothing about it
_RECORDS = ("run.json", "history.csv", "history.json")
_RESULTS = (*_RECORDS, "metrics.json", "report.html", "plots", "model")
_LONGEST_ERROR = 4000


class MLflowTracker:
    """Follows runs in MLflow: options, seed, data hash, commit, versions, metrics by epoch, files.

    Give it to one run, `Run(folder, listeners=[MLflowTracker()])`, or to all of them,
    `register_plugin(MLflowTracker(), name="mlflow")`. tracking_uri: a server, or a database such as
    "sqlite:///mlflow.db" (made where there is none). artifacts: whether files of the run's folder go
    along. tags: more tags of every run. timeout: seconds a request may take; pause: seconds after a
    failed one before the next is tried, so that a dead server costs an epoch at most one `timeout` now
    and then. spool: folder of journals of runs that have no folder of their own.

    Everything is written to the journal `mlflow.jsonl` in the run's folder before it is sent. Where
    sending fails, training goes on, the log says so once, and later events or `resend(folder)` deliver
    what is missing, nothing twice. Raises InvalidInputError for an address that is none,
    MissingDependencyError without mlflow; the server is first contacted when a run starts.
    """

    def __init__(
        self,
        tracking_uri: str = "sqlite:///mlflow.db",
        *,
        experiment: str = "forecast",
        artifacts: bool = True,
        tags: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        pause: float = 30.0,
        spool: str | PathLike[str] = "mlflow-spool",
    ) -> None:
        if not isinstance(experiment, str) or not experiment.strip():
            raise InvalidInputError("experiment", "is a name", got=repr(experiment))
        self._connection = Connection(tracking_uri, timeout=timeout, argument="tracking_uri")
        self._experiment, self._artifacts = experiment, artifacts
        self._tags = {str(name): str(value) for name, value in (tags or {}).items()}
        self._pause, self._spool = pause, Path(spool).absolute()
        self._followed: WeakKeyDictionary[Run, _Followed] = WeakKeyDictionary()

    # events

    @hookimpl
    def forecast_run_started(self, run: Run) -> None:
        """Begin a run in MLflow, or go on with the one that is resumed."""
        if os.environ.get("RANK", "0") != "0":  # of several processes of one run, the first tells
            return
        followed = self._followed.get(run)
        if followed is not None and followed.open:  # heard as a plugin and as a listener
            return
        followed = _Followed(self._resumed(run) or self._begun(run))
        self._followed[run] = followed
        self._deliver(followed)

    @hookimpl
    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the epoch's numbers; its step is the epoch."""
        followed = self._followed.get(run)
        if followed is None or not followed.open or epoch in followed.epochs:
            return
        followed.epochs.add(epoch)
        values = {name: value for name, value in metrics.items() if name not in _PASSING}
        self._note(followed, _numbers(values, step=epoch))

    @hookimpl
    def forecast_run_finished(self, run: Run, result: ModelInfo) -> None:
        """Log how long it took and the run's files, and close it."""
        events: list[Event] = []
        if result.fit_seconds is not None:
            events.append(_numbers({"fit_seconds": result.fit_seconds}, step=0))
        self._close(run, *events, Status(time=_now(), status="FINISHED"))

    @hookimpl
    def forecast_run_failed(self, run: Run, error: BaseException) -> None:
        """Close the run as failed, with the error's text."""
        text = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        self._close(run, Status(time=_now(), status="FAILED", tags={"forecast.error": text}))

    # results

    def log_results(self, run: Run, *, metrics: Mapping[str, float] | None = None) -> None:
        """Add what came after fitting: metrics of the test part, and the folder's model, scores, plots.

        Call it when the folder is complete; again, it replaces the files. Raises InvalidInputError for a
        run that this tracker has not followed.
        """
        followed = self._followed.get(run)
        if followed is None:
            raise InvalidInputError("run", "was followed by this tracker", got=repr(run))
        events: list[Event] = []
        if metrics:
            events.append(_numbers(metrics, step=0))
        self._note(followed, *events, *self._files(run, _RESULTS), at_once=True)

    def run_id(self, run: Run) -> str | None:
        """MLflow's id of a run; None where the server does not know it yet, or it was not followed."""
        followed = self._followed.get(run)
        return (followed.section.run_id or None) if followed is not None else None

    # keeping and sending

    def _begun(self, run: Run) -> Section:
        key = uuid.uuid4().hex
        info = run.info
        began = Began(
            key=key,
            uri=without_credentials(self._connection.uri),
            experiment=self._experiment,
            name=run.id,
            time=_now(),
            params={} if info is None else model_params(info),
            tags={**({} if info is None else model_tags(info)), "forecast.run": run.id, **self._tags},
        )
        if run.directory is not None:
            return Section(run.directory.absolute() / JOURNAL, began, kept=True)
        return Section(self._spool / f"{run.id}-{key[:8]}.{JOURNAL}", began, kept=False)

    def _resumed(self, run: Run) -> Section | None:
        """The last section of an earlier attempt's journal, going on; None where there is none of it."""
        if not run.resume or run.directory is None or not (run.directory / JOURNAL).is_file():
            return None
        try:
            section = read_journal(run.directory.absolute() / JOURNAL)[-1]
        except InvalidInputError as error:
            _log.warning("run %s begins a new run in MLflow: %s", run.id, error)
            return None
        section.aim(without_credentials(self._connection.uri))
        section.add(Status(time=_now(), status="RUNNING"))
        return section

    def _close(self, run: Run, *events: Event) -> None:
        followed = self._followed.get(run)
        if followed is not None and followed.open:
            followed.open = False
            self._note(followed, *events, *self._files(run, _RECORDS), at_once=True)

    def _files(self, run: Run, names: tuple[str, ...]) -> list[Event]:
        if not self._artifacts or run.directory is None:
            return []
        there = tuple(name for name in names if (run.directory / name).exists())
        return [Files(names=there)] if there else []

    def _note(self, followed: _Followed, *events: Event, at_once: bool = False) -> None:
        for event in events:
            followed.section.add(event)
        if at_once or time.monotonic() >= followed.next_try:
            self._deliver(followed)

    def _deliver(self, followed: _Followed) -> None:
        section = followed.section
        try:
            deliver(section, self._connection)
        except ForecastError as error:
            followed.next_try = time.monotonic() + self._pause
            section.keep()
            if not followed.warned:
                followed.warned = True
                _log.warning(
                    "run %s goes on, but is not tracked for now: %s; what is missing is kept and sent later, "
                    "or by: forecast registry resend %s",
                    section.began.name,
                    error,
                    section.path,
                )


class _Followed:
    """A run being followed: its part of the journal, and when sending may be tried again."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.open, self.warned, self.next_try = True, False, 0.0
        self.epochs = {event.step for event in section.events if isinstance(event, Metrics)}


def _numbers(values: Mapping[str, float], *, step: int) -> Metrics:
    return Metrics(time=_now(), step=step, values={metric_name(k): float(v) for k, v in values.items()})


def _now() -> int:
    return time.time_ns() // 1_000_000
