"""Calendar features in torch, of the local time in whole microseconds: what an exported network computes.

The same numbers as `forecast_core.data.calendar`, in operations that ONNX has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["clock_features"]

_DAY = 86_400_000_000  # microseconds
_CYCLE = 146_097  # days of the calendar's 400 years, which are whole weeks
_EPOCH = 719_528  # days from 1 January of the year 0 to 1970-01-01
_THURSDAY = 3
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def clock_features(local: Tensor, names: Sequence[str]) -> Tensor:
    """Features [..., len(names)] in float64 of local times [...], int64 microseconds since 1970-01-01 by
    the clock that people live by; years from 1570 on.
    """
    # Counted from 1570, no number is negative: integer division rounds down in torch and in ONNX alike.
    shifted = local + _CYCLE * _DAY
    day = torch.div(shifted, _DAY, rounding_mode="floor")
    share = (shifted - day * _DAY).double() / _DAY
    weekday = torch.remainder(day + _THURSDAY, 7)
    return torch.stack([_feature(name, day, share, weekday) for name in names], -1)


def _feature(name: str, day: Tensor, share: Tensor, weekday: Tensor) -> Tensor:
    if name == "is_weekend":
        return (weekday >= 5).double()
    if name.startswith("is_"):
        return (weekday == _DAYS.index(name.removeprefix("is_"))).double()
    cycle, _, wave = name.rpartition("_")
    turns = {
        "hour": lambda: share,
        "half_day": lambda: 2.0 * share,
        "weekday": lambda: (weekday.double() + share) / 7.0,
        "year": lambda: _of_year(day, share),
    }[cycle]()
    angle = 2.0 * torch.pi * turns
    return torch.sin(angle) if wave == "sin" else torch.cos(angle)


def _of_year(day: Tensor, share: Tensor) -> Tensor:
    """Share of the year that has gone by, of days counted from 1570-01-01 and the share of the day."""
    days = day - _CYCLE + _EPOCH  # from 1 January of the year 0, never negative after 1570
    guess = torch.div(days * 400, _CYCLE, rounding_mode="floor")  # right, or a year off next to its ends
    year = guess - (_begin(guess) > days).long() + (_begin(guess + 1) <= days).long()
    begin = _begin(year)
    return ((days - begin).double() + share) / (_begin(year + 1) - begin).double()


def _begin(year: Tensor) -> Tensor:
    """Days from 1 January of the year 0 to 1 January of a year from 1 on."""
    past = year - 1
    leaps = (
        torch.div(past, 4, rounding_mode="floor")
        - torch.div(past, 100, rounding_mode="floor")
        + torch.div(past, 400, rounding_mode="floor")
    )
    return 365 * year + leaps + 1  # the year 0 is a leap year
