"""Data, models and values as the command line names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forecast_core as fc
from forecast_core import registry
from forecast_core.config import DataConfig
from forecast_core.errors import ConfigError, InvalidInputError, near_misses

if TYPE_CHECKING:
    from forecast_core.predictor import Predictor

__all__ = ["load_data", "named_model", "parse_params", "parse_value"]


def load_data(config: DataConfig) -> Any:
    """A registered dataset, or a panel read from a table."""
    if config.source in registry.available_datasets():
        for name in config.changed:
            rule = f"is an option of tables, and {config.source} is a dataset"
            raise ConfigError(f"DataConfig.{name}", rule, got=getattr(config, name))
        return registry.load_dataset(config.source)
    if not Path(config.source).exists():
        raise InvalidInputError(
            "--data",
            "is a file or the id of a dataset",
            got=repr(config.source),
            hint=near_misses(config.source, registry.available_datasets()),
        )
    from forecast_core.data.frames import read_table  # reading tables takes long to import

    table = read_table(config.source, text=() if config.item_id is None else (config.item_id,))
    if config.layout == "wide":
        return fc.Panel.from_wide(
            table, timestamp=config.timestamp, target=config.target[0], freq=config.freq, tz=config.tz
        )
    return fc.Panel.from_frame(
        table,
        timestamp=config.timestamp,
        target=config.target,
        item_id=config.item_id,
        freq=config.freq,
        past_covariates=config.past_covariates,
        future_covariates=config.future_covariates,
        static_covariates=config.static_covariates,
        tz=config.tz,
    )


def named_model(text: str, *, device: str | None = None) -> Predictor[Any]:
    """A saved model's directory, or an id with options: "series/seasonal-naive:seasonality=168".

    device: as of `load_model`, and for a model that is not saved, unless its options name one.
    """
    if Path(text, "manifest.json").is_file():
        return registry.load_model(text, device=device)
    model_id, _, options = text.partition(":")
    params = {}
    for pair in (p for p in options.split(",") if p):
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(text, "gives options as name=value", got=repr(pair))
        params[name.replace("-", "_")] = parse_value(value)
    model = registry.create_model(model_id, **params)
    if device is None or "device" in params:
        return model
    return registry.create_model(model_id, model.config.on_device(device))


def parse_params(arguments: Sequence[str], *, model: str) -> dict[str, Any]:
    """`--name value` and `--name=value` pairs as options of a model."""
    config_class = registry.config_class(registry.model_spec(model))
    known = [*config_class.model_fields, *(["preset"] if config_class.presets else [])]
    params: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--"):
            raise ConfigError(flag, f"belongs to no option of {model}", hint="options are --name value")
        name, equals, value = flag[2:].partition("=")
        field = name.replace("-", "_")
        if field not in known:
            hint = near_misses(f"--{name}", [f"--{n.replace('_', '-')}" for n in known])
            raise ConfigError(f"--{name}", f"is no option of {model}", hint=hint)
        if not equals:
            if not rest:
                raise ConfigError(f"--{name}", "needs a value")
            value = rest.pop(0)
        params[field] = parse_value(value)
    return params


def parse_value(text: str) -> Any:
    """A number, true, false, none, a comma-separated list of such, JSON, or the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    if "," in text:
        return [parse_value(part) for part in text.split(",") if part]
    return text
