"""`TuningError`: a study that has no answer."""

from __future__ import annotations

from forecast_core.errors import ForecastError

__all__ = ["TuningError"]


class TuningError(ForecastError):
    """No trial of a study worked, too few did for what was asked, or its storage failed."""
