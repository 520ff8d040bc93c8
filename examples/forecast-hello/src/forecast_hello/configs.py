"""Options of this package's models. Validation, flags, forms, docs and tuning all follow from these."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from forecast_core import ModelConfig, Search


class MeanConfig(ModelConfig):
    """Options of `hello/mean`."""

    horizon: int = Field(default=24, ge=1, description="steps ahead where predict is not told")
    seasonality: Annotated[int | None, Search(choices=(None, 24, 168))] = Field(
        default=None, ge=1, description="steps in a season; none: one mean for all"
    )


class FrequencyConfig(ModelConfig):
    """`hello/sky-frequency` has no options."""


class MarkovConfig(ModelConfig):
    """Options of `hello/sky-markov`."""

    smoothing: Annotated[float, Search(0.1, 10.0, log=True)] = Field(
        default=1.0, gt=0, description="days of each kind imagined before the first is seen"
    )
