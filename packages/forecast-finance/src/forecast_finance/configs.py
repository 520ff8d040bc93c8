"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from forecast_core.config import ModelConfig, Search

__all__ = ["AlwaysUpConfig", "MomentumConfig"]


class AlwaysUpConfig(ModelConfig):
    """Options of `finance/always-up`."""

    context_length: int = Field(
        default=60, ge=3, description="bars whose mean and spread of returns are taken to last"
    )


class MomentumConfig(ModelConfig):
    """Options of `finance/momentum`."""

    context_length: Annotated[int, Search(20, 250, step=10)] = Field(
        default=60, ge=3, description="bars over which the past return counts"
    )
    strength: Annotated[float, Search(0.01, 1.0, log=True)] = Field(
        default=0.1, gt=0, le=1, description="share of the past return a bar that is taken to go on"
    )
