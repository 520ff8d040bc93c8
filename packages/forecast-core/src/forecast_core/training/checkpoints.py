"""Checkpoints: the whole state of a training run in one safetensors file.

The file holds every tensor, and in its metadata a JSON text with everything else and a SHA-256 over all of
the file's bytes (with the digest itself as zeros). It is written through a sibling and renamed, so that a
run killed at any moment leaves the former checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from safetensors.torch import load, save
from torch import Tensor

from forecast_core.errors import ArtifactError, ArtifactIntegrityError, ArtifactVersionError
from forecast_core.training.atomic import write_atomically
from forecast_core.training.packing import pack, unpack

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1
_NO_DIGEST = b"0" * 64
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Checkpoint:
    """State after an epoch, and the settings it belongs to.

    settings: what must be the same to go on from here; state: tensors, numbers and texts in nested
    mappings, lists and tuples.
    """

    epoch: int
    settings: Mapping[str, JsonValue]
    state: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`, all or nothing; ArtifactError if it, or the state, cannot be written."""
    tensors: dict[str, Tensor] = {}
    packed = {name: pack(value, name, tensors) for name, value in checkpoint.state.items()}
    body = {"epoch": checkpoint.epoch, "settings": dict(checkpoint.settings), "state": packed}
    text = json.dumps({"format": _FORMAT, **body})
    data = save(tensors, metadata={"checkpoint": text, "sha256": _NO_DIGEST.decode()})
    start, end = _digest_position(data, path)
    view = memoryview(data)
    digest = hashlib.sha256(view).hexdigest().encode()
    write_atomically(path, (view[:start], digest, view[end:]))


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at `path`, on the CPU, verified before anything of it is used.

    Raises ArtifactIntegrityError if it is truncated or altered, ArtifactVersionError if a newer version
    wrote it, ArtifactError if it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror or error}") from error
    start, end = _digest_position(data, path)
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(_NO_DIGEST)
    digest.update(view[end:])
    if digest.hexdigest().encode() != data[start:end]:
        raise ArtifactIntegrityError(f"{path}: is altered: its content is not what was written")
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        content = json.loads(header["__metadata__"]["checkpoint"])
        if content["format"] > _FORMAT:
            raise ArtifactVersionError(
                f"{path}: has format {content['format']}; upgrade forecast-core, which reads up to {_FORMAT}"
            )
        tensors = load(data)
        state = {name: unpack(value, tensors) for name, value in content["state"].items()}
        return Checkpoint(epoch=content["epoch"], settings=content["settings"], state=state)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: is no checkpoint of a training run ({error})") from error


def _digest_position(data: bytes, path: Path) -> tuple[int, int]:
    """Where the digest stands in a file's bytes: in its header, whose length the first 8 bytes give."""
    length = int.from_bytes(data[:8], "little")
    found = _DIGEST.search(data, 8, 8 + length) if len(data) >= 8 + length else None
    if found is None:
        raise ArtifactIntegrityError(f"{path}: is truncated, altered, or no checkpoint")
    return found.span(1)
