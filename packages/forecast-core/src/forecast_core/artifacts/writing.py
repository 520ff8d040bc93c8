"""Writing an artifact: whole beside its place first, then put there in one step."""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import numpy as np
from pydantic import JsonValue, ValidationError
from safetensors.numpy import save

from forecast_core.artifacts.manifest import DIGEST, MANIFEST, WEIGHTS, FileEntry, Manifest, State
from forecast_core.errors import ArtifactError, InvalidInputError
from forecast_core.validation import typed_error

__all__ = ["write_artifact"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


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
) -> Manifest:
    """Write `state` and its manifest to the directory `path`; an artifact already there is replaced.

    Files go to a hidden sibling first, are flushed to disk, and take the place of `path` in one step: on
    Linux an exchange of the two directories, so that at every moment the old or the new artifact is
    whole; elsewhere the old one steps aside first and is put back on an error. Raises ArtifactError,
    with nothing changed, if `path` is something other than an artifact or cannot be written.
    """
    target = Path(path)
    _refuse_foreign(target)
    contents = {name: text.encode() for name, text in sorted(state.texts.items())}
    contents[WEIGHTS] = save({name: _plain(array) for name, array in sorted(state.arrays.items())})
    try:
        manifest = Manifest(
            spec_id=spec_id,
            spec_version=spec_version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            config=dict(config or {}),
            data=dict(data or {}),
            packages=dict(packages or {}),
            lineage=dict(lineage or {}),
            metrics=dict(metrics or {}),
            info=dict(info or {}),
            files={
                name: FileEntry(sha256=hashlib.sha256(raw).hexdigest(), size=len(raw))
                for name, raw in contents.items()
            },
        )
    except ValidationError as error:
        raise ArtifactError(f"{target}: {typed_error('manifest', error)}") from error
    contents[MANIFEST] = manifest.model_dump_json(indent=2).encode()
    contents[DIGEST] = hashlib.sha256(contents[MANIFEST]).hexdigest().encode()
    temporary = target.absolute().parent / f".{target.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        for name, raw in contents.items():
            _write_flushed(temporary / name, raw)
        _flush_directory(temporary)
        _take_place(temporary, target)
        _flush_directory(temporary.parent)
    except OSError as error:
        raise ArtifactError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if target.exists():  # otherwise what stepped aside is all there is
            shutil.rmtree(_aside(temporary), ignore_errors=True)
    return manifest


def _plain(array: np.ndarray) -> np.ndarray:
    """Contiguous and in this machine's byte order, 0-d kept so."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native).reshape(array.shape)


def _refuse_foreign(target: Path) -> None:
    if target.name in ("", ".", ".."):
        raise InvalidInputError("path", "names a directory to make", got=str(target))
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ArtifactError(f"{target} is there already and is no directory; choose another path")
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise ArtifactError(f"{target} holds files but no artifact; choose another path")


def _write_flushed(path: Path, raw: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    if sys.platform == "win32":  # directories cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_place(new: Path, target: Path) -> None:
    """Put the directory `new` where `target` is; what was there is then at `new`, or gone."""
    if not target.exists():
        os.rename(new, target)
        return
    if not _exchange(new, target):
        aside = _aside(new)
        os.rename(target, aside)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(aside, target)
            raise


def _aside(new: Path) -> Path:
    return new.with_name(f"{new.name}-old")


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        code = libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
        return bool(code == 0)
    return False
