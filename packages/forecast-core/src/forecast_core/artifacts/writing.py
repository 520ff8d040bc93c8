"""Writing an artifact: whole beside its place first, then put there in one step."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

from pydantic import JsonValue, ValidationError
from safetensors.numpy import save

from forecast_core.artifacts.layout import DIGEST, MANIFEST, WEIGHTS, Limits, folder_at
from forecast_core.artifacts.manifest import FileEntry, Manifest, encode_manifest, parse_manifest
from forecast_core.artifacts.replacing import flush_directory, new_directory, put_in_place, refuse_foreign
from forecast_core.artifacts.state import State
from forecast_core.errors import ArtifactError, InvalidInputError
from forecast_core.validation import typed_error

__all__ = ["write_artifact"]


def write_artifact(
    path: str | PathLike[str],
    state: State,
    *,
    spec_id: str,
    spec_version: int,
    config: Mapping[str, JsonValue] | None = None,
    data: Mapping[str, JsonValue] | None = None,
    packages: Mapping[str, str] | None = None,
    lineage: Mapping[str, JsonValue] | None = None,
    metrics: Mapping[str, float] | None = None,
    info: Mapping[str, JsonValue] | None = None,
    limits: Limits | None = None,
) -> Manifest:
    """Write `state` and its manifest to the directory `path`; an artifact already there is replaced.

    Files go to a hidden sibling first, are flushed to disk, and take the place of `path` in one step: on
    Linux an exchange of the two directories, so that at every moment the old or the new artifact is
    whole; elsewhere the old one steps aside first and is put back on an error. Raises ArtifactError,
    with nothing changed, if `path` is something other than an artifact, if it cannot be written, or if
    what is to be written could not be read back under `limits`.
    """
    target, limits = folder_at(path), limits if limits is not None else Limits()
    if target.name in ("", "..") or "\0" in target.name:
        raise InvalidInputError("path", "names a directory to make", got=repr(str(target)))
    if not isinstance(state, State):
        raise InvalidInputError("state", "is a State", got=type(state).__name__)
    contents = {name: text.encode() for name, text in sorted(state.texts.items())}
    contents[WEIGHTS] = save(dict(state.arrays))
    _check_limits(target, contents, len(state.arrays), limits)
    fields = {
        "spec_id": spec_id,
        "spec_version": spec_version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": dict(config or {}),
        "data": dict(data or {}),
        "packages": dict(packages or {}),
        "lineage": dict(lineage or {}),
        "metrics": dict(metrics or {}),
        "info": dict(info or {}),
        "files": {
            name: FileEntry(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))
            for name, raw in contents.items()
        },
    }
    try:
        raw = _encoded(target, fields)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{target}: the manifest cannot be written as JSON: {error}") from error
    if len(raw) > limits.manifest:
        raise ArtifactError(f"{target}: the manifest has {len(raw)} bytes, more than {limits.manifest}")
    manifest = parse_manifest(raw, path=target, limits=limits)
    contents[MANIFEST] = raw
    contents[DIGEST] = hashlib.sha256(raw).hexdigest().encode()
    _write(target, contents)
    return manifest


def _encoded(target: Path, fields: Mapping[str, object]) -> bytes:
    try:
        return encode_manifest(Manifest.model_validate(fields))
    except ValidationError as error:
        raise ArtifactError(f"{target}: {typed_error('manifest', error)}") from error


def _check_limits(target: Path, contents: Mapping[str, bytes], arrays: int, limits: Limits) -> None:
    sizes = [len(raw) for raw in contents.values()]
    header = int.from_bytes(contents[WEIGHTS][:8], "little")
    for what, number, most in (
        ("files", len(sizes) + 2, limits.files),
        ("arrays", arrays, limits.arrays),
        ("bytes in one file", max(sizes), limits.file),
        ("bytes in all files", sum(sizes), limits.total),
        ("bytes of array names and shapes", header, limits.header),
    ):
        if number > most:
            raise ArtifactError(f"{target}: the state has {number} {what}, more than {most}")


def _write(target: Path, contents: Mapping[str, bytes]) -> None:
    try:
        refuse_foreign(target)
        with new_directory(target) as directory:
            for name, raw in contents.items():
                _write_flushed(directory / name, raw)
            flush_directory(directory)
            put_in_place(directory, target)
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(f"{target}: cannot be written: {reason}; nothing was changed") from error


def _write_flushed(path: Path, raw: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        left = memoryview(raw)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
