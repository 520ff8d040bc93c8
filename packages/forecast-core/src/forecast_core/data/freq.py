"""Frequencies: a count and a unit, and the arithmetic of timestamps on that grid."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from forecast_core.data.instants import instants
from forecast_core.errors import FrequencyError, near_misses

__all__ = ["Freq"]

# unit -> microseconds
_FIXED = {
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "D": 86_400_000_000,
    "W": 604_800_000_000,
}
_MONTHS = {"MS": 1, "QS": 3, "YS": 12}
_ALIASES = {"H": "h", "T": "min", "S": "s", "d": "D", "w": "W", "L": "ms", "M": "MS", "Q": "QS", "Y": "YS"}
_DAY = _FIXED["D"]
_LONGEST = 366_000 * _DAY
_FOUR_YEARS = 48  # months, one February of which is longer
_NOON = np.timedelta64(12, "h")
_MONDAY = np.datetime64("1970-01-05", "us")


@dataclass(frozen=True)
class Freq:
    """A step of time: `n` units of ms, s, min, h, D, W (Monday weeks), MS, QS or YS (month starts).

    `Freq.parse("5min")`, `Freq.parse("h")`. Fixed units count microseconds in UTC; month units follow
    the calendar. Equal steps are one frequency, told in the longest unit: 60min is h, 24h D, 7D W, 3MS QS.
    """

    n: int
    unit: str

    def __post_init__(self) -> None:
        if self.unit not in _FIXED and self.unit not in _MONTHS:
            raise FrequencyError(
                "freq", "has a known unit", got=repr(self.unit), hint=near_misses(self.unit, _units())
            )
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise FrequencyError("freq", "counts at least one unit", got=self.n)
        if self.n * (_FIXED.get(self.unit) or _MONTHS[self.unit] * 31 * _DAY) > _LONGEST:
            raise FrequencyError("freq", "is shorter than a thousand years", got=f"{self.n} {self.unit}")
        units = _FIXED if self.unit in _FIXED else _MONTHS
        step = self.n * units[self.unit]
        unit = next(unit for unit, size in reversed(units.items()) if step % size == 0)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "n", step // units[unit])

    @classmethod
    def parse(cls, text: str | Freq) -> Freq:
        """From a text such as "h", "15min", "D"; FrequencyError with near misses otherwise."""
        if isinstance(text, Freq):
            return text
        match = re.fullmatch(r"\s*(\d{0,18})\s*([A-Za-z]+)\s*", text) if isinstance(text, str) else None
        if match is None:
            raise FrequencyError("freq", "is a count and a unit, such as '5min'", got=repr(text))
        count, unit = match.groups()
        return cls(int(count) if count else 1, _ALIASES.get(unit, unit))

    @classmethod
    def infer(cls, timestamps: np.ndarray) -> Freq:
        """From distinct sorted timestamps: their most common step; FrequencyError with fewer than two."""
        stamps = instants("timestamps", timestamps)
        if len(stamps) < 2:
            raise FrequencyError(
                "timestamps", "are at least two to infer a frequency from", hint="give freq="
            )
        months = stamps.astype("datetime64[M]")
        if (stamps == months).all() and np.diff(months.astype(np.int64)).min() >= 1:
            return cls(_commonest(np.diff(months.astype(np.int64))), "MS")
        step = _commonest(np.diff(stamps).astype(np.int64))
        if step % _FIXED["ms"]:
            raise FrequencyError("timestamps", "have a step of whole milliseconds", got=f"{step} us")
        return cls(step // _FIXED["ms"], "ms")

    def __str__(self) -> str:
        return self.unit if self.n == 1 else f"{self.n}{self.unit}"

    @property
    def is_fixed(self) -> bool:
        """Whether every step lasts equally long."""
        return self.unit in _FIXED

    @property
    def delta(self) -> np.timedelta64:
        """Length of a step; FrequencyError for calendar months."""
        if not self.is_fixed:
            raise FrequencyError("freq", "has a fixed length", got=str(self))
        return np.timedelta64(self.n * _FIXED[self.unit], "us")

    @property
    def seasonality(self) -> int:
        """The customary seasonal period in steps: a day within days, a week of days, a year of the rest.

        1 where no whole number of steps makes a period.
        """
        if self.unit in _MONTHS:
            period, step = 12, self.n * _MONTHS[self.unit]
        elif self.unit in ("D", "W"):
            period, step = 7 if self.unit == "D" else 52, self.n
        else:
            period, step = _DAY, self.n * _FIXED[self.unit]
        return period // step if period % step == 0 else 1

    def shift(self, timestamps: np.ndarray, steps: int | np.ndarray) -> np.ndarray:
        """Timestamps moved by a number of steps, which broadcasts; earlier where negative."""
        stamps = np.asarray(timestamps).astype("datetime64[us]")
        if self.is_fixed:
            return stamps + np.asarray(steps) * self.delta
        months = stamps.astype("datetime64[M]")
        moved = months + np.asarray(steps) * np.timedelta64(self.n * _MONTHS[self.unit], "M")
        result: np.ndarray = moved.astype("datetime64[us]") + (stamps - months.astype("datetime64[us]"))
        return result

    def range(self, start: np.datetime64 | np.ndarray, periods: int) -> np.ndarray:
        """`periods` timestamps from `start` on, datetime64[us]."""
        return self.shift(np.asarray(start, dtype="datetime64[us]"), np.arange(periods))

    def offset(self, timestamps: np.ndarray, start: np.datetime64 | np.ndarray) -> np.ndarray:
        """Steps from `start` to each timestamp, integers.

        FrequencyError, naming the first offender, where one does not lie on the grid through `start`.
        """
        stamps = np.asarray(timestamps).astype("datetime64[us]")
        first = np.asarray(start).astype("datetime64[us]")
        if self.is_fixed:
            steps = (stamps - first) // self.delta
        else:
            between = stamps.astype("datetime64[M]") - first.astype("datetime64[M]")
            steps = between.astype(np.int64) // (self.n * _MONTHS[self.unit])
        wrong = np.flatnonzero(self.shift(first, steps) != stamps)
        if not len(wrong) and not self._keeps_day(first):
            wrong = np.zeros(1, dtype=np.int64)
        if len(wrong):
            raise FrequencyError(
                "timestamps",
                f"lie on the {self} grid through {first}",
                place=f"row {wrong[0]}",
                got=stamps.reshape(-1)[wrong[0]],
                hint=_hint(stamps.reshape(-1)),
            )
        result: np.ndarray = steps.astype(np.int64)
        return result

    def _keeps_day(self, first: np.ndarray) -> bool:
        """Whether every month of the grid through `first` has its day."""
        if self.is_fixed:
            return True
        grid = self.shift(first[..., None], np.arange(_FOUR_YEARS))
        return bool((_day_of_month(grid) == _day_of_month(first)[..., None]).all())

    def floor(self, timestamps: np.ndarray) -> np.ndarray:
        """Start of the period each timestamp falls in; weeks start on Monday, periods count from 1970."""
        stamps = np.asarray(timestamps).astype("datetime64[us]")
        if self.is_fixed:
            anchor = _MONDAY if self.unit == "W" else np.datetime64(0, "us")
            return anchor + (stamps - anchor) // self.delta * self.delta
        months = stamps.astype("datetime64[M]").astype(np.int64)
        size = self.n * _MONTHS[self.unit]
        return (months // size * size).astype("datetime64[M]").astype("datetime64[us]")


def _day_of_month(stamps: np.ndarray) -> np.ndarray:
    days = stamps.astype("datetime64[D]")
    result: np.ndarray = (days - stamps.astype("datetime64[M]")).astype(np.int64) + 1
    return result


def _hint(stamps: np.ndarray) -> str:
    """What to do about times that lie on no grid."""
    apart = np.unique(stamps - (stamps + _NOON).astype("datetime64[D]"))  # from the nearest midnight
    if len(apart) == 2 and np.diff(apart)[0] == np.timedelta64(1, "h"):
        return "they are midnights of a clock that changes: take the zone off the times (tz_localize(None))"
    days = stamps.astype("datetime64[D]")
    ends = ((days + 1).astype("datetime64[M]") > days.astype("datetime64[M]")).all()
    if ends and len(np.unique(days)) > 1:
        return "they are ends of months: give the first days of these months instead"
    return "resample first, or give another freq"


def _units() -> list[str]:
    return [*_FIXED, *_MONTHS]


def _commonest(steps: np.ndarray) -> int:
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[counts.argmax()])
    if step < 1:
        raise FrequencyError("timestamps", "increase")
    return step
