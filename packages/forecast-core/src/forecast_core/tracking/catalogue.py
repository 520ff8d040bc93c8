"""Names, versions and aliases in MLflow's registry, read and moved through a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from forecast_core.errors import ArtifactError, InvalidInputError, UnknownIdError, near_misses
from forecast_core.tracking.versions import ALIASES, Alias, RegisteredModel

__all__ = ["ARCHIVED", "MODEL", "NUMBERS", "RESERVED", "SHA256", "aliases", "assign", "find", "names", "ours"]

# Tags of a version: id of the model's spec, SHA-256 of the artifact's manifest, metrics as JSON, and
# whether it was a champion once, since MLflow keeps an alias for one version only.
MODEL, SHA256 = "forecast.model", "forecast.manifest_sha256"
NUMBERS, ARCHIVED = "forecast.metrics", "forecast.archived"
RESERVED = ("forecast.", "mlflow.")


def names(client: Any) -> Iterator[str]:
    """Names of all registered models."""
    token = None
    while True:
        page = client.search_registered_models(page_token=token)
        yield from (found.name for found in page)
        token = page.token
        if not token:
            return


def aliases(client: Any, name: str) -> dict[str, int]:
    """Alias -> version of a registered model; UnknownIdError with near misses for an unknown name."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        hint = near_misses(name, names(client))
        raise UnknownIdError(f"no registered model {name!r}; {hint}") from error
    return {alias: int(version) for alias, version in found.aliases.items()}


def ours(client: Any, name: str) -> list[RegisteredModel]:
    """Our versions of a name, newest first, others left out; UnknownIdError for an unknown name."""
    held = aliases(client, name)
    found: list[RegisteredModel] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += [_record(version, held) for version in page if SHA256 in version.tags]
        token = page.token
        if not token:
            return sorted(found, key=lambda record: -record.version)


def find(
    client: Any, name: str, *, alias: Alias | None = None, version: int | None = None
) -> tuple[RegisteredModel, dict[str, str]]:
    """One of our versions, by number or alias (default: the champion), and all its tags.

    Raises UnknownIdError for one that is not there, ArtifactError for one that was registered otherwise.
    """
    if alias is not None and version is not None:
        raise InvalidInputError("alias", "is not given together with version", got=repr(alias))
    held = aliases(client, name)
    if version is None:
        wanted = alias if alias is not None else "champion"
        if wanted not in ALIASES:
            raise InvalidInputError("alias", f"is one of {', '.join(ALIASES)}", got=repr(alias))
        if wanted not in held:
            hint = near_misses(wanted, held)
            raise UnknownIdError(f"no version of {name!r} has the alias {wanted!r}; {hint}")
        version = held[wanted]
    found = _version(client, name, version)
    if SHA256 not in found.tags:
        raise ArtifactError(
            f"version {version} of {name!r} was not registered by ModelRegistry: it is no artifact of ours, "
            "and is not loaded"
        )
    return _record(found, held), dict(found.tags)


def _version(client: Any, name: str, version: int) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = ", ".join(str(each.version) for each in reversed(ours(client, name))) or "none"
        raise UnknownIdError(f"no version {version} of {name!r}; known: {known}") from error


def assign(client: Any, name: str, version: int, alias: Alias) -> None:
    """Give a version an alias and take its others; a champion that is replaced becomes `archived`."""
    before = aliases(client, name)
    former = before.get("champion")
    client.set_registered_model_alias(name, alias, str(version))  # first, so that there is always a champion
    for other in ALIASES:
        if other != alias and before.get(other) == version:
            client.delete_registered_model_alias(name, other)
    client.set_model_version_tag(name, str(version), ARCHIVED, str(alias == "archived").lower())
    if alias == "champion" and former not in (None, version):
        client.set_registered_model_alias(name, "archived", str(former))
        client.set_model_version_tag(name, str(former), ARCHIVED, "true")


def _record(version: Any, held: dict[str, int]) -> RegisteredModel:
    number, tags = int(version.version), version.tags
    mine = {alias for alias, at in held.items() if at == number}
    if tags.get(ARCHIVED) == "true":
        mine.add("archived")
    return RegisteredModel(
        name=version.name,
        version=number,
        aliases=tuple(alias for alias in ALIASES if alias in mine),
        model=tags[MODEL],
        metrics=json.loads(tags[NUMBERS]),
        tags={name: value for name, value in tags.items() if not name.startswith(RESERVED)},
        run_id=version.run_id,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(),
        uri=f"models:/{version.name}/{number}",
    )
