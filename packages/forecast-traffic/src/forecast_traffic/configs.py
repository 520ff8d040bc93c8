"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecast_core.config import ModelConfig, Search
from forecast_core.errors import ConfigError

__all__ = [
    "HistoricalAverageConfig",
    "LastValueConfig",
    "LossWeights",
    "NetworkConfig",
    "STIDConfig",
    "STMGTConfig",
    "SeasonalNaiveConfig",
]

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


class LossWeights(ModelConfig):
    """What each term of the loss of a mixture head counts; a term of weight 0 is not computed."""

    nll: float = Field(default=0.0, ge=0, description="negative log likelihood of the scaled target")
    mae: float = Field(default=0.0, ge=0, description="absolute error of the median, in standard deviations")
    crps: float = Field(default=1.0, ge=0, description="closed-form CRPS, in standard deviations")
    calibration: float = Field(default=0.0, ge=0, description="distance of a batch from calibrated")
    diversity: float = Field(default=0.0, ge=0, description="overlap of components")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(weight > 0 for _, weight in self):
            raise ConfigError("LossWeights", "has a term that counts")
        return self


class NetworkConfig(ModelConfig):
    """Options that all trained models of a network share."""

    context_length: Annotated[int, Search(6, 36, step=6)] = Field(
        default=12, ge=1, description="rows of history the network reads"
    )
    horizon: int = Field(default=12, ge=1, description="steps ahead it is trained for")
    components: Annotated[int, Search(1, 5)] = Field(
        default=3, ge=1, description="Gaussians in the mixture of a step"
    )
    mixture_weights: Literal["step", "shared"] = Field(
        default="step", description="weights of components by step, or shared over the horizon"
    )
    residual: bool = Field(
        default=True, description="predict the difference to the last observed value of the context"
    )
    scaling: Annotated[Literal["network", "node"], Search(choices=("network", "node"))] = Field(
        default="network",
        description="scale by the mean and spread of all nodes, or by each node's own where they differ",
    )
    loss: LossWeights = Field(default=LossWeights(), description="terms of the loss")
    max_epochs: Annotated[int, Search(10, 60)] = Field(default=30, ge=1, description="passes over windows")
    batch_size: Annotated[int, Search(8, 64, log=True)] = Field(
        default=32, ge=1, description="windows of the whole network in a step"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        default=2e-3, gt=0, description="peak of the schedule"
    )
    weight_decay: Annotated[float, Search(1e-6, 1e-2, log=True)] = Field(
        default=3e-4, ge=0, description="pull of weights towards zero"
    )
    schedule: Literal["one-cycle", "cosine", "constant", "milestones"] = Field(
        default="one-cycle", description="learning rate over time"
    )
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(20, 30),
        min_length=1,
        description="epochs after which the schedule of that name falls to a tenth",
    )
    windows_per_epoch: int | None = Field(
        default=16_384, ge=1, description="random windows an epoch; none: every window"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without better validation before stopping; none: all epochs"
    )
    gradient_clip: float | None = Field(default=5.0, gt=0, description="largest norm of the gradient")
    accumulate: int = Field(default=1, ge=1, description="batches whose gradients make one step")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of a moving average of weights, used instead of them"
    )
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")
    precision: Literal["32", "bf16", "16"] = Field(default="32", description="arithmetic of the network")


class STIDConfig(NetworkConfig):
    """Options of `traffic/stid`."""

    hidden_size: Annotated[int, Search(16, 128, log=True)] = Field(
        default=32, ge=1, description="size of the context's embedding, and of each identity's"
    )
    num_layers: Annotated[int, Search(1, 4)] = Field(default=3, ge=1, description="residual layers")
    dropout: Annotated[float, Search(0.0, 0.4)] = Field(default=0.15, ge=0, lt=1, description="dropout rate")
    weekdays: bool = Field(
        default=True, description="give the day of the week; off where few weeks are there"
    )


class STMGTConfig(NetworkConfig):
    """Options of `traffic/stmgt`."""

    batch_size: Annotated[int, Search(8, 64, log=True)] = Field(
        default=16, ge=1, description="windows of the whole network in a step"
    )
    max_epochs: Annotated[int, Search(5, 60)] = Field(default=20, ge=1, description="passes over windows")
    hidden_size: Annotated[int, Search(16, 128, log=True)] = Field(
        default=32, ge=1, description="size of a token"
    )
    head_size: Annotated[int, Search(32, 256, log=True)] = Field(
        default=128, ge=1, description="units of the layers between tokens and mixtures"
    )
    head_layers: Annotated[int, Search(0, 4)] = Field(
        default=3, ge=0, description="residual layers that know node and time, between tokens and mixtures"
    )
    num_layers: Annotated[int, Search(1, 4)] = Field(default=1, ge=1, description="space-time blocks")
    heads: int = Field(default=4, ge=1, description="heads of each attention; divides hidden_size")
    patch_length: Annotated[int, Search(choices=(1, 2, 3, 4, 6))] = Field(
        default=3, ge=1, description="rows of history in a token; divides context_length"
    )
    block: Annotated[Literal["parallel", "sequential"], Search(choices=("parallel", "sequential"))] = Field(
        default="parallel", description="spatial and temporal branches at once, or one after the other"
    )
    road: bool = Field(default=True, description="attention along the edges of the graph")
    both_ways: bool = Field(default=True, description="also against the direction of edges")
    dense: bool = Field(default=False, description="attention of every node to every other")
    adaptive: bool = Field(default=True, description="an embedding learnt for each node and token")
    calendar: tuple[Literal["day", "week", "year"], ...] = Field(
        default=("day", "week"),
        description="cycles whose place is given; only those that training holds several of",
    )
    dropout: Annotated[float, Search(0.0, 0.4)] = Field(default=0.1, ge=0, lt=1, description="dropout rate")
    compile_attention: bool = Field(
        default=False,
        description="compile the attention along edges where that works; takes a minute at first",
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        for name, divisor, whole in (
            ("heads", self.heads, "hidden_size"),
            ("patch_length", self.patch_length, "context_length"),
        ):
            if getattr(self, whole) % divisor:
                raise ConfigError(
                    f"STMGTConfig.{name}", f"divides {whole} ({getattr(self, whole)})", got=divisor
                )
        return self
