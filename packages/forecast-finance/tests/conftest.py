"""Bars that tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from forecast_finance import Bars, read_bars

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "finance"


@pytest.fixture(scope="session")
def dow() -> Bars:
    """Daily bars of 31 Dow names, 2006-2017; skips where the data is not there."""
    folder = DATA / "djia30_daily"
    if not folder.is_dir():
        pytest.skip("set FORECAST_DATA to the folder of public data sets")
    return read_bars(folder, symbol="Name", timestamp="Date", invalid="drop")


@pytest.fixture
def bars_of() -> type[_Maker]:
    """A maker of one symbol's bars from rows of open, high, low, close."""
    return _Maker


class _Maker:
    """One symbol's bars from lists."""

    @staticmethod
    def rows(
        rows: list[tuple[float, float, float, float]], *, volume: float = 100.0, hours: int = 24
    ) -> Bars:
        """Bars of (open, high, low, close), `hours` apart."""
        n = len(rows)
        start = np.datetime64("2024-01-01", "us")
        return Bars(
            symbols=("X",),
            offsets=np.array([0, n]),
            timestamps=start + np.arange(n) * np.timedelta64(hours, "h"),
            values=np.column_stack([np.array(rows, dtype=np.float64), np.full(n, volume)]),
            interval=np.timedelta64(hours * 3_600_000_000, "us"),
        )

    @staticmethod
    def closes(closes: list[float], *, hours: int = 24) -> Bars:
        """Bars whose open, high, low and close are one price."""
        return _Maker.rows([(c, c, c, c) for c in closes], hours=hours)
