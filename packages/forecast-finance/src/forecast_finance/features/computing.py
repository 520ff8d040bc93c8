"""All features of all bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core.data.frames import build_frame
from forecast_core.errors import CapabilityError
from forecast_finance.bars import Bars
from forecast_finance.features.catalogue import FeatureConfig, names

__all__ = ["FeatureTable", "compute", "table"]


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """values [n, 29]: a row a bar, in the bars' order, NaN where unknown; names: of the columns."""

    values: np.ndarray
    names: tuple[str, ...]

    @property
    def known(self) -> np.ndarray:
        """Which values are known [n, 29]."""
        known: np.ndarray = ~np.isnan(self.values)
        return known


def compute(bars: Bars, *, config: FeatureConfig | None = None, backend: str | None = None) -> Any:
    """A frame, a row a bar: symbol, timestamp, the 29 features, and for each `<name>_known`, its mask.

    Unknown values are NaN. backend: pandas, polars or pyarrow; default the first installed.
    """
    found = table(bars, config=config)
    columns: dict[str, Any] = {
        "symbol": np.array(bars.symbols, dtype=object)[bars.symbol_of_row].tolist(),
        "timestamp": bars.timestamps,
    }
    columns |= {name: found.values[:, k] for k, name in enumerate(found.names)}
    known = found.known
    columns |= {f"{name}_known": known[:, k] for k, name in enumerate(found.names)}
    return build_frame(columns, backend=backend)


def table(bars: Bars, *, config: FeatureConfig | None = None) -> FeatureTable:
    """The features as an array; see `names` for the order of columns."""
    # numba and TA-Lib are slow to import, and only computing needs them.
    from forecast_finance.features import structure, technical, timeframes, zones

    if not isinstance(bars, Bars):
        raise CapabilityError(f"features are computed of Bars, not of a {type(bars).__name__}")
    config = FeatureConfig() if config is None else config
    n, offsets = len(bars), np.asarray(bars.offsets)
    out = np.empty((len(names()), n))
    atr = np.empty(n)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        atr[begin:end] = technical.technical(bars.values[begin:end], out[:12, begin:end])
    opened, high, low, close, _ = np.ascontiguousarray(bars.values.T)
    step = bars.interval / np.timedelta64(1, "h")
    for k, (timeframe, shortest, longest) in enumerate(timeframes.TIMEFRAMES, start=12):
        if step > longest:
            out[k] = np.nan
            continue
        number = timeframes.periods(bars.timestamps, timeframe)
        out[k] = timeframes.closed_trend(close, number, offsets, bool(step >= shortest))
    blocks = zones.order_blocks(opened, high, low, close, offsets, config.displacement)
    gaps = zones.fair_value_gaps(high, low, offsets)
    live = zones.live_zones(blocks, high, low, close, atr, offsets, config.expiry)
    out[17:19], out[21] = live[:2], live[2]
    live = zones.live_zones(gaps, high, low, close, atr, offsets, config.expiry)
    out[19:21], out[22] = live[:2], live[2]
    out[23:29] = structure.breaks_of_structure(high, low, close, atr, offsets, config.swing_length)
    return FeatureTable(out.T, names())
