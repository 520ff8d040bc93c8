"""Reading an artifact: nothing is parsed before its bytes are verified."""

from __future__ import annotations

import hashlib
import os
import stat
from os import PathLike
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load

from forecast_core.artifacts.manifest import (
    DIGEST,
    MANIFEST,
    WEIGHTS,
    Limits,
    Manifest,
    State,
    parse_manifest,
)
from forecast_core.errors import ArtifactError, ArtifactIntegrityError

__all__ = ["read_artifact", "read_manifest"]


def read_manifest(path: str | PathLike[str], *, limits: Limits | None = None) -> Manifest:
    """The verified manifest of an artifact, after checking which files are there and how large.

    Raises as `read_artifact` does; contents of the other files are not read.
    """
    folder, limits = Path(path), limits if limits is not None else Limits()
    if not folder.is_dir() or not (folder / MANIFEST).exists():
        raise ArtifactError(f"{folder} is no saved model: it has no {MANIFEST}")
    raw = _read(folder, MANIFEST, limits.manifest)
    digest = _read(folder, DIGEST, 64)
    if digest != hashlib.sha256(raw).hexdigest().encode():
        raise ArtifactIntegrityError(
            f"{folder}: {MANIFEST} does not match {DIGEST}; it was altered or damaged"
        )
    manifest = parse_manifest(raw, path=folder)
    _check_listing(folder, manifest, limits)
    return manifest


def read_artifact(path: str | PathLike[str], *, limits: Limits | None = None) -> tuple[Manifest, State]:
    """The manifest and the state of an artifact; the bytes that are parsed are those that were hashed.

    Raises ArtifactError if there is no artifact at `path`, ArtifactVersionError if it is newer than this
    installation, ArtifactIntegrityError if anything was altered, added, cut off, or is over `limits`.
    """
    folder, limits = Path(path), limits if limits is not None else Limits()
    manifest = read_manifest(folder, limits=limits)
    contents: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        raw = _read(folder, name, entry.size)
        if len(raw) != entry.size or hashlib.sha256(raw).hexdigest() != entry.sha256:
            raise ArtifactIntegrityError(
                f"{folder}: {name} does not match its hash; it was altered or damaged"
            )
        contents[name] = raw
    weights = contents.pop(WEIGHTS, None)
    if weights is None:
        raise ArtifactIntegrityError(f"{folder}: the manifest lists no {WEIGHTS}")
    if int.from_bytes(weights[:8], "little") > min(limits.header, len(weights) - 8):
        raise ArtifactIntegrityError(f"{folder}: the header of {WEIGHTS} is larger than it may be")
    try:
        state = State(load(weights), {name: raw.decode() for name, raw in contents.items()})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactIntegrityError(f"{folder}: its contents cannot be read: {error}") from error
    if len(state.arrays) > limits.arrays:
        raise ArtifactIntegrityError(f"{folder}: {WEIGHTS} holds more than {limits.arrays} arrays")
    return manifest, state


def _check_listing(folder: Path, manifest: Manifest, limits: Limits) -> None:
    """Exactly the listed files are there, plain ones, of the listed sizes and within the limits."""
    expected = {*manifest.files, MANIFEST, DIGEST}
    found = {entry.name: entry for entry in os.scandir(folder)}
    for name in sorted(expected ^ found.keys()):
        what = "is missing" if name in expected else "does not belong to it"
        raise ArtifactIntegrityError(f"{folder}: {name} {what}")
    if len(found) > limits.files:
        raise ArtifactIntegrityError(f"{folder}: holds more than {limits.files} files")
    total = 0
    for name, listed in manifest.files.items():
        status = found[name].stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactIntegrityError(f"{folder}: {name} is not a plain file")
        if status.st_size != listed.size:
            raise ArtifactIntegrityError(f"{folder}: {name} has {status.st_size} bytes, not {listed.size}")
        total += listed.size
        if listed.size > limits.file or total > limits.total:
            raise ArtifactIntegrityError(f"{folder}: {name} is larger than an artifact's files may be")


def _read(folder: Path, name: str, cap: int) -> bytes:
    """A plain file's bytes, at most `cap` of them; links, pipes and devices are never opened for reading."""
    try:
        descriptor = os.open(
            folder / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
    except OSError as error:
        raise ArtifactIntegrityError(f"{folder}: {name} cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactIntegrityError(f"{folder}: {name} is not a plain file")
        if status.st_size > cap:
            raise ArtifactIntegrityError(f"{folder}: {name} is larger than {cap} bytes")
        return file.read(cap + 1)
