"""The manifest of an artifact: where it comes from, and a hash for each of its files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from forecast_core.artifacts.layout import MANIFEST, WEIGHTS, Limits, is_text_name
from forecast_core.errors import ArtifactIntegrityError, ArtifactVersionError
from forecast_core.validation import typed_error

__all__ = [
    "SCHEMA_MIGRATIONS",
    "SCHEMA_VERSION",
    "FileEntry",
    "Manifest",
    "encode_manifest",
    "parse_manifest",
]

SCHEMA_VERSION = 1

# schema version -> function that turns the fields of a manifest of it into those of the next
SCHEMA_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class FileEntry(BaseModel):
    """A file's SHA-256 and size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}\z")
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """What is in an artifact and where it comes from.

    spec_id, spec_version, config: which model, configured how. data: signature of the training data;
    lineage: hashes of data, seed, until when the model has seen data. packages: versions it was saved
    with. created: UTC, ISO 8601. info: what `Predictor.info` showed. files: every other file with its
    hash and size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    spec_id: str = Field(min_length=1)
    spec_version: int = Field(ge=1)
    created: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)\z")
    config: dict[str, JsonValue] = {}
    data: dict[str, JsonValue] = {}
    packages: dict[str, str] = {}
    lineage: dict[str, JsonValue] = {}
    metrics: dict[str, float] = {}
    info: dict[str, JsonValue] = {}
    files: dict[str, FileEntry] = {}


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as readable JSON, floats exact; ValueError for what JSON or UTF-8 cannot hold."""
    return json.dumps(manifest.model_dump(), indent=2, ensure_ascii=False, allow_nan=False).encode()


def parse_manifest(raw: bytes, *, path: object, limits: Limits) -> Manifest:
    """The manifest in verified bytes, migrated to the present schema.

    ArtifactVersionError for a schema that this installation does not know, ArtifactIntegrityError for
    anything that is no manifest.
    """
    try:
        fields = json.loads(
            raw.decode(),
            object_pairs_hook=_no_duplicates,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} cannot be read: {error}") from error
    if not isinstance(fields, dict) or _is_deeper(fields, limits.nesting):
        rule = f"an object nested at most {limits.nesting} deep"
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} is not {rule}")
    try:
        manifest = Manifest.model_validate(_migrated(fields, path))
    except ValidationError as error:
        raise ArtifactIntegrityError(f"{path}: {typed_error('manifest', error)}") from error
    for name in manifest.files:
        if name != WEIGHTS and not is_text_name(name):
            raise ArtifactIntegrityError(f"{path}: {MANIFEST} lists a file that cannot be: {name[:80]!r}")
    if WEIGHTS not in manifest.files:
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} lists no {WEIGHTS}")
    return manifest


def _migrated(fields: dict[str, Any], path: object) -> dict[str, Any]:
    version = fields.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} has no schema version, got {version!r:.80}")
    if version > SCHEMA_VERSION:
        raise ArtifactVersionError(
            f"{path}: has schema version {version}; this installation reads up to {SCHEMA_VERSION}; upgrade "
            "forecast-core"
        )
    for older in range(version, SCHEMA_VERSION):
        if older not in SCHEMA_MIGRATIONS:
            raise ArtifactVersionError(
                f"{path}: has schema version {version}, which this installation no longer reads; load and "
                "save it with an older forecast-core first"
            )
        fields = {**SCHEMA_MIGRATIONS[older](fields), "schema_version": older + 1}
    return fields


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _finite(text: str) -> float:
    """A JSON number; the decoder also hands over NaN, Infinity and numbers too large for a float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _is_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects stand more than `limit` deep in each other, without recursing into them."""
    layer = [value]
    for _ in range(limit + 1):
        layer = [
            child
            for parent in layer
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, dict | list)
        ]
        if not layer:
            return False
    return True
