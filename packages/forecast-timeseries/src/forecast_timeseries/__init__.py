"""forecast-timeseries: models, readers and datasets for series of counts, loads and demands."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast_timeseries.configs import LSTMConfig as LSTMConfig
    from forecast_timeseries.readers import (
        read_long as read_long,
        read_wide as read_wide,
        resample as resample,
    )

_EXPORTS = {"configs": ("LSTMConfig",), "readers": ("read_long", "read_wide", "resample")}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
