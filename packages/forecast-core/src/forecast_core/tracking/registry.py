"""`ModelRegistry`: saved models by name and version in MLflow, with the one that is in charge."""

from __future__ import annotations

import math
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

from forecast_core import registry
from forecast_core.artifacts import Limits
from forecast_core.artifacts.layout import MANIFEST
from forecast_core.artifacts.manifest import parse_manifest
from forecast_core.data.frames import build_frame
from forecast_core.errors import ArtifactIntegrityError, InvalidInputError
from forecast_core.predictor import ModelInfo, Predictor
from forecast_core.tracking import catalogue
from forecast_core.tracking.connection import Connection, without_credentials
from forecast_core.tracking.journal import JOURNAL, read_journal
from forecast_core.tracking.packing import WITHIN, Staged, sha256_of, staged
from forecast_core.tracking.provenance import model_params
from forecast_core.tracking.storing import TRANSFER_SECONDS, registration_run, store
from forecast_core.tracking.versions import ALIASES, Alias, Lineage, RegisteredModel

__all__ = ["ModelRegistry"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")


class ModelRegistry:
    """Models by name and version in MLflow's registry: our own artifacts, hashed, never pickled.

    uri: a server, or a database such as "sqlite:///mlflow.db" (made where there is none). experiment:
    where runs are made for models whose training was not tracked. timeout: seconds a request may take.
    The `champion` is the version to use, a `candidate` waits for a decision, a champion that was replaced
    is `archived`. All methods raise RegistryError where the registry cannot be reached or refuses, and
    UnknownIdError for a name, version or alias that is not there; making one raises InvalidInputError
    for an address that is none, MissingDependencyError without mlflow.
    """

    def __init__(
        self, uri: str = "sqlite:///mlflow.db", *, experiment: str = "forecast", timeout: float = 30.0
    ) -> None:
        self._connection = Connection(uri, timeout=timeout)
        self._experiment = experiment

    @property
    def uri(self) -> str:
        """The registry's address, without credentials."""
        return self._connection.shown

    def register(
        self,
        model: Predictor[Any] | str | PathLike[str],
        name: str,
        *,
        alias: Alias | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> RegisteredModel:
        """A new version of `name` (which is made where there is none) from a model or its saved folder.

        alias: given to it at once, as `promote` does. metrics: finite numbers by which to compare it;
        default: the artifact's. tags: notes. run_id: MLflow's run that trained it; default: that of the
        run folder the saved model lies in, where it was tracked here; else a run is made. Raises
        ArtifactError where the folder holds no whole artifact, InvalidInputError for the rest.
        """
        _check_name(name)
        if alias is not None:
            _check_alias(alias)
        notes, numbers = _checked_tags(tags or {}), _checked_metrics(metrics or {})
        with staged(model) as artifact, self._connection.session() as client:
            if run_id is None and not isinstance(model, Predictor):
                run_id = self._tracked_run(Path(model), artifact)
            if metrics is None:
                numbers = _checked_metrics(artifact.manifest.metrics)
            run = (
                nullcontext(run_id)
                if run_id is not None
                else registration_run(
                    client, self._connection, artifact, name=name, experiment=self._experiment
                )
            )
            with run as within:
                version = store(
                    client,
                    self._connection,
                    artifact,
                    name=name,
                    run_id=within,
                    metrics=numbers,
                    tags=notes,
                )
            if alias is not None:
                catalogue.assign(client, name, version, alias)
            return catalogue.find(client, name, version=version)[0]

    def promote(self, name: str, version: int, *, alias: Alias = "champion") -> RegisteredModel:
        """Give a version an alias, and take its others; a champion that is replaced becomes `archived`.

        Promoting an archived version takes it back into service.
        """
        _check_alias(alias)
        with self._connection.session(reading=True) as client:
            catalogue.find(client, name, version=version)
            catalogue.assign(client, name, version, alias)
            return catalogue.find(client, name, version=version)[0]

    def load(
        self,
        name: str,
        *,
        alias: Alias | None = None,
        version: int | None = None,
        device: str | None = None,
    ) -> Predictor[Any]:
        """The predictor of a version, or of the one with an alias; by default of the champion.

        Every byte is checked against the hashes in the artifact, and these against the one noted when it
        was registered, before anything is built. Raises ArtifactIntegrityError where one differs,
        ArtifactError for a version that was not registered here, and what `load_model` raises.
        """
        with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
            with self._connection.session(reading=True) as client:
                found, tags = catalogue.find(client, name, alias=alias, version=version)
                path = self._download(client, found, WITHIN, folder)
            _check_sha256(path / MANIFEST, found, tags)
            return registry.load_model(path, device=device)

    def get(self, name: str, *, alias: Alias | None = None, version: int | None = None) -> RegisteredModel:
        """What is known of a version, or of the one with an alias; by default of the champion."""
        with self._connection.session(reading=True) as client:
            return catalogue.find(client, name, alias=alias, version=version)[0]

    def list(self, name: str | None = None) -> tuple[RegisteredModel, ...]:
        """All versions, by name and then newest first; of one name if given. Others' models are left out."""
        with self._connection.session(reading=True) as client:
            names = [name] if name is not None else sorted(filter(_NAME.fullmatch, catalogue.names(client)))
            return tuple(record for each in names for record in catalogue.ours(client, each))

    def compare(self, name: str, *, backend: str | None = None) -> Any:
        """A frame with a row a version, newest first: version, aliases, model, created, and each metric.

        A metric that a version lacks is NaN. backend: pandas, polars or pyarrow.
        """
        records = self.list(name)
        metrics = sorted({metric for record in records for metric in record.metrics})
        columns: dict[str, Any] = {
            "version": [record.version for record in records],
            "aliases": [", ".join(record.aliases) for record in records],
            "model": [record.model for record in records],
            "created": [record.created for record in records],
        }
        columns |= {m: [record.metrics.get(m, math.nan) for record in records] for m in metrics}
        return build_frame(columns, backend=backend)

    def lineage(self, name: str, version: int) -> Lineage:
        """Where a version comes from: data, configuration, code, packages, run; from its checked manifest."""
        with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
            with self._connection.session(reading=True) as client:
                found, tags = catalogue.find(client, name, version=version)
                path = self._download(client, found, f"{WITHIN}/{MANIFEST}", folder)
            sha256 = _check_sha256(path, found, tags)
            manifest = parse_manifest(path.read_bytes(), path=path, limits=Limits())
        info = ModelInfo.model_validate(manifest.info)
        return Lineage(
            name=name,
            version=version,
            model=manifest.spec_id,
            model_version=manifest.spec_version,
            config=manifest.config,
            seed=info.seed,
            data=manifest.data,
            trained_on=info.trained_on,
            validated_on=info.validated_on,
            fitted_until=info.fitted_until,
            seen_until=info.seen_until,
            commit=tags.get("forecast.commit"),
            dirty={"true": True, "false": False}.get(tags.get("forecast.dirty", "")),
            commit_of="training" if tags.get("forecast.commit_of") == "training" else "registration",
            packages=manifest.packages,
            run_id=found.run_id,
            tracked_run=tags.get("forecast.run"),
            manifest_sha256=sha256,
        )

    def _tracked_run(self, path: Path, artifact: Staged) -> str | None:
        """MLflow's run of the run folder that an artifact lies in, if this server tracked the very fit."""
        journal = path.absolute().parent / JOURNAL
        if not journal.is_file():
            return None
        last = read_journal(journal)[-1]
        last.aim(without_credentials(self._connection.uri))
        info = ModelInfo.model_validate(artifact.manifest.info)
        same = last.began.tags.get("forecast.trained_on") == info.trained_on and all(
            last.began.params.get(name) == value for name, value in model_params(info).items()
        )
        return last.run_id if same and last.run_id else None

    def _download(self, client: Any, version: RegisteredModel, part: str, folder: str) -> Path:
        from mlflow.artifacts import download_artifacts

        place = client.get_model_version_download_uri(version.name, str(version.version))
        uri = self._connection.uri
        with self._connection.session(timeout=TRANSFER_SECONDS):
            return Path(
                download_artifacts(
                    artifact_uri=f"{place}/{part}", dst_path=folder, tracking_uri=uri, registry_uri=uri
                )
            )


def _check_sha256(manifest: Path, version: RegisteredModel, tags: Mapping[str, str]) -> str:
    found, noted = sha256_of(manifest), tags[catalogue.SHA256]
    if found != noted:
        raise ArtifactIntegrityError(
            f"version {version.version} of {version.name!r}: its artifact is not the one registered, "
            f"{MANIFEST} has SHA-256 {found}, not {noted}"
        )
    return found


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidInputError("name", "consists of letters, digits, _ and -", got=repr(name))


def _check_alias(alias: str) -> None:
    if alias not in ALIASES:
        raise InvalidInputError("alias", f"is one of {', '.join(ALIASES)}", got=repr(alias))


def _checked_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    for name, value in metrics.items():
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if not number or not abs(value) <= sys.float_info.max:
            raise InvalidInputError("metrics", "are finite numbers", place=repr(name), got=repr(value))
    return {str(name): float(value) for name, value in metrics.items()}


def _checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInputError("tags", "are texts", place=repr(name), got=repr(value))
        if name.startswith(catalogue.RESERVED):
            rule = f"do not begin with {' or '.join(catalogue.RESERVED)}"
            raise InvalidInputError("tags", rule, got=repr(name))
    return dict(tags)
