"""Sending what a journal holds to MLflow, as often as needed, with the same result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from forecast_core.errors import InvalidInputError
from forecast_core.tracking.connection import Connection, without_credentials
from forecast_core.tracking.journal import JOURNAL, Event, Files, Metrics, Section, Status, read_journal

__all__ = ["RUN_KEY", "Resent", "deliver", "log_params", "resend"]

RUN_KEY = "forecast.run_key"

_PAIRS, _METRICS = 100, 1000  # what MLflow takes in one batch
_UPLOAD_SECONDS = 60.0


class Resent(BaseModel):
    """What `resend` did with one run: its journal, MLflow's id of it, and how many events were new to it."""

    model_config = ConfigDict(frozen=True)

    journal: str
    run: str
    run_id: str
    events: int


def resend(
    path: str | PathLike[str], *, tracking_uri: str | None = None, timeout: float = 30.0
) -> tuple[Resent, ...]:
    """Deliver what a server has missed: of a journal, a run's folder, or all runs in a folder.

    Doing it again, or after a part was delivered, adds nothing twice: a run is found by its key, and a
    number of an epoch is known by its time. tracking_uri: another address than the one in the journal;
    needed where that one holds credentials, which are not written down. Files go as they are now.
    Raises InvalidInputError where there is no journal, RegistryError where the server is down; what was
    delivered until then stays noted.
    """
    place = Path(path)
    journals = [place] if place.is_file() else sorted(place.rglob(f"*{JOURNAL}"))
    if not journals:
        raise InvalidInputError("path", f"holds journals of runs ({JOURNAL})", got=str(path))
    connections: dict[str, Connection] = {}
    done = []
    for section in (section for journal in journals for section in read_journal(journal)):
        uri = tracking_uri if tracking_uri is not None else section.began.uri
        argument = "tracking_uri" if tracking_uri is not None else "journal.uri"
        if uri not in connections:
            connections[uri] = Connection(uri, timeout=timeout, argument=argument)
        section.aim(without_credentials(connections[uri].uri))
        events = len(section.pending)
        if not section.delivered:
            deliver(section, connections[uri])
        done.append(
            Resent(journal=str(section.path), run=section.began.name, run_id=section.run_id, events=events)
        )
    return tuple(done)


def deliver(section: Section, connection: Connection) -> None:
    """Send the pending events in order, and note after each batch how far it went.

    Raises RegistryError at the first batch that does not arrive.
    """
    with connection.session() as client:
        run_id = _known_run(client, section, connection)
        section.mark(run_id, section.sent)
        for batch in _batches(section.pending):
            _send(client, connection, run_id, batch, folder=section.path.parent)
            section.mark(run_id, section.sent + len(batch))


def _known_run(client: Any, section: Section, connection: Connection) -> str:
    """MLflow's id of the run, which is made on the server unless it is there already."""
    if section.run_id:
        return section.run_id
    began = section.began
    experiment = connection.experiment(client, began.experiment)
    found = client.search_runs([experiment], f"tags.`{RUN_KEY}` = '{began.key}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
    else:
        tags = {**began.tags, RUN_KEY: began.key}
        made = client.create_run(experiment, start_time=began.time, run_name=began.name, tags=tags)
        run_id = str(made.info.run_id)
    log_params(client, run_id, began.params)
    return run_id


def log_params(client: Any, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters of a run, as many at a time as MLflow takes."""
    from mlflow.entities import Param

    pairs = [Param(name, value) for name, value in params.items()]
    for first in range(0, len(pairs), _PAIRS):
        client.log_batch(run_id, params=pairs[first : first + _PAIRS])


def _batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Neighbouring events that go in one request: metrics together, up to a number, others alone."""
    for together, neighbours in groupby(events, key=lambda event: isinstance(event, Metrics)):
        batch: list[Event] = []
        size = 0
        for event in neighbours:
            more = len(event.values) if isinstance(event, Metrics) else 1
            if batch and (not together or size + more > _METRICS):
                yield batch
                batch, size = [], 0
            batch.append(event)
            size += more
        yield batch


def _send(client: Any, connection: Connection, run_id: str, batch: Sequence[Event], *, folder: Path) -> None:
    metrics = [event for event in batch if isinstance(event, Metrics)]
    if metrics:
        from mlflow.entities import Metric

        rows = [Metric(k, v, event.time, event.step) for event in metrics for k, v in event.values.items()]
        for first in range(0, len(rows), _METRICS):
            client.log_batch(run_id, metrics=rows[first : first + _METRICS])
    for event in batch:
        if isinstance(event, Status):
            _send_status(client, run_id, event)
        elif isinstance(event, Files):
            with connection.session(timeout=_UPLOAD_SECONDS):
                _send_files(client, run_id, [folder / name for name in event.names])


def _send_status(client: Any, run_id: str, event: Status) -> None:
    if event.tags:
        from mlflow.entities import RunTag

        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in event.tags.items()])
    if event.status == "RUNNING":
        client.update_run(run_id, status=event.status)
    else:
        client.set_terminated(run_id, event.status, end_time=event.time)


def _send_files(client: Any, run_id: str, paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), artifact_path=path.name)
        elif path.is_file():
            client.log_artifact(run_id, str(path))
