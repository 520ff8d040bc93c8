"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecast_core.config import ModelConfig, Search
from forecast_core.errors import ConfigError
from forecast_finance.embeddings.backends import LOOKBACK
from forecast_finance.features.catalogue import FeatureConfig

__all__ = [
    "AlwaysUpConfig",
    "EnsembleConfig",
    "LightGBMConfig",
    "MomentumConfig",
    "NetworkConfig",
    "RidgeConfig",
    "TFTConfig",
    "TabularConfig",
    "TimeFormerConfig",
    "VetoConfig",
]


Horizon = Annotated[
    int, Field(ge=1, description="returns to predict: over the first so many of the data's horizons")
]


class AlwaysUpConfig(ModelConfig):
    """Options of `finance/always-up`."""

    horizon: Horizon = 3
    context_length: int = Field(
        default=60, ge=3, description="bars whose mean and spread of returns are taken to last"
    )


class MomentumConfig(ModelConfig):
    """Options of `finance/momentum`."""

    horizon: Horizon = 3
    context_length: Annotated[int, Search(20, 250, step=10)] = Field(
        default=60, ge=3, description="bars over which the past return counts"
    )
    strength: Annotated[float, Search(0.01, 1.0, log=True)] = Field(
        default=0.1, gt=0, le=1, description="share of the past return a bar that is taken to go on"
    )


class TabularConfig(ModelConfig):
    """What models of one row of features share."""

    horizon: Horizon = 3
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

    @model_validator(mode="after")
    def _embeds(self) -> Self:
        if self.embedding != "none" and self.context_length < LOOKBACK:
            raise ConfigError(
                f"{type(self).__name__}.context_length",
                f"is at least {LOOKBACK} where the last {LOOKBACK} bars are embedded",
                got=self.context_length,
            )
        return self


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
    threads: int = Field(default=1, ge=1, description="threads of LightGBM")


class NetworkConfig(TabularConfig):
    """What networks over a window of bars share."""

    embedding: Literal["none", "statistical", "chronos"] = Field(
        default="statistical", description="backend that embeds the last 120 bars"
    )
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(default=0.2, ge=0, lt=1, description="dropout rate")
    batch_size: Annotated[int, Search(64, 512, log=True)] = Field(
        default=128, ge=1, description="windows a step"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        default=1e-3, gt=0, description="peak of the one-cycle schedule"
    )
    weight_decay: float = Field(default=1e-5, ge=0, description="decoupled decay of weights")
    warmup: float = Field(default=0.3, ge=0, lt=1, description="share of steps that the rate rises")
    windows_per_epoch: int | None = Field(
        default=16_384, ge=1, description="random windows an epoch; none: every window"
    )
    patience: int | None = Field(
        default=8, ge=1, description="epochs without better validation before stopping; none: all epochs"
    )
    gradient_clip: float | None = Field(default=1.0, gt=0, description="largest norm of the gradient")
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")
    precision: Literal["32", "bf16"] = Field(default="32", description="arithmetic of the network")


class TimeFormerConfig(NetworkConfig):
    """Options of `finance/timeformer-xl`."""

    size: Annotated[int, Search(32, 256, log=True)] = Field(default=256, ge=4, description="width of a patch")
    heads: int = Field(default=8, ge=1, description="attention heads; 2 * heads divide size")
    layers: Annotated[int, Search(1, 6)] = Field(default=6, ge=1, description="layers of the encoder")
    feed_forward: int = Field(default=512, ge=1, description="units of the encoder's feed-forward networks")
    patch: int = Field(default=10, ge=1, description="bars a patch; divides context_length")
    max_epochs: Annotated[int, Search(5, 50)] = Field(
        default=50, ge=1, description="passes over sampled windows"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size % (2 * self.heads):
            raise ConfigError("TimeFormerConfig.size", "is a multiple of 2 * heads", got=self.size)
        if self.context_length % self.patch:
            raise ConfigError(
                "TimeFormerConfig.patch", f"divides context_length ({self.context_length})", got=self.patch
            )
        return self


class TFTConfig(NetworkConfig):
    """Options of `finance/tft-xl`."""

    embedding_size: Annotated[int, Search(8, 128, log=True)] = Field(
        default=128, ge=1, description="numbers that each variable of a bar is embedded in"
    )
    size: Annotated[int, Search(16, 256, log=True)] = Field(default=256, ge=1, description="width of a bar")
    heads: int = Field(default=8, ge=1, description="attention heads; divide size")
    layers: Annotated[int, Search(1, 3)] = Field(default=3, ge=1, description="layers of attention")
    max_epochs: Annotated[int, Search(5, 40)] = Field(
        default=40, ge=1, description="passes over sampled windows"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size % self.heads:
            raise ConfigError("TFTConfig.size", "is a multiple of heads", got=self.size)
        return self


class VetoConfig(ModelConfig):
    """Options of the veto of `finance/ensemble`."""

    threshold: float | Literal["validation"] = Field(
        default=0.65,
        description="probability of being right below which to hold; validation: the best of some on it",
    )
    num_leaves: int = Field(default=63, ge=2, description="leaves of a tree")
    max_depth: int = Field(default=7, ge=1, description="depth of a tree")
    min_leaf: int = Field(default=50, ge=1, description="windows a leaf holds at least")
    learning_rate: float = Field(default=0.05, gt=0, description="share of each tree that is added")
    fraction: float = Field(
        default=0.8, gt=0, le=1, description="share of features, and of windows every 5 rounds"
    )
    l1: float = Field(default=0.1, ge=0, description="L1 penalty of leaves")
    l2: float = Field(default=0.1, ge=0, description="L2 penalty of leaves")
    max_rounds: int = Field(default=1000, ge=1, description="trees, at most")
    patience: int = Field(default=50, ge=1, description="rounds without better held-out loss before stopping")
    threads: int = Field(default=1, ge=1, description="threads of LightGBM")

    @model_validator(mode="after")
    def _is_probability(self) -> Self:
        if isinstance(self.threshold, float) and not 0 <= self.threshold <= 1:
            raise ConfigError("VetoConfig.threshold", "lies in [0, 1]", got=self.threshold)
        return self


class EnsembleConfig(ModelConfig):
    """Options of `finance/ensemble`."""

    horizon: Horizon = 3
    timeformer: TimeFormerConfig = Field(
        default_factory=TimeFormerConfig, description="options of the TimeFormer-XL member"
    )
    tft: TFTConfig = Field(default_factory=TFTConfig, description="options of the TFT-XL member")
    veto: VetoConfig = Field(default_factory=VetoConfig, description="options of the veto")
    timeformer_weight: float = Field(default=0.35, ge=0, description="weight of TimeFormer-XL")
    tft_weight: float = Field(default=0.30, ge=0, description="weight of TFT-XL")
    mean_weight: float = Field(default=0.35, ge=0, description="weight of the mean of the two")
    decision_horizon: int = Field(
        default=3, ge=1, description="bars over which the return decides; one of the data's horizons"
    )
    folds: int = Field(
        default=3, ge=1, description="walk-forward folds whose unseen predictions the veto learns from"
    )
    embargo: int = Field(default=5, ge=0, description="origins left out before each of these folds")

    @property
    def context_length(self) -> int:
        """Bars up to an origin that both members need."""
        return max(self.timeformer.context_length, self.tft.context_length)

    @property
    def weights(self) -> tuple[float, float]:
        """Shares of TimeFormer-XL and TFT-XL, the mean's dealt out in halves."""
        total = self.timeformer_weight + self.tft_weight + self.mean_weight
        first = (self.timeformer_weight + 0.5 * self.mean_weight) / total
        return first, 1.0 - first

    @model_validator(mode="after")
    def _weighs(self) -> Self:
        if not self.timeformer_weight + self.tft_weight + self.mean_weight > 0:
            raise ConfigError("EnsembleConfig", "has a weight above 0")
        return self
