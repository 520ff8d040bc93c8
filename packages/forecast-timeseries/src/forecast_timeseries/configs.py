"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from forecast_core.config import ModelConfig, Search
from forecast_core.data.calendar import CALENDAR_FEATURES
from forecast_core.errors import ConfigError, near_misses

__all__ = [
    "ChronosConfig",
    "DriftConfig",
    "ETSConfig",
    "GBMConfig",
    "LSTMConfig",
    "LinearConfig",
    "NetworkConfig",
    "PatchTransformerConfig",
]


def _known_features(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in CALENDAR_FEATURES:
            hint = near_misses(name, CALENDAR_FEATURES)
            raise ValueError(f"holds calendar features, got {name!r}; {hint}")
    return names


CalendarFeatures = Annotated[tuple[str, ...], AfterValidator(_known_features)]


def _rising_levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    rises = all(a < b for a, b in itertools.pairwise(levels))
    if len(levels) < 2 or not rises or not (levels[0] > 0 and levels[-1] < 1):
        raise ValueError(f"are at least two, strictly increasing within (0, 1), got {levels}")
    return levels


QuantileLevels = Annotated[tuple[float, ...], AfterValidator(_rising_levels)]

_LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


class NetworkConfig(ModelConfig):
    """Options of every model with a network over windows: what it answers, and how it is trained."""

    context_length: Annotated[int, Search(24, 336, step=24)] = Field(
        default=48, ge=1, description="rows of history the network reads"
    )
    horizon: int = Field(default=24, ge=1, description="steps ahead it is trained for")
    head: Literal["quantile", "gaussian", "point"] = Field(
        default="quantile", description="what each step is answered with"
    )
    quantile_levels: QuantileLevels = Field(default=_LEVELS, description="levels of the quantile head")
    point_loss: Literal["absolute", "squared"] = Field(
        default="absolute", description="error of the point head in training: a median or a mean"
    )
    dropout: Annotated[float, Search(0.0, 0.5)] = Field(default=0.2, ge=0, lt=1, description="dropout rate")
    scaling: Literal["standard", "minmax"] = Field(
        default="standard", description="of each item: by mean and spread in training, or from 0 to 1"
    )
    normalisation: Literal["window", "item"] = Field(
        default="window",
        description="scale by the window's own mean and spread too, or by the item's in training alone",
    )
    weighting: Literal["scale", "equal"] = Field(
        default="equal", description="errors count in the target's unit, or the same in every window"
    )
    max_epochs: Annotated[int, Search(5, 50)] = Field(
        default=20, ge=1, description="passes over sampled windows"
    )
    batch_size: Annotated[int, Search(64, 512, log=True)] = Field(
        default=256, ge=1, description="windows a step"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        default=3e-3, gt=0, description="peak of the schedule"
    )
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled decay of weights")
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        default="one-cycle", description="learning rate over time"
    )
    windows_per_epoch: int | None = Field(
        default=16_384, ge=1, description="random windows an epoch; none: every window"
    )
    patience: int | None = Field(
        default=None, ge=1, description="epochs without better validation before stopping; none: all epochs"
    )
    gradient_clip: float | None = Field(default=1.0, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of a moving average of weights, kept instead of them"
    )
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")
    precision: Literal["32", "bf16"] = Field(default="32", description="arithmetic of the network")


class LSTMConfig(NetworkConfig):
    """Options of `timeseries/lstm`. The preset `web-requests` is the plain network for the load of a web
    service: twelve rows of the requests and whatever past covariates there are, such as an error rate, the
    last state into one dense layer, squared error of min-max scaled values.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "web-requests": {
            "context_length": 12,
            "horizon": 1,
            "head": "point",
            "point_loss": "squared",
            "hidden_size": 64,
            "num_layers": 2,
            "head_size": 0,
            "dropout": 0.2,
            "calendar": ("hour_sin", "hour_cos", "is_weekend"),
            "item_embedding": 0,
            "scaling": "minmax",
            "normalisation": "item",
            "max_epochs": 50,
            "patience": 5,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "gradient_clip": None,
            "windows_per_epoch": None,
        }
    }

    hidden_size: Annotated[int, Search(32, 256, log=True)] = Field(
        default=64, ge=1, description="units of a layer"
    )
    num_layers: Annotated[int, Search(1, 3)] = Field(default=2, ge=1, description="stacked LSTM layers")
    head_size: Annotated[int, Search(32, 256, log=True)] = Field(
        default=128,
        ge=0,
        description="units of the head of a step; 0: one dense layer from the last state to all steps",
    )
    lags: tuple[int, ...] = Field(
        default=(),
        description="earlier targets given as known inputs, in steps back; each at least the horizon",
    )
    residual: bool = Field(default=True, description="predict the difference to the mean of the lags")
    calendar: CalendarFeatures = Field(
        default=("hour_sin", "hour_cos", "is_weekend", "weekday_sin", "weekday_cos"),
        description="calendar features of each row",
    )
    item_embedding: int = Field(
        default=8, ge=0, description="size of what is learnt of each item; 0: nothing"
    )

    @model_validator(mode="after")
    def _lags_are_known(self) -> Self:
        if any(lag < self.horizon for lag in self.lags):
            raise ConfigError(
                "LSTMConfig.lags",
                f"are at least the horizon ({self.horizon}), or they would not be known",
                got=self.lags,
            )
        if len(set(self.lags)) != len(self.lags):
            raise ConfigError("LSTMConfig.lags", "are distinct", got=self.lags)
        return self


class PatchTransformerConfig(NetworkConfig):
    """Options of `timeseries/patch-transformer`."""

    context_length: Annotated[int, Search(96, 512, step=32)] = Field(
        default=192, ge=2, description="rows of history the network reads"
    )
    patch_length: int = Field(default=16, ge=1, description="rows of a patch")
    patch_stride: int = Field(default=8, ge=1, description="rows from one patch to the next")
    model_size: Annotated[int, Search(choices=(16, 32, 64, 128))] = Field(
        default=32, ge=1, description="width of a token"
    )
    num_heads: int = Field(default=4, ge=1, description="attention heads; they divide model_size")
    num_layers: Annotated[int, Search(1, 4)] = Field(default=3, ge=1, description="encoder layers")
    feedforward_size: Annotated[int, Search(32, 512, log=True)] = Field(
        default=128, ge=1, description="units between the two layers after attention"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        default=1e-3, gt=0, description="peak of the schedule"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.model_size % self.num_heads:
            raise ConfigError(
                "PatchTransformerConfig.num_heads",
                f"divides model_size ({self.model_size})",
                got=self.num_heads,
            )
        if self.patch_length > self.context_length:
            raise ConfigError(
                "PatchTransformerConfig.patch_length",
                f"is at most context_length ({self.context_length})",
                got=self.patch_length,
            )
        if self.patch_stride > self.patch_length:
            raise ConfigError(
                "PatchTransformerConfig.patch_stride",
                f"is at most patch_length ({self.patch_length}), or rows would be passed over",
                got=self.patch_stride,
            )
        return self


class LinearConfig(ModelConfig):
    """Options of `timeseries/linear`."""

    horizon: int = Field(default=24, ge=1, description="steps ahead it is fitted for")
    context_length: Annotated[int | None, Search(24, 336, step=24)] = Field(
        default=None, ge=1, description="rows of history it reads; none: chosen from season, horizon and data"
    )
    normalisation: Annotated[
        Literal["last", "none", "decompose"], Search(choices=("last", "none", "decompose"))
    ] = Field(
        default="last",
        description="take off the last value (NLinear), nothing, or weigh trend and rest apart (DLinear)",
    )
    trend_length: int = Field(
        default=25, ge=1, description="rows of the moving average that is the trend of decompose"
    )
    ridge: Annotated[float | None, Search(1e-5, 1e2, log=True)] = Field(
        default=None,
        gt=0,
        description="penalty in mean variances of an input; none: chosen on validation or held-out rows",
    )
    calendar: CalendarFeatures = Field(default=(), description="calendar features of the last row known")


class ChronosConfig(ModelConfig):
    """Options of `timeseries/chronos`."""

    checkpoint: str = Field(
        min_length=1, description="folder of a checkpoint with safetensors, or its id on the Hugging Face hub"
    )
    revision: str | None = Field(
        default=None, description="commit, tag or branch of a checkpoint of the hub; none: its main branch"
    )
    horizon: int = Field(default=24, ge=1, description="steps ahead where predict is not told")
    context_length: int | None = Field(
        default=None, ge=1, description="last rows it reads, at most; none: as many as the checkpoint can"
    )
    quantile_levels: QuantileLevels | None = Field(
        default=None, description="levels it answers with; none: the checkpoint's own, or deciles of paths"
    )
    num_samples: int = Field(default=20, ge=2, description="paths drawn of a series, by a T5 checkpoint")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of those paths")
    batch_size: int = Field(default=64, ge=1, description="series at once")
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")


class DriftConfig(ModelConfig):
    """Options of `timeseries/drift`."""

    horizon: int | None = Field(default=None, ge=1, description="steps ahead where predict is not told")


class ETSConfig(ModelConfig):
    """Options of `timeseries/ets`."""

    horizon: int | None = Field(default=None, ge=1, description="steps ahead where predict is not told")
    seasonality: int | None = Field(
        default=None, ge=1, description="steps in a season; default: the frequency's (24 for hours); 1: none"
    )
    form: str = Field(
        default="ZZZ",
        pattern="^[AMZ][NAZ][NAMZ]$",
        description="error, trend and season: A additive, M multiplicative, N none, Z chosen by AICc",
    )
    damped: bool | None = Field(
        default=None, description="whether the trend levels off; none: chosen by AICc"
    )
    context_length: int | None = Field(
        default=None, ge=10, description="last rows it sees, at most; none: 200 or ten seasons, if more"
    )
    quantile_levels: QuantileLevels = Field(default=_LEVELS, description="levels it answers with")

    @model_validator(mode="after")
    def _form_exists(self) -> Self:
        error, trend, season = tuple(self.form)
        if error == "A" and season == "M":
            raise ConfigError("ETSConfig.form", "has a multiplicative error with a multiplicative season")
        if self.damped and trend == "N":
            raise ConfigError("ETSConfig.damped", "is about a trend, and form has none", got=self.form)
        if season in "AM" and self.seasonality == 1:
            raise ConfigError("ETSConfig.seasonality", f"is above 1 for a season (form {self.form})", got=1)
        return self


class GBMConfig(ModelConfig):
    """Options of `timeseries/gbm`."""

    horizon: int = Field(default=24, ge=1, description="steps ahead it is fitted for")
    quantile_levels: QuantileLevels = Field(
        default=_LEVELS, description="levels it answers with, a booster each"
    )
    lags: Annotated[int, Search(4, 48, log=True)] = Field(
        default=12, ge=1, description="last values it sees; their mean is the level changes are told from"
    )
    seasons: tuple[int, ...] | None = Field(
        default=None, description="season lengths in steps; none: a day and a week, where data hold three"
    )
    repeats: int = Field(default=2, ge=1, description="last seasons of which it sees the target's phase")
    calendar: CalendarFeatures | None = Field(
        default=None,
        description="calendar features of the row to predict; none: time of day, weekend, and the place in "
        "the week where training holds eight of them",
    )
    num_trees: Annotated[int, Search(50, 800, log=True)] = Field(
        default=200, ge=1, description="trees of a booster, at most"
    )
    learning_rate: Annotated[float, Search(0.01, 0.2, log=True)] = Field(
        default=0.05, gt=0, le=1, description="weight of a tree"
    )
    num_leaves: Annotated[int, Search(7, 127, log=True)] = Field(
        default=15, ge=2, description="leaves of a tree"
    )
    min_leaf: Annotated[int, Search(10, 500, log=True)] = Field(
        default=50, ge=1, description="training rows a leaf holds at least"
    )
    feature_share: Annotated[float, Search(0.3, 1.0)] = Field(
        default=0.6, gt=0, le=1, description="share of columns a tree may split by"
    )
    training_rows: int = Field(
        default=100_000, ge=1, description="(window, step) pairs drawn for training, at most"
    )
    patience: int | None = Field(
        default=30,
        ge=1,
        description="trees without better loss out of sample before a booster stops; none: all",
    )
    num_threads: int = Field(default=1, ge=0, description="threads of LightGBM; 0: one a core")

    @field_validator("seasons")
    @classmethod
    def _season_lengths(cls, seasons: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if seasons is not None and (any(s < 2 for s in seasons) or len(set(seasons)) != len(seasons)):
            raise ValueError(f"are distinct lengths of at least 2, got {seasons}")
        return seasons
