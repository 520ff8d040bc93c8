"""Equality and fingerprints of data classes by what they hold, arrays among it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from forecast_core.arrays import arrays_equal

__all__ = ["fingerprint", "same_content"]


def same_content(a: Any, b: Any) -> bool:
    """Whether two data classes of one type hold the same; NaN equals itself.

    Fields may be arrays, mappings of arrays, or anything with an equality of its own.
    """
    mine, theirs = dict(_parts(a)), dict(_parts(b))
    return mine.keys() == theirs.keys() and all(_same(each, theirs[name]) for name, each in mine.items())


def fingerprint(record: Any) -> str:
    """SHA-256 of all fields of a data class, hex; the same for records of equal content.

    NaN and zero have one form each, since those of any sign or payload are equal.
    """
    digest = hashlib.sha256()
    for name, value in _parts(record):
        if not isinstance(value, np.ndarray):
            digest.update(f"{name}:{value!r};".encode())
            continue
        digest.update(f"{name}:{value.dtype}:{value.shape}:".encode())
        if value.dtype.kind == "M":
            value = value.astype(np.int64)
        elif value.dtype.kind == "f":
            value = np.where(np.isnan(value), np.nan, value + 0.0).astype(value.dtype, copy=False)
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _parts(record: Any) -> Iterator[tuple[str, Any]]:
    """Fields by name; those of a mapping apart, and the mapping's names too, so that none can go missing."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Mapping):
            yield field.name, tuple(value)
            yield from ((f"{field.name}.{name}", each) for name, each in value.items())
        else:
            yield field.name, value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return arrays_equal(a, b)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return False
    return a is b or bool(a == b)
