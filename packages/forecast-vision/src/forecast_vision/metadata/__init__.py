"""What came with a photo: reading it from exports, and describing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_vision.metadata.parsing import parse_metadata as parse_metadata
    from forecast_vision.metadata.record import FIELDS as FIELDS, Metadata as Metadata

_EXPORTS = {
    "parsing": ("parse_metadata",),
    "record": ("FIELDS", "Metadata"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
