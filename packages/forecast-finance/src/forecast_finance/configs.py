"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from forecast_core.config import ModelConfig, Search
from forecast_finance.features.catalogue import FeatureConfig

__all__ = ["AlwaysUpConfig", "LightGBMConfig", "MomentumConfig", "RidgeConfig", "TabularConfig"]


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


class TabularConfig(ModelConfig):
    """What models of one row of features share."""

    context_length: int = Field(
        default=120, ge=60, description="bars up to an origin that a symbol needs; 120 where it embeds them"
    )
    features: FeatureConfig = Field(
        default_factory=FeatureConfig, description="options of the smart-money features"
    )
    embedding: Literal["none", "statistical", "chronos"] = Field(
        default="none", description="backend that embeds the last 120 bars"
    )
    embedding_path: str | None = Field(
        default=None, description="checkpoint of the backend, where it takes one"
    )
    embedding_cache: str | None = Field(default=None, description="folder of vectors computed before")
    components: int | None = Field(
        default=None,
        ge=1,
        description="principal components kept of an embedding; none: a channel's dimensions, or what fits",
    )


class RidgeConfig(TabularConfig):
    """Options of `finance/ridge`."""

    ridge: Annotated[float, Search(1e-4, 10.0, log=True)] = Field(
        default=0.1, gt=0, description="penalty of the weights, in mean variances of an input"
    )


class LightGBMConfig(TabularConfig):
    """Options of `finance/lightgbm`."""

    num_leaves: Annotated[int, Search(7, 127, log=True)] = Field(
        default=31, ge=2, description="leaves of a tree"
    )
    learning_rate: Annotated[float, Search(0.01, 0.2, log=True)] = Field(
        default=0.05, gt=0, description="share of each tree that is added"
    )
    max_rounds: int = Field(default=300, ge=1, description="trees of a horizon, at most")
    patience: int = Field(default=30, ge=1, description="rounds without better validation before stopping")
    min_leaf: Annotated[int, Search(20, 500, log=True)] = Field(
        default=100, ge=1, description="windows a leaf holds at least"
    )
    threads: int = Field(default=2, ge=1, description="threads of LightGBM")
