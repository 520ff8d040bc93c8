"""Options of the trajectory models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecast_core.compose.configs import Member
from forecast_core.config import ModelConfig, Search
from forecast_core.errors import ConfigError

__all__ = [
    "CalibratedConfig",
    "ConstantAccelerationConfig",
    "ConstantTurnConfig",
    "ConstantVelocityConfig",
    "GaussianProcessConfig",
    "InteractionTransformerConfig",
    "KalmanConfig",
    "LSTMConfig",
    "MotionConfig",
    "NetworkConfig",
    "PolynomialConfig",
    "TrackConfig",
]


class TrackConfig(ModelConfig):
    """Options of every trajectory model."""

    context_length: Annotated[int, Search(2, 24)] = Field(
        default=8,
        ge=1,
        description="points of history read at most, the last known one among them; as many as the model "
        "needs, where that is more",
    )
    horizon: int = Field(default=12, ge=1, description="steps ahead")
    dt: float | None = Field(
        default=None, gt=0, description="seconds a step; data with another is refused. none: any data"
    )


class MotionConfig(TrackConfig):
    """Options of models that carry a motion on, with the errors of training paths around it."""

    axes: Literal["heading", "world"] = Field(
        default="heading", description="errors are pooled ahead and aside of the motion, or in x and y"
    )
    spread: Annotated[Literal["uneven", "alike"], Search(choices=("uneven", "alike"))] = Field(
        default="uneven",
        description="fitted errors count in units of how unevenly the road user moved, or alike for all",
    )
    acceleration_noise: float = Field(
        default=0.02,
        gt=0,
        description="before fit: the variance grows by this times t^3 / 3, in m^2/s^3",
    )
    position_noise: float = Field(
        default=0.05,
        gt=0,
        description="standard deviation of a position in metres: the spread before fit, and "
        "unevenness that is nothing but noise",
    )


class ConstantVelocityConfig(MotionConfig):
    """Options of `trajectory/constant-velocity`."""

    estimate: Annotated[Literal["last", "mean"], Search(choices=("last", "mean"))] = Field(
        default="last", description="velocity of the last step, or the mean over the history"
    )


class ConstantAccelerationConfig(MotionConfig):
    """Options of `trajectory/constant-acceleration`."""

    estimate: Annotated[Literal["last", "fit"], Search(choices=("last", "fit"))] = Field(
        default="fit", description="from the last three points, or a parabola fitted to the history"
    )


class ConstantTurnConfig(MotionConfig):
    """Options of `trajectory/constant-turn`."""

    estimate: Annotated[Literal["last", "mean"], Search(choices=("last", "mean"))] = Field(
        default="mean", description="turn rate of the last three points, or the mean over the history"
    )
    max_turn_rate: Annotated[float, Search(0.1, 2.0)] = Field(
        default=1.0, gt=0, description="largest turn rate believed, in radians a second"
    )


class PolynomialConfig(MotionConfig):
    """Options of `trajectory/polynomial`."""

    degree: Annotated[int, Search(1, 3)] = Field(
        default=3, ge=0, le=6, description="degree of the polynomial"
    )
    ridge: Annotated[float, Search(1e-4, 10.0, log=True)] = Field(
        default=0.01, ge=0, description="penalty on squared coefficients, time running from -1 to 0"
    )
    decay: Annotated[float, Search(0.5, 1.0)] = Field(
        default=1.0, gt=0, le=1, description="weight of a point for each step that it is older"
    )


class GaussianProcessConfig(TrackConfig):
    """Options of `trajectory/gaussian-process`."""

    length_scale: Annotated[float, Search(0.5, 30.0, log=True)] = Field(
        default=3.0, gt=0, description="seconds over which positions go together; before fit"
    )
    variance: Annotated[float, Search(0.01, 100.0, log=True)] = Field(
        default=1.0, gt=0, description="variance of the path about its trend in m^2; before fit"
    )
    noise: Annotated[float, Search(1e-4, 1.0, log=True)] = Field(
        default=0.1, gt=0, description="variance of a position's own noise in m^2; before fit"
    )
    trend: Annotated[Literal["last", "line"], Search(choices=("last", "line"))] = Field(
        default="line", description="what the path varies about: the last position, or a line through it all"
    )
    fit_kernel: bool = Field(
        default=True, description="fit sets length scale, variance and noise; else they stay as given"
    )


class KalmanConfig(TrackConfig):
    """Options of `trajectory/kalman`."""

    motion: Annotated[Literal["velocity", "acceleration"], Search(choices=("velocity", "acceleration"))] = (
        Field(default="velocity", description="what wanders: the velocity, or the acceleration")
    )
    process_noise: float = Field(
        default=0.1, gt=0, description="of the wandering, m^2/s^3 (velocity) or m^2/s^5; before fit"
    )
    position_noise: float = Field(
        default=0.05, gt=0, description="standard deviation of a measured position in metres; before fit"
    )
    first_speed: float = Field(
        default=3.0, gt=0, description="standard deviation of the first velocity in m/s; before fit"
    )
    first_acceleration: float = Field(
        default=1.0, gt=0, description="standard deviation of the first acceleration in m/s^2"
    )


class NetworkConfig(TrackConfig):
    """Options of models that are trained."""

    modes: Annotated[int, Search(1, 20)] = Field(default=20, ge=1, le=100, description="paths predicted")
    hidden_size: Annotated[int, Search(32, 128, log=True)] = Field(
        default=64, ge=4, description="size of the tokens or of the state"
    )
    dropout: Annotated[float, Search(0.0, 0.3)] = Field(default=0.1, ge=0, lt=1, description="dropout rate")
    stretch: Annotated[float, Search(0.0, 0.6)] = Field(
        default=0.3, ge=0, le=1, description="windows are stretched at random by e^-stretch to e^stretch"
    )
    temperature: Annotated[float, Search(0.05, 1.0, log=True)] = Field(
        default=0.3, gt=0, description="metres of average displacement over which modes share a true path"
    )
    max_epochs: Annotated[int, Search(5, 40)] = Field(
        default=20, ge=1, description="passes over sampled windows"
    )
    batch_size: Annotated[int, Search(64, 512, log=True)] = Field(
        default=128, ge=1, description="windows a step"
    )
    learning_rate: Annotated[float, Search(3e-4, 5e-3, log=True)] = Field(
        default=2e-3, gt=0, description="peak of the one-cycle schedule"
    )
    weight_decay: float = Field(default=1e-3, ge=0, description="decoupled decay of weights")
    windows_per_epoch: int | None = Field(
        default=16_384, ge=1, description="random windows an epoch; none: every window"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without better validation before stopping; none: all epochs"
    )
    average: float | None = Field(
        default=0.998, gt=0, lt=1, description="decay of the moving average of weights that is kept"
    )
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")
    precision: Literal["32", "bf16"] = Field(default="32", description="arithmetic of the network")


class LSTMConfig(NetworkConfig):
    """Options of `trajectory/lstm`."""

    modes: Annotated[int, Search(1, 20)] = Field(default=6, ge=1, le=100, description="paths predicted")


class InteractionTransformerConfig(NetworkConfig):
    """Options of `trajectory/interaction-transformer`."""

    neighbours: Annotated[int, Search(0, 16)] = Field(
        default=8, ge=0, description="others looked at, the nearest first"
    )
    radius: Annotated[float, Search(2.0, 30.0)] = Field(
        default=6.0, gt=0, description="metres within which others are looked at"
    )
    num_layers: Annotated[int, Search(1, 4)] = Field(
        default=2, ge=1, description="blocks of attention to the others"
    )
    num_heads: int = Field(default=4, ge=1, description="heads of attention; they divide hidden_size")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                "InteractionTransformerConfig.num_heads",
                f"divides hidden_size = {self.hidden_size}",
                got=self.num_heads,
            )
        return self


class CalibratedConfig(ModelConfig):
    """Options of `trajectory/calibrated`."""

    model: Member = Field(description="the model whose ellipses are calibrated, as {id, params}")
    coverage: float = Field(
        default=0.9, gt=0, lt=1, description="share of positions the ellipses are to hold"
    )
    calibration_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of tracks held back by fit where no validation is given"
    )
    method: Literal["split", "adaptive"] = Field(
        default="split",
        description="one factor a step for all; or, from there on, factors that follow how often ellipses "
        "given earlier in the same recording missed",
    )
    learning_rate: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="adaptive: how far the log of a factor moves where all ellipses of a moment missed",
    )

    @property
    def horizon(self) -> int:
        """The model's horizon."""
        return int(getattr(self.model.config, "horizon", 12))

    @property
    def context_length(self) -> int:
        """The model's history."""
        return int(getattr(self.model.config, "context_length", 8))
