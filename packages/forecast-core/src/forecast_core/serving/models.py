"""The models of a server: several by name, each replaced as a whole when its source has a new version."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from forecast_core import registry
from forecast_core.errors import CapabilityError, ConfigError, ForecastError, PluginError, near_misses
from forecast_core.predictor import ModelInfo, Predictor
from forecast_core.serving.joining import Joiner
from forecast_core.serving.problems import ServingError
from forecast_core.serving.sources import ModelSource, check_name

__all__ = ["Loaded", "ModelPool", "ServedModel", "UnknownModelError"]

_log = logging.getLogger("forecast")

_LONGEST_PAUSE = 60.0


class UnknownModelError(ServingError, LookupError):
    """No model is served under this name."""

    status = 404


@dataclass(frozen=True, eq=False)
class Loaded:
    """One version of a model. joiner: how several requests become one call of it."""

    name: str
    version: str
    predictor: Predictor[Any]
    joiner: Joiner

    @property
    def info(self) -> ModelInfo:
        """What is known of the model."""
        return self.predictor.info


class ServedModel:
    """A name, its source, and the version that answers now.

    A version that cannot be loaded leaves the former one serving; `failure` tells of it until a version
    loads. Raises CapabilityError for a model whose task describes no request.
    """

    def __init__(self, name: str, source: ModelSource) -> None:
        self.name, self._source = check_name(name), source
        self.current = self._load()
        self.failure: str | None = None
        self._pause, self._next_try = 0.0, 0.0
        self.task = self.current.predictor.task
        self.request = _request_class(self.current)

    def _load(self) -> Loaded:
        version, predictor = self._source.load()
        return Loaded(self.name, version, predictor, Joiner(predictor))

    def refresh(self) -> bool:
        """Load what the source has now, if it is another version; whether that took the old one's place.

        After a failure, tries grow apart up to a minute.
        """
        if time.monotonic() < self._next_try:
            return False
        try:
            if self._source.version() == self.current.version:
                self.failure, self._pause = None, 0.0
                return False
            fresh = self._load()
            if fresh.predictor.task.id != self.task.id:
                raise ConfigError("task", f"stays {self.task.id!r}", got=repr(fresh.predictor.task.id))
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            self._pause = min(max(1.0, 2.0 * self._pause), _LONGEST_PAUSE)
            self._next_try = time.monotonic() + self._pause
            _log.warning(
                "%s: version %s stays, the new one cannot be loaded: %s",
                self.name,
                self.current.version,
                self.failure,
            )
            return False
        _log.info("%s: version %s takes the place of %s", self.name, fresh.version, self.current.version)
        self.current, self.failure, self._pause = fresh, None, 0.0
        return True

    def describe(self) -> dict[str, Any]:
        """Name, version, model and task, and what became of the last attempt to replace it."""
        info = self.current.info
        return {
            "name": self.name,
            "version": self.current.version,
            "ready": True,
            "model": info.id,
            "task": info.task,
            "reach": self.current.predictor.reach(),
            "trained_on": info.trained_on,
            "seen_until": info.seen_until,
            "reload_error": self.failure,
        }


class ModelPool:
    """All models of a server. Raises ConfigError without any; what a source raises names its model."""

    def __init__(self, sources: Mapping[str, ModelSource]) -> None:
        if not sources:
            raise ConfigError("models", "are at least one")
        self._models = {name: ServedModel(name, source) for name, source in sources.items()}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def get(self, name: str) -> ServedModel:
        """The model of a name; UnknownModelError with near misses otherwise."""
        if name not in self._models:
            raise UnknownModelError(f"no model {name[:100]!r}; {near_misses(name[:100], self._models)}")
        return self._models[name]

    def refresh(self) -> list[ServedModel]:
        """Bring every model up to date with its source; those that were replaced."""
        return [model for model in self if model.refresh()]


def _request_class(loaded: Loaded) -> type[BaseModel]:
    task = loaded.predictor.task
    if task.request is None:
        raise CapabilityError(
            f"{loaded.name}: task {task.id!r} describes no request, so its models cannot be served"
        )
    try:
        found = registry.load_object(task.request, owner=task.id)
    except ForecastError as error:
        raise PluginError(f"{loaded.name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseModel) and hasattr(found, "to_data")):
        raise PluginError(f"{task.request!r} of task {task.id!r} is no pydantic model with to_data(info)")
    return found
