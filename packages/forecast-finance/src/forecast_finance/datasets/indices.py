"""`finance/us-indices`: daily bars of the S&P 500 and the NASDAQ Composite, 1999-2018.

Source: Yahoo! Finance, through the package arch, which ships both as csv files; nothing is downloaded.
"""

from __future__ import annotations

import numpy as np

from forecast_finance.bars import Bars

__all__ = ["load"]


def load() -> Bars:
    """5031 bars each, 1999-01-04 to 2018-12-31: open, high, low, close in points, volume in shares.

    Two sessions of the S&P 500 or NASDAQ that report no volume keep their zero.
    """
    from arch.data import nasdaq, sp500

    tables = {"SP500": sp500.load(), "NASDAQ": nasdaq.load()}
    columns = ["Open", "High", "Low", "Close", "Volume"]
    return Bars(
        symbols=tuple(tables),
        offsets=np.cumsum([0, *map(len, tables.values())]),
        timestamps=np.concatenate([t.index.to_numpy().astype("datetime64[us]") for t in tables.values()]),
        values=np.concatenate([t[columns].to_numpy(dtype=np.float64) for t in tables.values()]),
        interval=np.timedelta64(86_400_000_000, "us"),
    )
