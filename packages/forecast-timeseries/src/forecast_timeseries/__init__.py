"""forecast-timeseries: models, readers and datasets for series of counts, loads and demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_timeseries.configs import (
        DriftConfig as DriftConfig,
        GBMConfig as GBMConfig,
        LinearConfig as LinearConfig,
        LSTMConfig as LSTMConfig,
    )
    from forecast_timeseries.readers import (
        read_long as read_long,
        read_wide as read_wide,
        resample as resample,
    )

_EXPORTS = {
    "configs": ("DriftConfig", "GBMConfig", "LSTMConfig", "LinearConfig"),
    "readers": ("read_long", "read_wide", "resample"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
__version__ = "0.1.0"
