"""Where a served model comes from: something that has versions and can be loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from forecast_core.artifacts.layout import DIGEST
from forecast_core.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from forecast_core.predictor import Predictor

__all__ = ["DirectorySource", "ModelSource", "Registry", "RegistrySource", "check_name", "source_of"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_REGISTERED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)@(candidate|champion|archived)")
_ATTEMPTS = 5


class ModelSource(Protocol):
    """A model that may be replaced while it is served: a folder, or the champion of a registry.

    Both methods run in a thread of their own. They raise a ForecastError where there is nothing to load.
    """

    def version(self) -> str:
        """Short text that changes when, and only when, `load` would give another model. Cheap."""
        ...

    def load(self) -> tuple[str, Predictor[Any]]:
        """A version and its model, verified."""
        ...


class DirectorySource:
    """The artifact in a folder, whichever lies there now; its version is the start of the manifest's hash.

    device: as of `load_model`.
    """

    def __init__(self, path: str | PathLike[str], *, device: str | None = None) -> None:
        self._path, self._device = Path(path), device

    def version(self) -> str:
        """First 12 digits of the SHA-256 of the manifest; ArtifactError where there is none."""
        try:
            with (self._path / DIGEST).open("rb") as file:
                digest = file.read(65).decode("ascii")
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self._path}: not a forecast artifact: {error}") from error
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ArtifactError(f"{self._path}: {DIGEST} holds no SHA-256")
        return digest[:12]

    def load(self) -> tuple[str, Predictor[Any]]:
        """The version and the model that lie in the folder; errors as `load_model` raises them."""
        from forecast_core.registry import load_model

        before = self.version()
        for _ in range(_ATTEMPTS):
            model = load_model(self._path, device=self._device)
            after = self.version()
            if after == before:  # nobody replaced the folder meanwhile
                return before, model
            before = after
        raise ArtifactError(f"{self._path}: is being replaced all the time")

    def __repr__(self) -> str:
        return f"DirectorySource({str(self._path)!r})"


class Registry(Protocol):
    """What a `RegistrySource` asks of a registry; `forecast_core.tracking.ModelRegistry` is one."""

    def get(self, name: str, *, alias: Any = None) -> Any:
        """What is known of the version with an alias; its `version` is a number."""
        ...

    def load(self, name: str, *, version: int | None = None, device: str | None = None) -> Predictor[Any]:
        """The predictor of a version, computing on a device."""
        ...


class RegistrySource:
    """The version of a registered model that has an alias now, such as the champion.

    device: as of `load_model`.
    """

    def __init__(
        self, registry: Registry, name: str, *, alias: str = "champion", device: str | None = None
    ) -> None:
        self._registry, self._name, self._alias, self._device = registry, name, alias, device

    def version(self) -> str:
        """Number of the version with the alias; errors as the registry raises them."""
        return str(self._registry.get(self._name, alias=self._alias).version)

    def load(self) -> tuple[str, Predictor[Any]]:
        """That number and its model, whatever is promoted meanwhile."""
        version = self.version()
        return version, self._registry.load(self._name, version=int(version), device=self._device)

    def __repr__(self) -> str:
        return f"RegistrySource({self._name!r}, alias={self._alias!r})"


def check_name(name: str) -> str:
    """The name, if a model can be served under it; ConfigError otherwise."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "name of a model", "has letters, digits and _ . - only", got=repr(name), hint="give NAME=FOLDER"
        )
    return name


def source_of(
    text: str, registry: Callable[[], Registry] | None = None, *, device: str | None = None
) -> tuple[str, ModelSource]:
    """Name and source of "FOLDER", which is served under its own name, or of "MODEL@ALIAS", which is
    served under the registered model's; "NAME=..." before either gives another name.

    registry: makes the registry that aliases are of, once one is named. device: as of `load_model`.
    ConfigError for a name that cannot stand in a URL.
    """
    name, sign, rest = text.partition("=")
    if not sign or not _NAME.fullmatch(name) or Path(text).exists():
        name, rest = "", text
    registered = _REGISTERED.fullmatch(rest)
    if registered and registry is not None and not Path(rest).exists():
        return name or registered[1], RegistrySource(
            registry(), registered[1], alias=registered[2], device=device
        )
    return name or check_name(Path(rest).resolve().name), DirectorySource(rest, device=device)
