"""The calendar as whole numbers: slot of the day, day of the week, week of the year."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Self

import numpy as np

from forecast_core.data import Freq
from forecast_core.data.calendar import local_time
from forecast_core.errors import DataError, FrequencyError

__all__ = ["CLOCK", "Calendar", "clock", "days", "slots_of_day"]

CLOCK = ("slot", "weekday", "week")

_DAY = np.timedelta64(1, "D")
_SUNDAY = 6


def slots_of_day(freq: Freq) -> int:
    """Steps in a day; FrequencyError where that is no whole number."""
    if freq.is_fixed and _DAY % freq.delta == np.timedelta64(0):
        return int(_DAY // freq.delta)
    raise FrequencyError("freq", "divides a day into equal steps, such as '5min' or 'h'", got=str(freq))


@dataclass(frozen=True)
class Calendar:
    """What dates mean at a place. tz: the zone whose clock is read. holidays: days whose traffic is that of
    Sundays. None: not told.
    """

    tz: str | None = None
    holidays: tuple[date, ...] | None = None

    def or_else(self, other: Self) -> Calendar:
        """This one, and of the other what this one does not tell."""
        return Calendar(
            other.tz if self.tz is None else self.tz,
            other.holidays if self.holidays is None else self.holidays,
        )

    def joined(self, other: Self) -> Calendar:
        """This one with the holidays of both."""
        told = (*(self.holidays or ()), *(other.holidays or ()))
        either = self.or_else(other)
        return Calendar(either.tz, days("holidays", told) if told else either.holidays)

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes an equal one of, fit for JSON."""
        told = self.holidays
        return {"tz": self.tz, "holidays": None if told is None else [day.isoformat() for day in told]}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Calendar:
        """What `to_dict` told."""
        held = found["holidays"]
        return cls(found["tz"], None if held is None else tuple(map(date.fromisoformat, held)))


def days(argument: str, given: Iterable[Any]) -> tuple[date, ...]:
    """Distinct days, sorted, of dates, ISO 8601 texts, datetime64 or datetimes at midnight.

    Raises DataError naming the argument and the first entry that is no day.
    """
    rule = "are days, such as '2024-12-25'"
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(argument, rule, got=repr(given), hint="one day is a list of one")
    found = set()
    for k, value in enumerate(given):
        try:
            found.add(_day(value))
        except ValueError as error:
            raise DataError(argument, rule, place=f"entry {k}", got=repr(value)) from error
    return tuple(sorted(found))


def _day(value: Any) -> date:
    """ValueError for what is none."""
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()  # None where it is missing
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, datetime) and value == value:  # a missing time equals nothing
        if value.time() != time():
            raise ValueError("not at midnight")
        return value.date()
    if isinstance(value, date) and value == value:
        return value
    raise ValueError("no day")


def clock(timestamps: np.ndarray, freq: Freq, calendar: Calendar | None = None) -> np.ndarray:
    """Slot of the day, weekday (0 is Monday) and week of the year (0..52) of UTC times; int64 [..., 3].

    calendar: without a zone the times are taken as they are; holidays are Sundays.
    """
    calendar = calendar or Calendar()
    tz = calendar.tz
    local = timestamps.astype("datetime64[us]") if tz is None else local_time(timestamps, tz)
    day = local.astype("datetime64[D]")
    slot = (local - day) // freq.delta
    weekday = (day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    if calendar.holidays:
        holidays = np.array(calendar.holidays, dtype="datetime64[D]")
        weekday = np.where(np.isin(day, holidays), _SUNDAY, weekday)
    week = (day - local.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7
    slot = np.minimum(slot.astype(np.int64), slots_of_day(freq) - 1)
    return np.stack([slot, weekday, week], axis=-1)
