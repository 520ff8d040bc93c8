"""Options of composed models: which models they hold, and how they are put together."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from forecast_core import registry
from forecast_core.config import ModelConfig
from forecast_core.errors import ConfigError

__all__ = ["ConformalConfig", "EnsembleConfig", "Member"]


class Member(BaseModel):
    """A model by id and options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    params: dict[str, JsonValue] = {}

    @cached_property
    def config(self) -> ModelConfig:
        """The member's own configuration, validated."""
        return registry.config_class(registry.model_spec(self.id))(**self.params)

    def on_device(self, device: str) -> Member:
        """The member with its options moved; itself where that changes none."""
        moved = self.config.on_device(device)
        return self if moved == self.config else Member(id=self.id, params=moved.model_dump(mode="json"))


class EnsembleConfig(ModelConfig):
    """Options of `compose/ensemble`."""

    members: tuple[Member, ...] = Field(min_length=1, description="models of one task, each {id, params}")
    weights: Literal["uniform", "fit"] | tuple[float, ...] = Field(
        default="uniform",
        description="of the members; fit: by CRPS (log score for classes) on the validation data",
    )

    @field_validator("weights", mode="after")
    @classmethod
    def _normalised(cls, weights: Any) -> Any:
        if isinstance(weights, str):
            return weights
        if not weights or min(weights) < 0 or not sum(weights) > 0:
            raise ConfigError("weights", "are not negative and not all 0", got=weights)
        # Made smaller by a power of 2, which changes no share, so that their sum is finite.
        weights = np.ldexp(weights, -int(np.frexp(max(weights))[1]))
        return tuple((weights / sum(weights.tolist())).tolist())

    @model_validator(mode="after")
    def _one_weight_a_member(self) -> EnsembleConfig:
        if not isinstance(self.weights, str) and len(self.weights) != len(self.members):
            raise ConfigError(
                "weights", f"hold one number a member ({len(self.members)})", got=len(self.weights)
            )
        horizons = [getattr(m.config, "horizon", None) for m in self.members]
        if len({h for h in horizons if h is not None}) > 1:
            raise ConfigError("members", "have one horizon", got=horizons)
        return self

    def on_device(self, device: str) -> Self:
        """The ensemble with every member moved."""
        return self.model_copy(update={"members": tuple(m.on_device(device) for m in self.members)})

    @property
    def horizon(self) -> int | None:
        """The members' horizon, where one of them has one."""
        return next((h for m in self.members if (h := getattr(m.config, "horizon", None)) is not None), None)


class ConformalConfig(ModelConfig):
    """Options of `compose/conformal`."""

    model: Member = Field(description="the model to calibrate, as {id, params}")
    coverage: tuple[Annotated[float, Field(gt=0, le=1 - 1e-9)], ...] = Field(
        default=(0.9,), min_length=1, description="central intervals to calibrate, each strictly in (0, 1)"
    )
    method: Literal["split", "adaptive"] = Field(
        default="split", description="split: fixed after calibration; adaptive: follows drift by update"
    )
    groups: Literal["item"] | dict[str, str] | None = Field(
        default=None, description="calibrate apart for each item, or each group of {item: group}"
    )
    scaled: bool = Field(
        default=True, description="measure errors in the model's own predicted standard deviations"
    )
    learning_rate: float = Field(
        default=0.05, gt=0, le=1, description="adaptive: step, in interquartile ranges of calibration errors"
    )
    calibration_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of rows held back by fit where no validation is given"
    )

    def on_device(self, device: str) -> Self:
        """The calibrated model moved."""
        return self.model_copy(update={"model": self.model.on_device(device)})

    @property
    def horizon(self) -> int | None:
        """The model's horizon."""
        horizon: int | None = getattr(self.model.config, "horizon", None)
        return horizon

    @property
    def levels(self) -> tuple[float, ...]:
        """Levels that are calibrated: the ends of the intervals, and the tenths between the outermost."""
        ends = {round((1 + sign * c) / 2, 12) for c in self.coverage for sign in (-1, 1)}
        return tuple(sorted(ends | {k / 10 for k in range(1, 10) if min(ends) < k / 10 < max(ends)}))
