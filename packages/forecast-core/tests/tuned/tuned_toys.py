"""A model whose best options are known, which trains by epochs, and can be made to go wrong.

On a panel of zeros its mean absolute error is `|shift - 2| + kinds.index(kind)`, exactly.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from forecast_core.config import ModelConfig, Search
from forecast_core.data import Freq, Panel
from forecast_core.errors import ConfigError, DataError
from forecast_core.hookspecs import hookimpl
from forecast_core.prediction import PointPrediction
from forecast_core.predictor import Predictor
from forecast_core.specs import Capabilities, ModelSpec

KINDS = ("plain", "worse", "worst")


class ToyConfig(ModelConfig):
    """Options of the toy."""

    context_length: int = Field(default=4, ge=1, description="rows of history it asks for")
    horizon: int | None = Field(default=3, ge=1, description="steps ahead")
    shift: Annotated[float, Search(-5.0, 5.0)] = Field(default=0.0, ge=-50, le=50, description="its error")
    kind: Annotated[Literal["plain", "worse", "worst"], Search(choices=KINDS)] = Field(
        default="worse", description="more error"
    )
    max_epochs: int = Field(default=4, ge=1, description="epochs told")
    trouble: Literal["none", "always", "refused", "raise", "bug", "die", "die once"] = Field(
        default="none", description="what goes wrong where shift is above 0, or always"
    )
    seconds: float = Field(default=0.0, ge=0, description="how long an epoch takes")
    folder: str = Field(default="", description="where it leaves a line for each fit and each epoch")

    @model_validator(mode="after")
    def _refused(self) -> Self:
        if self.trouble == "refused" and self.shift > 0:
            raise ConfigError("ToyConfig.shift", "is at most 0 here", got=self.shift)
        return self


class Toy(Predictor[Panel]):
    """The last value plus `shift` and so on."""

    config_class: ClassVar[type[ModelConfig]] = ToyConfig

    def _fit(self, data: Panel, *, validation: Any, seed: int, run: Any) -> None:
        c = self.config
        self._told(f"fit {c.shift!r} {len(data)} {0 if validation is None else len(validation)} {seed}")
        if c.shift > 0 or c.trouble == "always":
            self._trouble()
        for epoch in range(1, c.max_epochs + 1):
            time.sleep(c.seconds)
            self._told(f"epoch {epoch}")
            loss = self._error + 1.0 / epoch
            run.emit("forecast_epoch_finished", epoch=epoch, metrics={"train_loss": 0.0, "valid_loss": loss})
            if run.stopped:
                break

    @property
    def _error(self) -> float:
        return abs(self.config.shift - 2.0) + KINDS.index(self.config.kind)

    def _trouble(self) -> None:
        trouble = self.config.trouble
        if trouble in ("raise", "always"):
            raise DataError("data", "cannot be fitted with this shift")
        if trouble == "bug":
            raise RuntimeError("boom")
        mark = Path(self.config.folder, "dead")
        if trouble == "die once" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def _told(self, line: str) -> None:
        if self.config.folder:
            with open(Path(self.config.folder, f"{os.getpid()}.log"), "a") as file:
                file.write(line + "\n")

    def _predict(self, data: Panel, *, horizon: int | None) -> PointPrediction:
        assert horizon is not None
        last = data.values[data.known_rows - 1]  # [item, target]
        return PointPrediction(
            values=np.repeat((last + self._error)[:, None], horizon, axis=1),
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(horizon),
        )


@hookimpl
def forecast_models() -> list[ModelSpec]:
    """The toy."""
    return [
        ModelSpec(
            id="tuned/toy",
            task="series",
            entry_point="tuned_toys:Toy",
            config_entry_point="tuned_toys:ToyConfig",
            summary="a model whose best options are known",
            capabilities=Capabilities(prediction="point"),
        )
    ]


def zeros(rows: int = 60, *, first: str = "2024-01-01T00") -> Panel:
    """An hourly panel of zeros, two items."""
    freq = Freq.parse("h")
    return Panel(
        values=np.zeros((rows, 2, 1)),
        timestamps=freq.range(np.datetime64(first, "us"), rows),
        item_ids=("a", "b"),
        freq=freq,
    )
