"""Where a study is kept, that it is the same study when it goes on, and that only one process runs it."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from forecast_core.errors import ConfigError, InvalidInputError
from forecast_core.tuning.failures import TuningError

__all__ = ["open_study", "owned", "quiet", "storage_failures"]

_SETTINGS = "forecast"
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds


def open_study(
    storage: str | BaseStorage | None,
    *,
    name: str,
    maximize: bool,
    settings: Mapping[str, Any],
    sampler: BaseSampler,
    pruner: BasePruner,
) -> optuna.Study:
    """The study of this name, made where there is none yet.

    storage: URL such as "sqlite:///tuning.db", a storage of Optuna, or None for memory. settings: what
    trials must share to be compared, JSON values. Raises ConfigError for a storage that cannot be opened, or
    naming the setting in which an earlier study of this name differs.
    """
    if isinstance(storage, str) and "://" not in storage:
        raise ConfigError("storage", "is a URL", got=repr(storage), hint=f"use 'sqlite:///{storage}'")
    try:
        study = _made_or_found(
            storage=storage,
            study_name=name,
            direction="maximize" if maximize else "minimize",
            sampler=sampler,
            pruner=pruner,
        )
        earlier = study.user_attrs.get(_SETTINGS)
        trials = study.get_trials(deepcopy=False)
    except (SQLAlchemyError, StorageInternalError, ImportError, RuntimeError, ValueError, OSError) as error:
        cause = error.__cause__ or error
        reason = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ConfigError(
            "storage", f"can be opened ({reason})", got=repr(storage), hint="such as 'sqlite:///tuning.db'"
        ) from error
    settings = json.loads(json.dumps(settings))
    if earlier is None:
        if trials:
            raise ConfigError(
                "study_name", "names a study of tune()", got=repr(name), hint="give another name"
            )
        study.set_user_attr(_SETTINGS, settings)
        return study
    for key in {**settings, **earlier}:
        if earlier.get(key) != settings.get(key):
            raise ConfigError(
                "study_name",
                f"goes on with the {key} it began with",
                place=repr(name),
                got=f"{_short(settings.get(key))} instead of {_short(earlier.get(key))}",
                hint="give another study_name for another study",
            )
    return study


@contextmanager
def owned(study: optuna.Study, storage: str | BaseStorage | None) -> Iterator[None]:
    """While this process runs the study, no other process of this machine may.

    Held by a lock of the operating system on a file beside an SQLite database, which goes with the process
    however it ends. Raises InvalidInputError where another process holds it. Other storages have no lock.
    """
    path = _sqlite_path(storage)
    if path is None or sys.platform == "win32":
        yield
        return
    import fcntl

    with open(f"{path}.lock", "ab") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, study._study_id)
        except OSError as error:
            raise InvalidInputError(
                "study_name",
                "is not being tuned by another process",
                got=repr(study.study_name),
                hint="wait for it, or give another study_name",
            ) from error
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna's log goes to the logger "forecast.tuning", and not to the terminal."""
    theirs, ours = logging.getLogger("optuna"), _Forward()
    handlers, level = list(theirs.handlers), theirs.level
    theirs.handlers[:] = [ours]
    theirs.setLevel(logging.WARNING)
    try:
        yield
    finally:
        theirs.handlers[:] = handlers
        theirs.setLevel(level)


@contextmanager
def storage_failures() -> Iterator[None]:
    """What the database says while a study runs (disk full, gone away) as a TuningError."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        raise TuningError(
            f"the study's storage failed: {' '.join(str(cause).split())}; finished trials are kept: "
            "mend it and tune again to go on"
        ) from error


def _made_or_found(**options: Any) -> optuna.Study:
    """optuna.create_study, again where another process was making the tables of a new database meanwhile."""
    for seconds in _WAITS:
        try:
            return optuna.create_study(**options, load_if_exists=True)
        except (IntegrityError, OperationalError, StorageInternalError):
            time.sleep(seconds)
    return optuna.create_study(**options, load_if_exists=True)


class _Forward(logging.Handler):
    """Hands records on to our logger."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger("forecast.tuning")
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def _sqlite_path(storage: str | BaseStorage | None) -> str | None:
    url = storage if isinstance(storage, str) else getattr(storage, "url", None)
    if not isinstance(url, str):
        return None
    parsed = make_url(url)
    database = parsed.database
    if parsed.get_backend_name() != "sqlite" or not database or database.startswith((":memory:", "file:")):
        return None
    return database


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
