"""forecast-traffic: what moves on roads and pavements; `forecast_traffic.trajectory` holds trajectories."""

from __future__ import annotations

from forecast_core.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(__name__, {}, modules=("trajectory",))
__version__ = "0.1.0"
