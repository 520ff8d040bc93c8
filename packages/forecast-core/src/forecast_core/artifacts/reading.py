"""Reading an artifact: nothing is parsed before its bytes are verified."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from forecast_core.artifacts.layout import DIGEST, MANIFEST, WEIGHTS, Limits, folder_at
from forecast_core.artifacts.manifest import FileEntry, Manifest, parse_manifest
from forecast_core.artifacts.state import State
from forecast_core.errors import ArtifactError, ArtifactIntegrityError

__all__ = ["read_artifact", "read_manifest"]

# Without following a link or waiting for the other end of a pipe, where the system knows these flags.
_OPEN_FLAGS = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _OPEN_FLAGS |= getattr(os, _flag, 0)

_REPLACED_AT_MOST = 20

T = TypeVar("T")


def read_artifact(path: str | PathLike[str], *, limits: Limits | None = None) -> tuple[Manifest, State]:
    """The manifest and the state of an artifact; the bytes that are parsed are those that were hashed.

    An artifact that is replaced while it is read is read again. Raises ArtifactError if there is none at
    `path` or it cannot be opened, ArtifactVersionError if it is of a schema this installation does not
    know, ArtifactIntegrityError if anything was altered, added, cut off, or is over `limits`.
    """
    folder, limits = folder_at(path), limits if limits is not None else Limits()
    return _until_undisturbed(folder, lambda: _artifact(folder, limits))


def read_manifest(path: str | PathLike[str], *, limits: Limits | None = None) -> Manifest:
    """The verified manifest of an artifact, after checking which files are there and how large they are.

    Their contents are not read. Raises as `read_artifact` does.
    """
    folder, limits = folder_at(path), limits if limits is not None else Limits()
    return _until_undisturbed(folder, lambda: _manifest(folder, limits))


def _until_undisturbed(folder: Path, read: Callable[[], T]) -> T:
    """What `read` gives; an error that comes of somebody replacing the directory meanwhile does not count."""
    for _ in range(_REPLACED_AT_MOST):
        before = _identity(folder)
        try:
            return read()
        except ArtifactError:
            if _identity(folder) == before:
                raise
    return read()


def _identity(folder: Path) -> tuple[int, ...]:
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return ()
    return (status.st_dev, status.st_ino, status.st_mtime_ns)


def _manifest(folder: Path, limits: Limits) -> Manifest:
    try:
        names = _listing(folder, limits)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise ArtifactError(f"{folder}: not a forecast artifact: {_reason(error)}") from error
    if MANIFEST not in names:
        raise ArtifactError(f"{folder}: not a forecast artifact: it has no {MANIFEST}")
    if DIGEST not in names:
        raise ArtifactIntegrityError(f"{folder}: {DIGEST} is missing")
    raw = _read(folder, MANIFEST, limits.manifest)
    if _read(folder, DIGEST, 64) != hashlib.sha256(raw).hexdigest().encode():
        raise ArtifactIntegrityError(f"{folder}: {MANIFEST} was altered or damaged, {DIGEST} disagrees")
    manifest = parse_manifest(raw, path=folder, limits=limits)
    for name in sorted({*manifest.files, MANIFEST, DIGEST} ^ names):
        what = "does not belong to it" if name in names else "is missing"
        raise ArtifactIntegrityError(f"{folder}: {name[:80]!r} {what}")
    total = 0
    for name, listed in manifest.files.items():
        status = _status(folder, name)
        total += listed.size
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactIntegrityError(f"{folder}: {name} is not a plain file")
        if status.st_size != listed.size:
            raise ArtifactIntegrityError(f"{folder}: {name} has {status.st_size} bytes, not {listed.size}")
        if listed.size > limits.file or total > limits.total:
            raise ArtifactIntegrityError(f"{folder}: {name} is larger than an artifact's files may be")
    return manifest


def _artifact(folder: Path, limits: Limits) -> tuple[Manifest, State]:
    manifest = _manifest(folder, limits)
    arrays = _arrays(folder, _verified(folder, WEIGHTS, manifest.files[WEIGHTS]), limits)
    texts = {}
    for name, listed in manifest.files.items():
        if name != WEIGHTS:
            try:
                texts[name] = _verified(folder, name, listed).decode()
            except UnicodeDecodeError as error:
                raise ArtifactIntegrityError(f"{folder}: {name} is not UTF-8 text") from error
    try:
        return manifest, State(arrays, texts)
    except ValueError as error:
        raise ArtifactIntegrityError(f"{folder}: {error}") from error


def _arrays(folder: Path, raw: bytes, limits: Limits) -> dict[str, np.ndarray]:
    header = int.from_bytes(raw[:8], "little")
    if header > min(limits.header, len(raw) - 8):
        raise ArtifactIntegrityError(f"{folder}: the header of {WEIGHTS} is larger than it may be")
    # Each array is an object in the header's one object, so braces bound them before anything is built.
    if raw.count(b"{", 8, 8 + header) > limits.arrays + 1:
        raise ArtifactIntegrityError(f"{folder}: {WEIGHTS} holds more than {limits.arrays} arrays")
    try:
        return dict(load(raw))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactIntegrityError(f"{folder}: {WEIGHTS} cannot be read: {error}") from error


def _listing(folder: Path, limits: Limits) -> set[str]:
    names: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            names.add(entry.name)
            if len(names) > limits.files:
                raise ArtifactIntegrityError(f"{folder}: holds more than {limits.files} files")
    return names


def _verified(folder: Path, name: str, listed: FileEntry) -> bytes:
    raw = _read(folder, name, listed.size)
    if len(raw) != listed.size or hashlib.sha256(raw).hexdigest() != listed.sha256:
        raise ArtifactIntegrityError(f"{folder}: {name} was altered or damaged, its hash disagrees")
    return raw


def _read(folder: Path, name: str, cap: int) -> bytes:
    """A plain file's bytes, at most `cap` of them; links, pipes and devices are refused, not waited for."""
    try:
        if not stat.S_ISREG(_status(folder, name).st_mode):
            raise ArtifactIntegrityError(f"{folder}: {name} is not a plain file")
        with os.fdopen(os.open(folder / name, _OPEN_FLAGS), "rb") as file:
            status = os.fstat(file.fileno())  # of what was opened, whatever stood there a moment ago
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactIntegrityError(f"{folder}: {name} is not a plain file")
            if status.st_size > cap:
                raise ArtifactIntegrityError(f"{folder}: {name} is larger than {cap} bytes")
            return file.read(status.st_size)
    except OSError as error:
        raise ArtifactError(f"{folder}: {name} cannot be read: {_reason(error)}") from error


def _status(folder: Path, name: str) -> os.stat_result:
    try:
        return os.lstat(folder / name)
    except FileNotFoundError as error:
        raise ArtifactIntegrityError(f"{folder}: {name} is missing") from error
    except OSError as error:
        raise ArtifactError(f"{folder}: {name} cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
