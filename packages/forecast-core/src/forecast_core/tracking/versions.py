"""What a model registry tells: versions of models, and where each comes from."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["ALIASES", "Alias", "Lineage", "RegisteredModel"]

Alias = Literal["candidate", "champion", "archived"]
ALIASES: tuple[Alias, ...] = get_args(Alias)


class RegisteredModel(BaseModel):
    """A version of a registered model.

    model: id of its spec; aliases: of `candidate`, `champion`, `archived`; uri: what MLflow's own tools
    take; run_id: MLflow's run it was trained or registered in; created: UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    aliases: tuple[Alias, ...]
    model: str
    metrics: dict[str, float]
    tags: dict[str, str]
    run_id: str
    created: str
    uri: str


class Lineage(BaseModel):
    """Where a registered version comes from.

    config, seed: how the model was fitted; data: signature of the training data; trained_on,
    validated_on: SHA-256 of data; fitted_until, seen_until: its last times. commit, dirty: state of the
    code when the model was trained, or when it was registered, as commit_of says; None where unknown.
    packages: versions it was saved with. run_id: MLflow's run; tracked_run: that run's name where
    training was tracked. manifest_sha256: of the artifact's manifest, and with it of all its bytes.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    model: str
    model_version: int
    config: dict[str, JsonValue]
    seed: int | None
    data: dict[str, JsonValue]
    trained_on: str | None
    validated_on: str | None
    fitted_until: str | None
    seen_until: str | None
    commit: str | None
    dirty: bool | None
    commit_of: Literal["training", "registration"]
    packages: dict[str, str]
    run_id: str
    tracked_run: str | None
    manifest_sha256: str
