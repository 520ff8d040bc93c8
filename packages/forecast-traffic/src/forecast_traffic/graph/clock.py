"""The calendar as whole numbers: slot of the day, day of the week, week of the year."""

from __future__ import annotations

import numpy as np

from forecast_core.data import Freq
from forecast_core.data.calendar import local_time
from forecast_core.errors import FrequencyError

__all__ = ["CLOCK", "clock", "slots_of_day"]

CLOCK = ("slot", "weekday", "week")

_DAY = np.timedelta64(1, "D")


def slots_of_day(freq: Freq) -> int:
    """Steps in a day; FrequencyError where that is no whole number."""
    if freq.is_fixed and _DAY % freq.delta == np.timedelta64(0):
        return int(_DAY // freq.delta)
    raise FrequencyError("freq", "divides a day into equal steps, such as '5min' or 'h'", got=str(freq))


def clock(timestamps: np.ndarray, freq: Freq, *, tz: str | None = None) -> np.ndarray:
    """Slot of the day, weekday (0 is Monday) and week of the year (0..52) of UTC times; int64 [..., 3].

    tz: the zone whose clock is read; None takes the times as they are.
    """
    local = timestamps.astype("datetime64[us]") if tz is None else local_time(timestamps, tz)
    day = local.astype("datetime64[D]")
    slot = (local - day) // freq.delta
    weekday = (day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    week = (day - local.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7
    slot = np.minimum(slot.astype(np.int64), slots_of_day(freq) - 1)
    return np.stack([slot, weekday, week], axis=-1)
