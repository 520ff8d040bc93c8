"""Calls to an MLflow server or database: bounded in time, quiet, with errors of our own."""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import sqlite3
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forecast_core.errors import ConfigError, ForecastError, InvalidInputError, MissingDependencyError

__all__ = ["Connection", "RegistryError", "without_credentials"]

_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SQLITE = "sqlite:///"
_FROM_SERVER_FAILURE = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
_INSTALL = "pip install 'forecast-core[track]'"

_lock = threading.RLock()  # environment and warning filters belong to the whole process


class RegistryError(ForecastError):
    """A tracking server or model registry cannot be reached, or refuses what it is asked.

    code: MLflow's name of the error where the server answered with one, else None.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code
        super().__init__(message)


class Connection:
    """An MLflow tracking server and model registry at one address.

    uri: `http(s)://host:port`, or a database such as `sqlite:///mlflow.db`, whose path is taken from the
    folder of this moment. timeout: seconds that one request may take. Nothing is contacted before the
    first session. Raises ConfigError for another kind of address, MissingDependencyError without
    mlflow.
    """

    def __init__(self, uri: str, *, timeout: float, argument: str = "uri") -> None:
        scheme = uri.partition(":")[0].partition("+")[0] if isinstance(uri, str) else ""
        if scheme not in _SCHEMES or "://" not in uri:
            rule = f"begins with one of {', '.join(f'{s}://' for s in _SCHEMES)}"
            raise ConfigError(argument, rule, got=repr(uri), hint="such as sqlite:///mlflow.db")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise InvalidInputError("timeout", "is a positive number of seconds", got=repr(timeout))
        if find_spec("mlflow") is None:
            raise MissingDependencyError("mlflow", purpose="tracking runs and models", install=_INSTALL)
        self._database: Path | None = None
        if scheme == "sqlite":
            path = uri.removeprefix(_SQLITE)
            if not uri.startswith(_SQLITE) or path in ("", ":memory:"):
                rule = "names a file, such as sqlite:///mlflow.db"
                raise ConfigError(argument, rule, got=repr(uri))
            self._database = Path(path).absolute()
            uri = f"{_SQLITE}{self._database}"
        self.uri = uri
        self._scheme, self._timeout = scheme, float(timeout)
        self._client: Any = None

    @property
    def shown(self) -> str:
        """The address without credentials."""
        return without_credentials(self.uri)

    @contextmanager
    def session(self, *, timeout: float | None = None, reading: bool = False) -> Iterator[Any]:
        """An `MlflowClient` to call in the block, one thread at a time.

        reading: a database that is not there is not made, and so cannot be reached.
        Within, requests are tried once and take at most `timeout` seconds (default: the connection's),
        and mlflow's own notes, progress bars and deprecation warnings are silent; telemetry is off unless
        MLFLOW_DISABLE_TELEMETRY says otherwise. What mlflow raises becomes a RegistryError.
        """
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before the first import, and to stay
        seconds = math.ceil(self._timeout if timeout is None else timeout)
        with _lock, self._own_errors(), _environment(_bounds(seconds)), _silence():
            if self._client is None:
                self._check_place(make=not reading)
                from mlflow import MlflowClient

                self._client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            yield self._client

    def experiment(self, client: Any, name: str) -> str:
        """Id of an experiment, which is made where there is none of this name.

        Artifacts of an sqlite database lie beside it, in `mlartifacts`; otherwise where the server says.
        """
        found = client.get_experiment_by_name(name)
        if found is None:
            from mlflow.exceptions import MlflowException

            try:
                return str(client.create_experiment(name, artifact_location=self._artifacts(name)))
            except MlflowException:
                found = client.get_experiment_by_name(name)  # somebody else was faster
                if found is None:
                    raise
        return str(found.experiment_id)

    def _artifacts(self, experiment: str) -> str | None:
        if self._database is None:
            return None
        folder = re.sub(r"[^\w.-]", "_", experiment).lstrip(".") or "_"
        return (self._database.parent / "mlartifacts" / folder).as_uri()

    def _check_place(self, *, make: bool) -> None:
        """Fail at once where mlflow would try for minutes: a database that cannot be opened."""
        try:
            if self._database is not None:
                if not make and not self._database.exists():
                    raise FileNotFoundError("there is no such file; registering a model makes it")
                _check_sqlite(self._database, self._timeout)
            elif self._scheme in _PORTS:
                parts = urlsplit(self.uri)
                place = (parts.hostname or "localhost", parts.port or _PORTS[self._scheme])
                socket.create_connection(place, timeout=self._timeout).close()
        except (OSError, sqlite3.Error) as error:
            raise RegistryError(f"{self.shown} cannot be reached: {error}") from error

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        try:
            yield
        except ForecastError:
            raise
        except ImportError as error:  # also a database's driver
            library = error.name or "mlflow"
            install = _INSTALL if library == "mlflow" else f"pip install {library}"
            raise MissingDependencyError(library, purpose=self.shown, install=install) from error
        except Exception as error:
            if not _raised_by_mlflow(error):
                raise
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> RegistryError:
        code = getattr(error, "error_code", None)
        if code is None or code in _FROM_SERVER_FAILURE:
            return RegistryError(f"{self.shown} cannot be reached or fails: {_in_a_line(_first(error))}")
        return RegistryError(f"{self.shown} refuses: {_in_a_line(error)}", code=str(code))


def without_credentials(text: str) -> str:
    """A text with the user and password of every address in it left out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def _first(error: BaseException) -> BaseException:
    """The error that the others came of."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def _in_a_line(error: BaseException) -> str:
    return without_credentials(" ".join(str(error).split()))[:500]


def _raised_by_mlflow(error: Exception) -> bool:
    if isinstance(error, OSError):
        return True
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MlflowException | RequestException | SQLAlchemyError)


def _check_sqlite(path: Path, seconds: float) -> None:
    """OSError or sqlite3.Error unless the file is an sqlite database that can be written, or becomes one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")


def _bounds(seconds: int) -> Mapping[str, str]:
    return {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_UV_AUTO_DETECT": "false",
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _silence() -> Iterator[None]:
    """No notes of mlflow's logger, no warnings about what mlflow itself calls."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\b")
        import mlflow  # which sets up its logging

        logger = logging.getLogger(mlflow.__name__)
        former = logger.level
        logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            logger.setLevel(former)
