"""Calendar features by name, computed from timestamps alone, also past the end of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, near_misses

__all__ = ["CALENDAR_FEATURES", "calendar_features", "local_time"]

_TWO_PI = 2.0 * np.pi
_DAY = 86_400  # seconds


def _of_day(t: np.ndarray) -> np.ndarray:
    share: np.ndarray = (t - t.astype("datetime64[D]")) / np.timedelta64(1, "D")
    return share


def _weekday(t: np.ndarray) -> np.ndarray:
    return (t.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday


def _of_year(t: np.ndarray) -> np.ndarray:
    year = t.astype("datetime64[Y]")
    following = (year + 1).astype("datetime64[us]")
    share: np.ndarray = (t - year) / (following - year.astype("datetime64[us]"))
    return share


def _day(k: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda t: (_weekday(t) == k).astype(np.float64)


# name -> function of local timestamps; each lies in [-1, 1]
CALENDAR_FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hour_sin": lambda t: np.sin(_TWO_PI * _of_day(t)),
    "hour_cos": lambda t: np.cos(_TWO_PI * _of_day(t)),
    "half_day_sin": lambda t: np.sin(2.0 * _TWO_PI * _of_day(t)),
    "half_day_cos": lambda t: np.cos(2.0 * _TWO_PI * _of_day(t)),
    "weekday_sin": lambda t: np.sin(_TWO_PI * (_weekday(t) + _of_day(t)) / 7.0),
    "weekday_cos": lambda t: np.cos(_TWO_PI * (_weekday(t) + _of_day(t)) / 7.0),
    "year_sin": lambda t: np.sin(_TWO_PI * _of_year(t)),
    "year_cos": lambda t: np.cos(_TWO_PI * _of_year(t)),
    "is_weekend": lambda t: (_weekday(t) >= 5).astype(np.float64),
    **{
        f"is_{name}": _day(k)
        for k, name in enumerate(
            ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        )
    },
}


def calendar_features(timestamps: np.ndarray, names: Sequence[str], *, tz: str | None = None) -> np.ndarray:
    """Features [..., len(names)] of UTC timestamps [...], in float64 within [-1, 1].

    tz: zone whose clock people live by; None takes the timestamps as they are. Raises InvalidInputError
    for an unknown name or zone.
    """
    unknown = next((name for name in names if name not in CALENDAR_FEATURES), None)
    if unknown is not None:
        raise InvalidInputError(
            "names", "are calendar features", got=repr(unknown), hint=near_misses(unknown, CALENDAR_FEATURES)
        )
    if not names:
        return np.empty((*np.shape(timestamps), 0))
    local = local_time(timestamps, tz)
    return np.stack([CALENDAR_FEATURES[name](local) for name in names], axis=-1)


def local_time(timestamps: np.ndarray, tz: str | None) -> np.ndarray:
    """UTC timestamps as the wall clock of `tz` shows them, datetime64[us].

    Raises InvalidInputError for an unknown zone, DataError for years in which no zone is known.
    """
    stamps = np.asarray(timestamps).astype("datetime64[us]")
    if tz is None or tz == "UTC" or stamps.size == 0:
        return stamps
    try:
        zone = ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError) as error:
        hint = "name a place, which a bare offset does not"
        raise InvalidInputError(
            "tz", "is a time zone such as 'Pacific/Auckland'", got=repr(tz), hint=hint
        ) from error
    seconds = (stamps - np.datetime64(0, "us")) // np.timedelta64(1, "s")
    # No zone changes its clock twice within a day: where both ends of a day agree, so does all between.
    day, which = np.unique(seconds // _DAY, return_inverse=True)
    shift = _offsets(day * _DAY, zone)[which].reshape(stamps.shape)
    changing = shift != _offsets((day + 1) * _DAY, zone)[which].reshape(stamps.shape)
    shift[changing] = _offsets(seconds[changing], zone)
    local: np.ndarray = stamps + shift
    return local


def _offsets(seconds: np.ndarray, zone: ZoneInfo) -> np.ndarray:
    """What the zone's clock is ahead of UTC at some seconds since 1970, timedelta64[us]."""
    try:
        ahead = [datetime.fromtimestamp(s, zone).utcoffset() for s in seconds.tolist()]
    except (ValueError, OverflowError) as error:
        raise DataError(
            "timestamps", f"lie in the years 1 to 9999 where they have a zone ({error})"
        ) from error
    return np.array(ahead, dtype="timedelta64[us]")
