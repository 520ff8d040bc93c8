"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from forecast_core.config import ModelConfig

__all__ = ["HistoricalAverageConfig", "LastValueConfig", "SeasonalNaiveConfig"]

_HORIZON = Field(default=12, ge=1, description="steps ahead where predict is not told")


class LastValueConfig(ModelConfig):
    """Options of `traffic/last-value`."""

    horizon: int = _HORIZON


class SeasonalNaiveConfig(ModelConfig):
    """Options of `traffic/seasonal-naive`."""

    horizon: int = _HORIZON
    period: Literal["day", "week"] = Field(default="week", description="how long ago the value repeated was")


class HistoricalAverageConfig(ModelConfig):
    """Options of `traffic/historical-average`."""

    horizon: int = _HORIZON
    period: Literal["day", "weekpart", "week"] = Field(
        default="week",
        description="averages of each time of day, of it on working days and weekends, or on each weekday",
    )
    shrinkage: float = Field(
        default=1.0,
        ge=0,
        description="observations that the average over all days counts for beside those of a weekday",
    )
