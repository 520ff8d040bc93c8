"""Data of task `sky`. Core knows it through the protocols `Data` and `Windows` alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core.errors import DataError, ShapeError

CLASSES = ("sun", "cloud", "rain")


@dataclass(frozen=True, eq=False)
class SkyLog:
    """dates [day]: datetime64[D], one a day; codes [day]: positions in CLASSES."""

    dates: np.ndarray
    codes: np.ndarray

    def __post_init__(self) -> None:
        if self.dates.shape != self.codes.shape or self.dates.ndim != 1 or not len(self.dates):
            raise ShapeError("codes", "is [day], one a date, at least one", got=self.codes.shape)
        if not np.isin(self.codes, range(len(CLASSES))).all():
            raise DataError("codes", f"are positions in {CLASSES}")
        if (np.diff(self.dates) != np.timedelta64(1, "D")).any():
            raise DataError("dates", "are one day apart")

    @property
    def timeline(self) -> np.ndarray:
        """The dates: what `between` cuts."""
        return self.dates

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> SkyWindows:
        """A window for every day but the first, each to be predicted from the days before it."""
        days = np.arange(1, len(self.codes), stride)
        if origins is not None:
            days = np.flatnonzero(np.isin(self.dates[:-1], origins)) + 1
        return SkyWindows(self, days)

    def between(self, start: Any, stop: Any) -> SkyLog:
        """Days from `start` up to and without `stop`."""
        low = 0 if start is None else int(np.searchsorted(self.dates, np.datetime64(start, "D")))
        high = len(self.dates) if stop is None else int(np.searchsorted(self.dates, np.datetime64(stop, "D")))
        return SkyLog(self.dates[low:high], self.codes[low:high])

    def extended(self, later: SkyLog) -> SkyLog:
        """This log followed by a later one; lets core change the future when it looks for leaks."""
        return SkyLog(np.append(self.dates, later.dates), np.append(self.codes, later.codes))

    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.dates.astype(np.int64).tobytes() + self.codes.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class SkyWindows:
    """days [n]: positions of the days to be predicted."""

    data: SkyLog
    days: np.ndarray

    groups = strata = None

    def __len__(self) -> int:
        return len(self.days)

    def take(self, index: np.ndarray) -> SkyWindows:
        """The windows at some positions."""
        return SkyWindows(self.data, self.days[index])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes [n], and that all of them were observed."""
        return self.data.codes[self.days], np.ones(len(self), dtype=np.bool_)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The dates predicted."""
        return tuple(self.data.dates[self.days].astype(str).tolist())

    @property
    def origins(self) -> np.ndarray:
        """The day before each: the last one known."""
        before: np.ndarray = self.data.dates[self.days - 1]
        return before

    @property
    def label_ends(self) -> np.ndarray:
        """The days themselves."""
        days: np.ndarray = self.data.dates[self.days]
        return days


def sample_sky(seed: int = 0, *, days: int = 120) -> SkyLog:
    """Simulated days, on which the sky tends to stay as it is."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(len(CLASSES), size=days, p=(0.5, 0.3, 0.2))
    for day in np.flatnonzero(rng.random(days - 1) < 0.5) + 1:
        codes[day] = codes[day - 1]
    return SkyLog(np.datetime64("2024-01-01", "D") + np.arange(days), codes)


def year_of_sky() -> SkyLog:
    """The dataset `hello/sky`."""
    return sample_sky(seed=2024, days=366)
