"""What happened in a run, written down before it is sent, so that no server is needed to keep it.

A journal is a file of JSON lines: one that says which run began, then its events in order, and between
them notes of how many have been delivered. A run that is trained anew in the same folder begins a new
section of the same file.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from forecast_core.errors import InvalidInputError
from forecast_core.validation import typed_error

__all__ = ["JOURNAL", "Began", "Event", "Files", "Metrics", "Section", "Sent", "Status", "read_journal"]

JOURNAL = "mlflow.jsonl"

_log = logging.getLogger("forecast")


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Began(_Line):
    """A run began. key: by which it is found again on the server; uri: of the server; time: ms of Unix."""

    kind: Literal["began"] = "began"
    key: str = Field(pattern=r"^[0-9a-f]{32}$")
    uri: str
    experiment: str
    name: str
    time: int
    params: dict[str, str]
    tags: dict[str, str]


class Metrics(_Line):
    """Numbers of an epoch, or of the finished model; not a number and infinity included."""

    kind: Literal["metrics"] = "metrics"
    time: int
    step: int
    values: dict[str, float]


class Status(_Line):
    """How the run stands, with tags that come of it, such as the text of an error."""

    kind: Literal["status"] = "status"
    time: int
    status: Literal["RUNNING", "FINISHED", "FAILED"]
    tags: dict[str, str] = {}


class Files(_Line):
    """Files and folders beside the journal that belong to the run."""

    kind: Literal["files"] = "files"
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")], ...]


class Sent(_Line):
    """The first `events` events have reached the run `run_id` of the server at `uri`."""

    kind: Literal["sent"] = "sent"
    uri: str
    run_id: str
    events: int = Field(ge=0)


Event = Metrics | Status | Files
_LINE: TypeAdapter[Began | Event | Sent] = TypeAdapter(
    Annotated[Began | Metrics | Status | Files | Sent, Field(discriminator="kind")]
)


class Section:
    """A run's part of a journal: how it began, its events, and how many of them were delivered.

    path: the journal. kept: whether lines are written as they come; otherwise they are held in memory
    until `keep` is called. A disk that refuses is reported once in the log, and the run goes on.
    """

    def __init__(self, path: Path, began: Began, *, kept: bool) -> None:
        self.path, self.began, self.kept = path, began, kept
        self.events: list[Event] = []
        self.uri, self.run_id, self.sent = began.uri, "", 0
        self._refused = False
        if kept:
            self._write(began)

    @property
    def pending(self) -> list[Event]:
        """Events that the server has not got."""
        return self.events[self.sent :]

    @property
    def delivered(self) -> bool:
        """Whether the server knows the run and all its events."""
        return bool(self.run_id) and not self.pending

    def add(self, event: Event) -> None:
        """Note an event."""
        self.events.append(event)
        if self.kept:
            self._write(event)

    def aim(self, uri: str) -> None:
        """Deliver to this server from now on; what another one has says nothing about it."""
        if uri != self.uri:
            self.uri, self.run_id, self.sent = uri, "", 0

    def mark(self, run_id: str, events: int) -> None:
        """Note that the first `events` events are delivered."""
        if (run_id, events) == (self.run_id, self.sent):
            return
        self.run_id, self.sent = run_id, events
        if self.kept:
            self._write(Sent(uri=self.uri, run_id=run_id, events=events))

    def keep(self) -> None:
        """Write down everything so far, and from now on every line as it comes."""
        if not self.kept:
            self.kept = True
            noted = [Sent(uri=self.uri, run_id=self.run_id, events=self.sent)] if self.run_id else []
            self._write(self.began, *self.events, *noted)

    def _write(self, *lines: Began | Event | Sent) -> None:
        text = "".join(line.model_dump_json() + "\n" for line in lines).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() and not _ends_a_line(file):
                    text = b"\n" + text  # after a line that was cut off
                file.write(text)
        except OSError as error:
            self.kept = False
            if not self._refused:
                _log.warning("%s cannot be written (%s); it is kept in memory only", self.path, error)
            self._refused = True

    def take(self, line: Event | Sent) -> None:
        """Take over a line that was read."""
        if not isinstance(line, Sent):
            self.events.append(line)
        else:
            self.uri, self.run_id = line.uri, line.run_id
            self.sent = min(line.events, len(self.events))


def _ends_a_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read_journal(path: Path) -> list[Section]:
    """The sections of a journal, in order; lines that were cut off by a kill are left out.

    Raises InvalidInputError naming the line for a file that is no journal.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InvalidInputError("path", f"is readable ({error.strerror or error})", got=str(path)) from error
    sections: list[Section] = []
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            line = _LINE.validate_json(raw)
        except ValidationError as error:
            if error.errors()[0]["type"] == "json_invalid":  # cut off
                continue
            raise typed_error(f"{path}, line {number}", error) from error
        if isinstance(line, Began):
            section = Section(path, line, kept=False)
            section.kept = True
            sections.append(section)
        elif sections:
            sections[-1].take(line)
        else:
            raise InvalidInputError("path", "begins with the start of a run", place=f"{path}, line {number}")
    if not sections:
        raise InvalidInputError("path", "is a journal of runs", got=str(path))
    return sections
