"""A training run: the folder it keeps, and the events that plugins and listeners hear of."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from forecast_core import plugins
from forecast_core.errors import InvalidInputError, near_misses

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["Run"]

_log = logging.getLogger("forecast")

_HOOKS = (
    "forecast_run_started",
    "forecast_epoch_finished",
    "forecast_run_finished",
    "forecast_run_failed",
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")


class Run:
    """Where checkpoints and history of a fit go, and who is told about it.

    directory: folder of the run, made when something is first written to it; None: nothing is written.
    resume: go on from the folder's last checkpoint, if it has one; otherwise a fit starts afresh and its
    checkpoints replace those in the folder. listeners: objects with methods named like the run's hooks
    (`forecast_run_started(run)`, `forecast_epoch_finished(run, epoch, metrics)`,
    `forecast_run_finished(run, result)`, `forecast_run_failed(run, error)`), called with keywords, for this
    run only. `info`: what is being fitted, its configuration, seed and data, told by `Predictor.fit` before
    the run starts; None until then. `selection`: digest of the windows fitted on and validated on, None where
    data is given whole. Raises InvalidInputError for a directory that is a file, resuming without
    a folder, or a listener that has no such method or a misspelt one.
    """

    def __init__(
        self,
        directory: str | PathLike[str] | None = None,
        *,
        resume: bool = False,
        listeners: Iterable[object] = (),
    ) -> None:
        self._directory = None if directory is None else Path(directory)
        if self._directory is not None and self._directory.exists() and not self._directory.is_dir():
            raise InvalidInputError("directory", "is a folder or does not exist yet", got=str(directory))
        if resume and (self._directory is None or not self._directory.is_dir()):
            raise InvalidInputError(
                "directory", "is the folder of an earlier run when resuming", got=repr(str(directory))
            )
        self._resume = resume
        self._stopped = False
        self._parent: Run | None = None
        self._listeners = tuple(listeners)
        for position, listener in enumerate(self._listeners):
            _check_listener(listener, position)
        self._id = f"run_{_now()}" if self._directory is None else self._directory.resolve().name
        self.info: ModelInfo | None = None
        self.selection: str | None = None

    @classmethod
    def create(
        cls,
        root: str | PathLike[str] = "runs",
        name: str = "run",
        *,
        listeners: Iterable[object] = (),
    ) -> Self:
        """A run in a new folder `root/<name with / as _>_<UTC time>`, made at once.

        name: usually the model's id. Two runs of one second get folders of their own. Raises
        InvalidInputError for a name with other characters than letters, digits and `_ . - /`.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                "name", "is like a model id: letters, digits, _ . - and /", got=repr(name)
            )
        stem = f"{name.replace('/', '_')}_{_now()}"
        directory, attempt = Path(root) / stem, 1
        while True:
            try:
                directory.mkdir(parents=True)
            except (FileExistsError, NotADirectoryError) as error:
                if not Path(root).is_dir():
                    raise InvalidInputError(
                        "root", "is a folder or does not exist yet", got=str(root)
                    ) from error
                attempt += 1
                directory = Path(root) / f"{stem}-{attempt}"
            else:
                return cls(directory, listeners=listeners)

    def child(self, name: str) -> Run:
        """The run of a part of this one, such as a member of an ensemble, in a folder of its own within this
        run's; it tells the same listeners, resumes where this one does and the part had begun, and stopping
        either stops both.
        """
        if self._directory is None:
            part = type(self)(listeners=self._listeners)
        else:
            directory = self._directory / name
            part = type(self)(
                directory, resume=self._resume and directory.is_dir(), listeners=self._listeners
            )
        part._parent, part.info, part.selection = self, self.info, self.selection
        return part

    @property
    def id(self) -> str:
        """Name of the folder; of a run without one, `run_<UTC time>`."""
        return self._id

    @property
    def directory(self) -> Path | None:
        """Folder of the run; None where nothing is kept."""
        return self._directory

    @property
    def checkpoints(self) -> Path | None:
        """Folder of checkpoints; None where none are kept."""
        return None if self._directory is None else self._directory / "checkpoints"

    @property
    def resume(self) -> bool:
        """Whether to go on from the last checkpoint."""
        return self._resume

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the fit to end; models that train by epochs look after each."""
        return self._stopped or (self._parent is not None and self._parent.stopped)

    def stop(self) -> None:
        """Ask the fit to end after the present epoch, as early stopping would; a new fit starts afresh.

        For listeners: what they raise cannot end a fit.
        """
        self._stopped = True
        if self._parent is not None:
            self._parent.stop()

    def emit(self, hook: str, **arguments: Any) -> None:
        """Tell all plugins, then this run's listeners; `run` is added to the arguments.

        What a listener raises becomes a logged warning, what a plugin raises is handled as everywhere
        (`forecast_core.plugins`), and the run goes on. Raises InvalidInputError for an unknown hook.
        """
        if hook not in _HOOKS:
            raise InvalidInputError(
                "hook", "is an event of a run", got=repr(hook), hint=near_misses(hook, _HOOKS)
            )
        if hook == "forecast_run_started":
            self._stopped = False
        plugins.call_isolated(hook, run=self, **arguments)
        for listener in self._listeners:
            method = getattr(listener, hook, None)
            if method is None:
                continue
            try:
                method(run=self, **arguments)
            except Exception as error:
                _log.warning(
                    "listener %s of run %s failed at %s: %s: %s",
                    type(listener).__name__,
                    self.id,
                    hook,
                    type(error).__name__,
                    error,
                    exc_info=error,
                )

    def __repr__(self) -> str:
        return f"Run({None if self._directory is None else str(self._directory)!r}, resume={self._resume})"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def _check_listener(listener: object, position: int) -> None:
    methods = [name for name in dir(listener) if name.startswith("forecast_")]
    place = f"listener {position} ({type(listener).__name__})"
    if not methods:
        raise InvalidInputError(
            "listeners", "have a method of a run's events", place=place, hint=near_misses("", _HOOKS)
        )
    for name in methods:
        if name not in _HOOKS:
            raise InvalidInputError(
                "listeners",
                "have methods of a run's events only",
                place=place,
                got=name,
                hint=near_misses(name, _HOOKS),
            )
