"""What an artifact holds: the state of a model, and the manifest that vouches for every file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from forecast_core.errors import (
    ArtifactIntegrityError,
    ArtifactVersionError,
    InvalidInputError,
)
from forecast_core.validation import typed_error

__all__ = [
    "DIGEST",
    "MANIFEST",
    "SCHEMA_MIGRATIONS",
    "SCHEMA_VERSION",
    "WEIGHTS",
    "FileEntry",
    "Limits",
    "Manifest",
    "State",
    "parse_manifest",
]

SCHEMA_VERSION = 1
MANIFEST, DIGEST, WEIGHTS = "manifest.json", "manifest.sha256", "weights.safetensors"

# schema version -> function that turns a manifest of it into one of the next
SCHEMA_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./\-]{0,199}")
_FILE_NAME = re.compile(r"[a-z0-9_][a-z0-9_.\-]{0,99}")
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


@dataclass(frozen=True)
class State:
    """What a fitted model consists of besides its configuration.

    arrays: name -> numbers or booleans; texts: file name -> text (JSON of names, a booster's dump).
    Raises InvalidInputError for a name outside the grammar or an array of another type.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if not isinstance(name, str) or not _ARRAY_NAME.fullmatch(name):
                raise InvalidInputError(
                    "state.arrays", "has names of letters, digits, _ . - /", got=repr(name)
                )
            if not isinstance(array, np.ndarray) or array.dtype.str[1:] not in _DTYPES:
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise InvalidInputError(
                    f"state.arrays[{name!r}]",
                    "is an array of numbers or booleans",
                    got=got,
                    hint="put text in texts",
                )
        for name, text in self.texts.items():
            if (
                not isinstance(name, str)
                or not _FILE_NAME.fullmatch(name)
                or name in (MANIFEST, DIGEST, WEIGHTS)
            ):
                raise InvalidInputError("state.texts", "has plain lower-case file names", got=repr(name))
            if not isinstance(text, str):
                raise InvalidInputError(f"state.texts[{name!r}]", "is text", got=type(text).__name__)


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, and counts, beyond which an artifact is refused before it is read."""

    manifest: int = 16 * 2**20
    file: int = 8 * 2**30
    total: int = 16 * 2**30
    files: int = 1_000
    arrays: int = 100_000
    header: int = 100 * 2**20


class FileEntry(BaseModel):
    """A file's SHA-256 and size in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Manifest(BaseModel):
    """What is in an artifact and where it comes from.

    spec_id, spec_version, config: which model, configured how. data: signature of the training data;
    lineage: hashes of data, seed, until when the model has seen data. packages: versions it was saved
    with. info: what `Predictor.info` showed. files: every other file with its hash and size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    schema_version: int = SCHEMA_VERSION
    spec_id: str
    spec_version: int = Field(ge=1)
    created: str
    config: dict[str, JsonValue] = {}
    data: dict[str, JsonValue] = {}
    packages: dict[str, str] = {}
    lineage: dict[str, JsonValue] = {}
    metrics: dict[str, float] = {}
    info: dict[str, JsonValue] = {}
    files: dict[str, FileEntry] = {}


def parse_manifest(raw: bytes, *, path: object) -> Manifest:
    """The manifest in verified bytes, migrated to the present schema.

    ArtifactVersionError for a schema newer than this installation knows, ArtifactIntegrityError for
    anything that is no manifest.
    """
    try:
        fields = json.loads(raw, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        version = fields["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} cannot be read: {error}") from error
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ArtifactIntegrityError(f"{path}: {MANIFEST} has no schema version, got {version!r}")
    if version > SCHEMA_VERSION:
        raise ArtifactVersionError(
            f"{path} has schema version {version}; this installation reads up to {SCHEMA_VERSION}; upgrade "
            "forecast-core"
        )
    for older in range(version, SCHEMA_VERSION):
        fields = SCHEMA_MIGRATIONS[older](fields)
    try:
        manifest = Manifest.model_validate(fields)
    except ValidationError as error:
        raise ArtifactIntegrityError(f"{path}: {typed_error('manifest', error)}") from error
    for name in manifest.files:
        if not _FILE_NAME.fullmatch(name) or name in (MANIFEST, DIGEST):
            raise ArtifactIntegrityError(f"{path}: the manifest lists a file that cannot be: {name!r}")
    return manifest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")
