"""Nested state (of an optimizer, say) as named tensors and JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue
from torch import Tensor

from forecast_core.errors import ArtifactError

__all__ = ["pack", "unpack"]


def pack(value: Any, name: str, tensors: dict[str, Tensor]) -> JsonValue:
    """JSON that describes `value`; its tensors are copied to the CPU into `tensors`, named after their place.

    Takes tensors, mappings with string or integer keys, lists, tuples, strings, numbers, booleans and None;
    raises ArtifactError naming the place of anything else.
    """
    if isinstance(value, Tensor):
        key = name if name not in tensors else f"{name}#{len(tensors)}"
        # A copy of its own: checkpoints outlive the step, and safetensors refuses memory that is shared.
        tensors[key] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": key}
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str | int)]
        if wrong:
            raise ArtifactError(f"{name}: the key {wrong[0]!r} cannot be saved; use strings or integers")
        return {"mapping": [[key, pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(item, f"{name}/{place}", tensors) for place, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ArtifactError(f"{name}: a {type(value).__name__} cannot be saved; use tensors, numbers and texts")


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `pack` was given; KeyError, TypeError or ValueError where the two do not belong together."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "mapping":
        return {key: unpack(item, tensors) for key, item in content}
    if kind not in ("list", "tuple"):
        raise ValueError(f"{kind!r} is no kind of packed value")
    items = [unpack(item, tensors) for item in content]
    return items if kind == "list" else tuple(items)
