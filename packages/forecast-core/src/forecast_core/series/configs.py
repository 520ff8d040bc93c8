"""Options of the naive baselines."""

from __future__ import annotations

from pydantic import Field

from forecast_core.config import ModelConfig

__all__ = ["NaiveConfig", "SeasonalNaiveConfig"]


class NaiveConfig(ModelConfig):
    """Options of `series/naive`."""

    horizon: int | None = Field(default=None, ge=1, description="steps ahead where predict is not told")


class SeasonalNaiveConfig(ModelConfig):
    """Options of `series/seasonal-naive`."""

    horizon: int | None = Field(default=None, ge=1, description="steps ahead where predict is not told")
    seasonality: int | None = Field(
        default=None, ge=1, description="steps in a season; default: the frequency's (24 for hours)"
    )
