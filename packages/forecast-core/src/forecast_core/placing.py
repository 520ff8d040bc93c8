"""Where the networks of a saved model compute, apart from where they were trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forecast_core import registry

__all__ = ["on_device"]


def on_device(model_id: str, params: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Options of a model as JSON, the `device` of it and of all models it holds replaced."""
    moved = {name: _held(value, device) for name, value in params.items()}
    if "device" in registry.config_class(registry.model_spec(model_id)).model_fields:
        moved["device"] = device
    return moved


def _held(value: Any, device: str) -> Any:
    if isinstance(value, list | tuple):
        return [_held(each, device) for each in value]
    if isinstance(value, Mapping) and value.keys() == {"id", "params"}:
        return {**value, "params": on_device(value["id"], value["params"], device)}
    return value
