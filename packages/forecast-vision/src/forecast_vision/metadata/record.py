"""`Metadata`: what may be known of a photo besides its pixels, each field on its own or missing."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from forecast_core.errors import DataError
from forecast_core.validation import typed_error

__all__ = ["FIELDS", "TEXTS", "Metadata"]

TEXTS = (
    "weather",
    "daytime",
    "scene_environment",
    "scene_description",
    "travel_alteration",
    "city",
    "video_id",
)
FIELDS = ("gps", *TEXTS)


class Metadata(BaseModel):
    """gps: latitude and longitude in degrees; the rest plain text. None: not known.

    (0, 0) is a place like any other. Raises DataError naming the field for a position off the globe or an
    empty text; `parse_metadata` reads the formats of exports.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gps: tuple[float, float] | None = None
    weather: str | None = None
    daytime: str | None = None
    scene_environment: str | None = None
    scene_description: str | None = None
    travel_alteration: str | None = None
    city: str | None = None
    video_id: str | None = None

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            owner, known = type(self).__name__, type(self).model_fields
            raise typed_error(owner, error, known=known, kind=DataError) from error

    @field_validator("gps")
    @classmethod
    def _on_the_globe(cls, gps: tuple[float, float] | None) -> tuple[float, float] | None:
        if gps is None:
            return None
        if not all(isfinite(x) for x in gps) or abs(gps[0]) > 90 or abs(gps[1]) > 180:
            rule = "is a latitude in -90..90 and a longitude in -180..180"
            raise DataError("Metadata.gps", rule, got=gps)
        return gps

    @field_validator(*TEXTS)
    @classmethod
    def _not_empty(cls, text: str | None) -> str | None:
        if text is not None and not text.strip():
            raise DataError("Metadata", "holds text or None, never an empty text")
        return text

    def present(self) -> frozenset[str]:
        """Names of the fields that are known."""
        return frozenset(name for name in FIELDS if getattr(self, name) is not None)
