"""Options of this package's models; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecast_core.compose.configs import EnsembleConfig
from forecast_core.config import ModelConfig, Search
from forecast_core.errors import ConfigError

__all__ = [
    "AugmentationConfig",
    "FeatureConfig",
    "FineTuningConfig",
    "LogisticConfig",
    "PriorConfig",
    "RoadworkConfig",
    "RoadworkEnsembleConfig",
]

TextField = Literal["scene_description", "travel_alteration", "city"]


class AugmentationConfig(ModelConfig):
    """How photos are changed for training."""

    horizontal_flip: float = Field(default=0.5, ge=0, le=1, description="share of photos mirrored")
    vertical_flip: float = Field(default=0.1, ge=0, le=1, description="share of photos turned upside down")
    rotation: float = Field(default=20.0, ge=0, le=180, description="largest turn in degrees, either way")
    crop: float = Field(default=0.2, gt=0, le=1, description="least share of a view's area that is kept")
    brightness: float = Field(default=0.2, ge=0, lt=1, description="largest relative change")
    contrast: float = Field(default=0.2, ge=0, lt=1, description="largest relative change")
    saturation: float = Field(default=0.1, ge=0, lt=1, description="largest relative change")
    hue: float = Field(default=0.05, ge=0, le=0.5, description="largest shift, in turns of the colour wheel")
    operations: int = Field(default=2, ge=0, le=9, description="random operations a photo (RandAugment)")
    magnitude: float = Field(default=9.0, ge=0, le=30, description="strength of random operations, of 30")
    cutout: int = Field(default=16, ge=0, description="side of the hole in each view, in pixels of 224")


class FineTuningConfig(ModelConfig):
    """How a transformer is trained further on photos, after the network that looks at its features."""

    rank: int = Field(default=8, ge=0, le=256, description="of low-rank adapters in attention; 0: none")
    alpha: float = Field(default=16.0, gt=0, description="scale of adapters, times their rank")
    blocks: int = Field(default=1, ge=0, description="last blocks that are trained whole, without adapters")
    max_epochs: int = Field(default=5, ge=1, description="passes over the photos")
    batch_size: int = Field(default=4, ge=1, description="photos in a forward pass")
    accumulate: int = Field(default=4, ge=1, description="passes to a step")
    learning_rate: float = Field(default=1e-4, gt=0, description="peak of the schedule")
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled decay of weights")

    @model_validator(mode="after")
    def _trains(self) -> Self:
        if not self.rank and not self.blocks:
            raise ConfigError("FineTuningConfig.rank", "is at least 1 where no block is trained", got=0)
        return self


class FeatureConfig(ModelConfig):
    """Options of every model that looks at photos through a frozen backbone."""

    backbone: str = Field(default="efficientnet-lite0", description="registered backbone")
    checkpoint: str | None = Field(
        default=None, description="folder or hub id of the backbone's weights, where it does not bring them"
    )
    view_size: int | None = Field(
        default=None, ge=16, description="pixels a side of a view; none: what the backbone is best at"
    )
    merge: float = Field(
        default=0.0, ge=0, lt=1, description="share of a transformer's tokens merged away; 0: none"
    )
    cache: str | None = Field(
        default=None, description="folder that keeps features between runs; none: memory alone"
    )
    device: str = Field(default="cpu", description="cpu, cuda or cuda:N")


class PriorConfig(ModelConfig):
    """Options of `vision/prior`."""

    share: float = Field(default=0.5, gt=0, lt=1, description="share of photos with roadwork")


class LogisticConfig(FeatureConfig):
    """Options of `vision/logistic`."""

    strength: Annotated[float | None, Search(1e-5, 1.0, log=True)] = Field(
        default=None, gt=0, description="inverse of the penalty; none: chosen by 5-fold log loss"
    )


class RoadworkConfig(FeatureConfig):
    """Options of `vision/roadwork`."""

    keep_views: int | None = Field(
        default=None,
        ge=1,
        le=12,
        description="views that the backbone sees: the global one and the most striking; none: all 12",
    )
    hidden_size: Annotated[int, Search(64, 512, log=True)] = Field(
        default=512, ge=8, description="width of the network"
    )
    num_layers: Annotated[int, Search(1, 6)] = Field(default=4, ge=0, description="gated attention layers")
    num_heads: int = Field(default=8, ge=1, description="heads of queries")
    num_key_heads: int = Field(default=2, ge=1, description="heads of keys and values")
    dropout: Annotated[float, Search(0.0, 0.4)] = Field(default=0.1, ge=0, lt=1, description="dropout rate")
    drop_path: float = Field(default=0.1, ge=0, lt=1, description="largest rate of leaving out a layer")
    use_metadata: bool = Field(default=True, description="whether metadata joins what the views show")
    metadata_dropout: float = Field(default=0.1, ge=0, lt=0.6, description="rate of hiding a field")
    text_fields: tuple[TextField, ...] = Field(
        default=(), description="texts used; they often exist only where there is something to describe"
    )
    region: tuple[tuple[float, float], ...] = Field(
        default=(), description="latitudes and longitudes near which photos are drawn more often"
    )
    augmentations: int = Field(default=4, ge=0, description="changed copies of a photo to train on")
    augmentation: AugmentationConfig = Field(
        default_factory=AugmentationConfig, description="how copies are changed"
    )
    mixup: float = Field(default=0.2, ge=0, description="alpha of mixing two photos' features; 0: never")
    focal_weight: float = Field(default=0.5, gt=0, description="weight of the focal loss")
    consistency_weight: float = Field(
        default=0.3, ge=0, description="weight of two copies of a photo disagreeing"
    )
    auxiliary_weight: float = Field(default=0.2, ge=0, description="weight of telling the weather")
    consistency: Literal["symmetric-kl", "jensen-shannon"] = Field(
        default="symmetric-kl", description="how disagreement is measured"
    )
    gamma: float = Field(default=2.0, ge=0, description="focus of the focal loss on hard photos")
    alpha: tuple[float, float] | None = Field(
        default=None, description="weights of the classes; none: by their frequency"
    )
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="of the cross entropy")
    max_epochs: Annotated[int, Search(5, 60)] = Field(default=30, ge=1, description="passes over the photos")
    batch_size: int = Field(default=16, ge=1, description="photos in a forward pass")
    accumulate: int = Field(default=2, ge=1, description="passes to a step")
    optimizer: Literal["adamw", "lion"] = Field(
        default="adamw", description="lion: from the library lion-pytorch"
    )
    learning_rate: Annotated[float | None, Search(1e-5, 3e-3, log=True)] = Field(
        default=None, gt=0, description="peak of the schedule; none: 3e-4, and 1e-4 with lion"
    )
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled decay of weights")
    warmup_steps: int = Field(
        default=500, ge=0, description="steps of rising learning rate, at most 0.3 of all; then cosine"
    )
    gradient_clip: float | None = Field(default=1.0, gt=0, description="largest norm of the gradient")
    patience: int | None = Field(
        default=5, ge=1, description="epochs without better MCC on validation; none: all epochs"
    )
    precision: Literal["32", "bf16"] = Field(default="32", description="arithmetic of the network")
    compile: bool = Field(default=False, description="compile training, or warn of why that failed and go on")
    fine_tuning: FineTuningConfig | None = Field(
        default=None, description="how the backbone, a transformer, is trained further; none: it is frozen"
    )
    calibration_folds: int = Field(
        default=5,
        ge=0,
        description="folds whose left-out photos give temperature and threshold; 0: neither is fitted",
    )

    @property
    def peak_rate(self) -> float:
        """The learning rate that is meant: as given, or what suits the optimizer."""
        return self.learning_rate or {"adamw": 3e-4, "lion": 1e-4}[self.optimizer]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % self.num_heads or self.hidden_size % 4:
            rule = f"is a multiple of num_heads = {self.num_heads} and of 4"
            raise ConfigError("RoadworkConfig.hidden_size", rule, got=self.hidden_size)
        if self.num_heads % self.num_key_heads:
            rule = f"divides num_heads = {self.num_heads}"
            raise ConfigError("RoadworkConfig.num_key_heads", rule, got=self.num_key_heads)
        if self.calibration_folds == 1:
            raise ConfigError("RoadworkConfig.calibration_folds", "is 0 or at least 2", got=1)
        if self.fine_tuning is not None and (self.merge or self.compile):
            name, got = ("merge", self.merge) if self.merge else ("compile", self.compile)
            raise ConfigError(f"RoadworkConfig.{name}", "is left out with fine_tuning", got=got)
        if self.alpha is not None and min(self.alpha) <= 0:
            raise ConfigError("RoadworkConfig.alpha", "holds positive weights", got=self.alpha)
        if any(abs(a) > 90 or abs(b) > 180 for a, b in self.region):
            raise ConfigError("RoadworkConfig.region", "holds places on the globe", got=self.region)
        return self


class RoadworkEnsembleConfig(EnsembleConfig):
    """Options of `vision/roadwork-ensemble`."""

    @model_validator(mode="after")
    def _decides(self) -> Self:
        for k, member in enumerate(self.members):
            if member.id != "vision/roadwork":
                rule = "is vision/roadwork, which has a threshold"
                raise ConfigError(f"RoadworkEnsembleConfig.members.{k}.id", rule, got=repr(member.id))
        return self
