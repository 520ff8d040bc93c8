"""Metadata as real exports write it: nested or flat, lists as text, positions in four ways. Text is data."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from math import isnan
from typing import Any

from forecast_core.errors import DataError
from forecast_vision.metadata.record import Metadata

__all__ = ["parse_metadata"]

_NESTED = "scene_level_tags"
_ALIASES = {
    "gps": ("gps",),
    "weather": ("weather",),
    "daytime": ("daytime", "time"),
    "scene_environment": ("scene_environment", "environment"),
    "scene_description": ("scene_description", "description"),
    "travel_alteration": ("travel_alteration", "alteration"),
    "city": ("city",),
    "video_id": ("video_id",),
}
_NOTHING = {"", "none", "null", "nan", "n/a", "na"}
_LONGEST = {"gps": 200, "text": 20_000}  # characters of a field
_BETWEEN = " / "  # several values of one field, in order of the alphabet


def parse_metadata(record: Mapping[str, Any]) -> Metadata:
    """The metadata in one record of an export; what is absent or says nothing is None.

    Fields stand at the top, under "scene_level_tags", or as "scene_level_tags.<field>"; `time`,
    `environment`, `alteration` and `description` are other names of daytime, scene_environment,
    travel_alteration and scene_description. A text may be a list, also written as one ("['Sunny']", "[]",
    "['None']"); several values are joined in order of the alphabet. gps: a pair, "[39.77, -86.18]",
    "(39.77, -86.18)" or null. Text that looks like a list is read as a literal, never evaluated. Other keys
    are left alone. Raises DataError naming the field for anything else, or where two names of one field
    disagree.
    """
    if not isinstance(record, Mapping):
        raise DataError("record", "is a mapping of field names to values", got=type(record).__name__)
    nested = record.get(_NESTED)
    if isinstance(nested, str):
        nested = _literal(_NESTED, nested, kinds=(dict,))
    if nested is not None and not isinstance(nested, Mapping):
        raise DataError(_NESTED, "is a mapping", got=type(nested).__name__)
    found: dict[str, Any] = {}
    for field, names in _ALIASES.items():
        read = _gps if field == "gps" else _text
        values = {}
        for name in names:
            for place, holder in ((name, record), (f"{_NESTED}.{name}", record), (name, nested or {})):
                value = read(place, holder.get(place))
                if value is not None:
                    values[place if holder is record else f"{_NESTED}.{name}"] = value
        if len(set(values.values())) > 1:
            raise DataError(field, "is the same under all its names", got=values)
        found[field] = next(iter(values.values()), None)
    return Metadata(**found)


def _text(field: str, value: Any) -> str | None:
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _LONGEST["text"]:
            raise DataError(field, f"has at most {_LONGEST['text']:,} characters", got=len(value))
        if value.startswith("[") and value.endswith("]"):
            value = _literal(field, value, kinds=(list,))
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, list | tuple):
        parts = [part for each in value if (part := _scalar(field, each)) is not None]
        return _BETWEEN.join(sorted(set(parts))) or None
    return _scalar(field, value)


def _scalar(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if field.rpartition(".")[2] == "video_id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(field, "is text or a list of texts", got=repr(value)[:80])
    text = " ".join(value.split())
    return None if text.casefold() in _NOTHING else text


def _gps(field: str, value: Any) -> tuple[float, float] | None:
    if isinstance(value, str):
        text = value.strip()
        if text.casefold() in _NOTHING or text == "[]":
            return None
        if len(text) > _LONGEST["gps"]:
            raise DataError(field, f"has at most {_LONGEST['gps']} characters", got=len(text))
        value = _literal(field, text, kinds=(list, tuple))
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if hasattr(value, "tolist"):  # an array
        value = value.tolist()
    if not isinstance(value, list | tuple) or (len(value) != 2 and value):
        raise DataError(field, "is a pair of latitude and longitude", got=repr(value)[:80])
    if not value or (value[0] is None and value[1] is None):
        return None
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise DataError(field, "is a pair of numbers", got=repr(value)[:80])
    try:
        return Metadata(gps=(float(value[0]), float(value[1]))).gps
    except OverflowError as error:
        raise DataError(field, "is a pair of numbers of degrees", got=repr(value)[:80]) from error


def _literal(field: str, text: str, *, kinds: tuple[type, ...]) -> Any:
    """A list, pair or mapping written as JSON or as a Python literal."""
    value: Any = None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise DataError(field, "is a value or a list of them", got=repr(text)[:80]) from error
    if not isinstance(value, kinds):
        raise DataError(field, f"is a {' or '.join(k.__name__ for k in kinds)}", got=repr(text)[:80])
    return value
