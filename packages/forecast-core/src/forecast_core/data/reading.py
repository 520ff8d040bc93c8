"""What core reads off data and windows of any task: the rows known, and the data behind windows."""

from __future__ import annotations

import hashlib
from dataclasses import is_dataclass, replace
from typing import Any

import numpy as np

from forecast_core.data.protocols import Data
from forecast_core.errors import PluginError

__all__ = [
    "fingerprint_of",
    "in_zone",
    "known_timeline",
    "last_time",
    "later",
    "selection_of",
    "signature_of",
    "source_of",
]


def known_timeline(data: Data) -> np.ndarray:
    """The timeline without rows of pure future at its end."""
    timeline: np.ndarray = data.timeline[: getattr(data, "known_rows", len(data.timeline))]
    return timeline


def source_of(data: Any) -> Any:
    """The data behind windows, where they tell; else what was given."""
    return getattr(data, "panel", getattr(data, "data", data)) if not isinstance(data, Data) else data


def in_zone(data: Any, tz: Any) -> Any:
    """Data that could name a time zone and does not, or windows of such data, in the zone `tz`; whatever else
    there is as it is.
    """
    if tz is None or not is_dataclass(source := source_of(data)) or getattr(source, "tz", tz) is not None:
        return data
    zoned = replace(source, tz=tz)  # type: ignore[type-var]
    return (
        zoned if source is data else replace(data, **{"panel" if hasattr(data, "panel") else "data": zoned})
    )


def signature_of(data: Any) -> dict[str, Any]:
    """Columns, items and frequency of data or of the data behind windows; else its type."""
    source = source_of(data)
    describe = getattr(source, "signature", None)
    return dict(describe()) if describe is not None else {"type": type(source).__name__.lower()}


def fingerprint_of(data: Any) -> str:
    """Content hash of data, or of the data behind windows; PluginError where there is none."""
    fingerprint = getattr(source_of(data), "fingerprint", None)
    if fingerprint is None:
        raise PluginError(f"{type(data).__name__} has no fingerprint for lineage")
    return str(fingerprint())


def selection_of(*parts: Any) -> str | None:
    """Digest of which windows of their data some are, None skipped; None where no part is windows."""
    chosen = [part for part in parts if part is not None and not isinstance(part, Data)]
    if not chosen:
        return None
    digest = hashlib.sha256()
    for windows in chosen:
        for name in ("origins", "label_ends", "groups"):
            array = getattr(windows, name)
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def last_time(*parts: Any) -> str | None:
    """Time of the last row of some data or windows, None skipped; None for data without time."""
    found: list[str | None] = []
    for part in parts:
        if part is None:
            continue
        times = known_timeline(part) if isinstance(part, Data) else part.label_ends
        if times is not None and len(times) and times.dtype.kind == "M":
            found.append(str(times.max()))
    return later(*found)


def later(*times: str | None) -> str | None:
    """The latest of some times as text, None skipped; None if there is none."""
    known = [np.datetime64(time) for time in times if time is not None]
    return str(max(known)) if known else None
