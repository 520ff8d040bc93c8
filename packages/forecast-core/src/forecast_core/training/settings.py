"""What has to be the same for a run to go on from its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sized
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from torch import Tensor, nn

from forecast_core.errors import ConfigError
from forecast_core.training.options import TrainingOptions

if TYPE_CHECKING:
    from forecast_core.run import Run

__all__ = ["check_settings", "lineage_settings", "run_settings"]

_LINEAGE = "model: "


def run_settings(
    network: nn.Module, options: TrainingOptions, *, seed: int, source: Sized, validation: Sized | None
) -> dict[str, JsonValue]:
    """Options, seed, numbers of windows, and a digest of the network's state: names, types, shapes."""
    state = [[name, _shape(value)] for name, value in network.state_dict().items()]
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    signature = hashlib.sha256(json.dumps([state, trained]).encode()).hexdigest()
    return {
        **{f"options.{name}": value for name, value in options.model_dump(mode="json").items()},
        "seed": seed,
        "windows": len(source),
        "validation windows": None if validation is None else len(validation),
        "network signature": signature,
    }


def lineage_settings(run: Run) -> dict[str, JsonValue]:
    """The model's configuration and digests of the data, as far as `Predictor.fit` told the run of them."""
    if run.info is None:
        return {}
    data = {"data": run.info.trained_on, "validation data": run.info.validated_on, "windows": run.selection}
    return {f"{_LINEAGE}{name}": value for name, value in {**run.info.config, **data}.items()}


def check_settings(before: Mapping[str, JsonValue], now: Mapping[str, JsonValue]) -> None:
    """Raise ConfigError naming the first setting that differs; runs that began before models told of their
    configuration and data are not asked for them.
    """
    told = any(name.startswith(_LINEAGE) for name in before)
    for name in {**now, **before}:
        if before.get(name) != now.get(name) and (told or not name.startswith(_LINEAGE)):
            raise ConfigError(
                "run",
                "is resumed with the settings it began with",
                place=name.removeprefix(_LINEAGE),
                got=f"{now.get(name)!r} instead of {before.get(name)!r}",
                hint="start a new run to change them",
            )


def _shape(value: Any) -> list[JsonValue]:
    return [str(value.dtype), *value.shape] if isinstance(value, Tensor) else [type(value).__name__]
