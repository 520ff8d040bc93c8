"""Options of the trajectory models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from forecast_core.config import ModelConfig, Search

__all__ = [
    "ConstantAccelerationConfig",
    "ConstantTurnConfig",
    "ConstantVelocityConfig",
    "MotionConfig",
    "TrackConfig",
]


class TrackConfig(ModelConfig):
    """Options of every trajectory model."""

    context_length: Annotated[int, Search(2, 24)] = Field(
        default=8, ge=1, description="points of history read at most, the last known one among them"
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
    acceleration_noise: float = Field(
        default=0.02,
        gt=0,
        description="before fit: the variance grows by this times t^3 / 3, in m^2/s^3",
    )
    position_noise: float = Field(
        default=0.05, gt=0, description="before fit: standard deviation of positions in metres"
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
