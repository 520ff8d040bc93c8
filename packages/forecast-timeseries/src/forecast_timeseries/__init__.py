"""forecast-timeseries: models, readers and datasets for series of counts, loads and demands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_timeseries.configs import (
        ChronosConfig as ChronosConfig,
        DriftConfig as DriftConfig,
        ETSConfig as ETSConfig,
        GBMConfig as GBMConfig,
        LinearConfig as LinearConfig,
        LSTMConfig as LSTMConfig,
        PatchTransformerConfig as PatchTransformerConfig,
    )
    from forecast_timeseries.history import LiveScores as LiveScores, PredictionHistory as PredictionHistory
    from forecast_timeseries.readers import (
        read_long as read_long,
        read_wide as read_wide,
        resample as resample,
    )
    from forecast_timeseries.realtime import (
        OutOfRangeWarning as OutOfRangeWarning,
        RealTimePredictor as RealTimePredictor,
        ShortWindowWarning as ShortWindowWarning,
    )
    from forecast_timeseries.stream import StreamBuffer as StreamBuffer

_EXPORTS = {
    "configs": (
        "ChronosConfig",
        "DriftConfig",
        "ETSConfig",
        "GBMConfig",
        "LSTMConfig",
        "LinearConfig",
        "PatchTransformerConfig",
    ),
    "history": ("LiveScores", "PredictionHistory"),
    "readers": ("read_long", "read_wide", "resample"),
    "realtime": ("OutOfRangeWarning", "RealTimePredictor", "ShortWindowWarning"),
    "stream": ("StreamBuffer",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
__version__ = "0.1.0"
