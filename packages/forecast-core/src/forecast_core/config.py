"""Configuration: one pydantic class a model, from which everything else about its options follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from forecast_core.errors import ConfigError, InvalidInputError, near_misses
from forecast_core.validation import typed_error

__all__ = ["DataConfig", "ModelConfig", "RunConfig", "Search", "search_space"]


@dataclass(frozen=True)
class Search:
    """Where a tuner may look for a field: `Annotated[float, Search(1e-4, 1e-2, log=True)]`.

    Either bounds (with log or step) or choices. Metadata only: validation is the field's own.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ConfigError("Search", "has either choices or bounds")
            return
        low, high, step = self.low, self.high, self.step
        if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
            raise ConfigError("Search", "has low < high", got=(low, high))
        if self.log and (low <= 0 or step is not None):
            raise ConfigError("Search", "on a log scale has low > 0 and no step", got=(low, step))
        if step is not None and (not isinstance(step, int | float) or step <= 0):
            raise ConfigError("Search", "has a positive step", got=step)


class ModelConfig(BaseModel):
    """Base of every model's configuration: frozen, unknown fields refused, numbers finite.

    Describe each field with `Field(description=...)`; the command line, docs and forms show it. `presets`
    are named sets of fields: `Config(preset="name", ...)` begins with those and changes what else is given.
    Raises ConfigError naming the field, with near misses for an unknown one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, **fields: Any) -> None:
        if type(self).presets and "preset" in fields:
            fields = {**self._preset(fields["preset"]), **fields}
            del fields["preset"]
        try:
            super().__init__(**fields)
        except ValidationError as error:
            owner, known = type(self).__name__, type(self).model_fields
            raise typed_error(owner, error, known=known, kind=ConfigError) from error

    @classmethod
    def _preset(cls, name: Any) -> Mapping[str, Any]:
        if not isinstance(name, str) or name not in cls.presets:
            raise ConfigError(
                f"{cls.__name__}.preset",
                f"is one of {', '.join(cls.presets)}",
                got=repr(name),
                hint=near_misses(str(name), cls.presets),
            )
        return cls.presets[name]

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; validated again."""
        return type(self)(**{**self.model_dump(), **changes})

    def on_device(self, device: str) -> Self:
        """The same options with another `device`, if there is one; composed models move those they hold."""
        return self.replace(device=device) if "device" in type(self).model_fields else self


def search_space(config_class: type[ModelConfig]) -> Mapping[str, Search]:
    """Field name -> where to search, of the fields that say so."""
    found = {}
    for name, field in config_class.model_fields.items():
        search = next((m for m in field.metadata if isinstance(m, Search)), None)
        if search is not None:
            found[name] = search
    return found


class DataConfig(ModelConfig):
    """Where a run's data comes from: a registered dataset, or a table and what its columns mean.

    Options that the layout has no use for are refused.
    """

    source: str = Field(description="id of a dataset, or path of a csv or parquet file")
    layout: Literal["long", "wide"] = Field(
        default="long", description="a row an (item, time), or a column an item"
    )
    timestamp: str = Field(default="timestamp", description="column of times")
    item_id: str | None = Field(default=None, description="column of item ids; none: one series")
    target: tuple[str, ...] = Field(default=("target",), min_length=1, description="columns to predict")
    freq: str | None = Field(default=None, description="frequency; default: inferred")
    past_covariates: tuple[str, ...] = Field(default=(), description="columns known up to now")
    future_covariates: tuple[str, ...] = Field(default=(), description="columns known ahead")
    static_covariates: tuple[str, ...] = Field(default=(), description="columns constant within an item")
    tz: str | None = Field(default=None, description="zone whose clock calendar features follow")

    @property
    def changed(self) -> tuple[str, ...]:
        """Names of the options that are not the default."""
        return tuple(
            name
            for name, field in type(self).model_fields.items()
            if not field.is_required() and getattr(self, name) != field.default
        )

    @model_validator(mode="after")
    def _used(self) -> Self:
        from forecast_core.data.calendar import local_time
        from forecast_core.data.freq import Freq

        if self.layout == "wide":
            for name in self.changed:
                if name == "item_id" or name.endswith("_covariates"):
                    rule = "is an option of the long layout: a wide table has a column an item"
                    raise ConfigError(f"DataConfig.{name}", rule, got=getattr(self, name))
            if len(self.target) > 1:
                raise ConfigError("DataConfig.target", "is one name in the wide layout", got=self.target)
        try:
            local_time(np.zeros(1, dtype="datetime64[us]"), self.tz)
            if self.freq is not None:
                Freq.parse(self.freq)
        except InvalidInputError as error:
            raise ConfigError(
                f"DataConfig.{error.argument}", error.rule, got=error.got, hint=error.hint
            ) from error
        return self


class RunConfig(ModelConfig):
    """A training run, whole: saved as run.json beside its results."""

    model: str = Field(description="id of the model")
    params: dict[str, JsonValue] = Field(default_factory=dict, description="options of the model")
    data: DataConfig
    ratios: tuple[float, float, float] = Field(
        default=(0.8, 0.1, 0.1), description="shares of training, validation and test rows, in time"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of everything random")
    metrics: tuple[str, ...] | None = Field(default=None, description="metrics on the test part")
    stride: int | None = Field(default=None, ge=1, description="rows between test origins; default: horizon")
    tracking: str | None = Field(default=None, description="MLflow's server or database to record the run in")
