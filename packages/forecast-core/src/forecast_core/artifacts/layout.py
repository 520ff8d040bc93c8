"""What the directory of an artifact looks like: names of its files, and how large they may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from forecast_core.errors import InvalidInputError

__all__ = ["DIGEST", "MANIFEST", "WEIGHTS", "Limits", "folder_at", "is_array_name", "is_text_name"]

MANIFEST, DIGEST, WEIGHTS = "manifest.json", "manifest.sha256", "weights.safetensors"

_ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./\-]{0,199}")
_TEXT_NAME = re.compile(r"[a-z0-9_][a-z0-9_.\-]{0,99}")


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, and counts, beyond which an artifact is refused before it is read.

    manifest, file, total: of the manifest, of any other file, of all of them; files: how many; header:
    of the safetensors; arrays: how many; nesting: depth of lists and objects in the manifest.
    """

    manifest: int = 16 * 2**20
    file: int = 8 * 2**30
    total: int = 16 * 2**30
    files: int = 1_000
    header: int = 100 * 2**20
    arrays: int = 100_000
    nesting: int = 100


def folder_at(path: str | PathLike[str]) -> Path:
    """The path of an artifact; InvalidInputError for what is none."""
    if not isinstance(path, str | PathLike):
        raise InvalidInputError("path", "is that of a folder", got=repr(path))
    return Path(path)


def is_array_name(name: object) -> bool:
    """Letters, digits, _ . - / and not the one name that safetensors keeps for itself."""
    return isinstance(name, str) and _ARRAY_NAME.fullmatch(name) is not None and name != "__metadata__"


def is_text_name(name: object) -> bool:
    """A plain lower-case file name that is none of the artifact's own."""
    return (
        isinstance(name, str)
        and _TEXT_NAME.fullmatch(name) is not None
        and name not in (MANIFEST, DIGEST, WEIGHTS)
    )
