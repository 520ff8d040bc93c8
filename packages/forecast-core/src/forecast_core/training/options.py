"""`TrainingOptions`: how a network is trained, apart from its data, its loss and its seed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from forecast_core.config import ModelConfig
from forecast_core.errors import ConfigError

__all__ = ["Schedule", "TrainingOptions"]

Schedule = Literal["constant", "cosine", "one-cycle", "milestones"]


class TrainingOptions(ModelConfig):
    """How `fit_network` trains; ConfigError for an unknown field or a value out of bounds.

    A step is one update of the weights, from `batch_size * accumulate` windows (and from that many on each
    device).
    """

    max_epochs: int = Field(ge=1, description="passes over (sampled) windows, at most")
    batch_size: int = Field(ge=1, description="windows in one forward pass")
    learning_rate: float = Field(gt=0, description="peak of the schedule")
    optimizer: Literal["adam", "adamw", "lion"] = Field(
        default="adamw",
        description="adam adds weight_decay to the gradient, adamw and lion shrink weights apart from it; "
        "lion wants about a third of adamw's learning rate",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="pull of weights towards zero")
    windows_per_epoch: int | None = Field(
        default=None,
        ge=1,
        description="random windows an epoch, without repeats; none, or more than there are: all",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="epochs without better validation loss before stopping; none: all epochs. Says nothing "
        "where there is no validation",
    )
    min_delta: float = Field(default=0.0, ge=0, description="what validation must gain to count as better")
    gradient_clip: float | None = Field(default=None, gt=0, description="largest norm of the whole gradient")
    accumulate: int = Field(default=1, ge=1, description="batches whose gradients make one step")
    schedule: Schedule = Field(default="constant", description="learning rate over steps")
    warmup: float = Field(default=0.3, ge=0, lt=1, description="share of steps that one-cycle rises")
    milestones: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="epochs after which the schedule of that name falls to a tenth"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="decay of a moving average of weights, evaluated and kept instead of them",
    )
    precision: Literal["32", "bf16", "16"] = Field(
        default="32", description="arithmetic of the forward pass; weights stay as they are"
    )
    compile: bool = Field(
        default=False,
        description="compile the training pass with torch.compile, or warn of why that failed and go on",
    )
    device: str = Field(default="cpu", description="cpu, cuda, cuda:N, or another device of torch")
    deterministic: bool = Field(
        default=False,
        description="refuse operations whose result depends on timing; the CPU has next to none",
    )
    fabric: bool = Field(
        default=False, description="leave device, precision and processes to lightning-fabric"
    )
    strategy: Literal["ddp"] | None = Field(
        default=None, description="ddp: a process a device, started by torchrun; implies fabric"
    )
    devices: int = Field(default=1, ge=1, description="devices trained on at once; more than one implies ddp")

    @model_validator(mode="after")
    def _falls_somewhere(self) -> Self:
        if self.schedule == "milestones" and not self.milestones:
            raise ConfigError(
                "TrainingOptions.milestones", "name an epoch where the schedule is of that name"
            )
        return self

    @classmethod
    def of(cls, config: ModelConfig, **others: Any) -> Self:
        """The options that a model's configuration holds under the same names, and `others`, which win."""
        fields = type(config).model_fields
        return cls(
            **{**{name: getattr(config, name) for name in cls.model_fields if name in fields}, **others}
        )

    @property
    def uses_fabric(self) -> bool:
        """Whether lightning-fabric runs the steps."""
        return self.fabric or self.strategy is not None or self.devices > 1
