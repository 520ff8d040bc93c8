"""Writing a file so that it is never seen half written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from forecast_core.errors import ArtifactError

__all__ = ["write_atomically"]


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file through a sibling, flushed to disk and renamed; parent folders are made.

    Killed or failing at any moment, it leaves the former file or the new one. Raises ArtifactError where
    the disk or the folder refuses.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the new name itself has to reach the disk
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written: {error.strerror or error}") from error
