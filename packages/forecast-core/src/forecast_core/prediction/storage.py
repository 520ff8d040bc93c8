"""Predictions as JSON text and as safetensors bytes; both round trips are exact."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from forecast_core.errors import InvalidInputError, near_misses
from forecast_core.prediction.base import Prediction, prediction_kinds

__all__ = ["from_bytes", "from_json", "to_bytes", "to_json"]

_META = "prediction"


def to_json(prediction: Prediction) -> str:
    """{"kind": ..., field: ...}; arrays as {"dtype", "shape", "data"}."""
    return json.dumps({"kind": prediction.kind, **prediction.model_dump(mode="json")}, allow_nan=False)


def from_json(text: str | bytes) -> Prediction:
    """The prediction in a text of `to_json`; InvalidInputError where it is not one."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("text", f"is not JSON ({error})") from error
    return _build(fields)


def to_bytes(prediction: Prediction) -> bytes:
    """One safetensors blob: arrays as tensors, the rest as JSON in its metadata."""
    tensors: dict[str, np.ndarray] = {}
    fields: dict[str, Any] = {"kind": prediction.kind}
    plain = prediction.model_dump(mode="python")
    for name, value in plain.items():
        if isinstance(value, np.ndarray):
            tensors[name] = value
        elif name == "aux":
            tensors.update({f"aux/{key}": array for key, array in value.items()})
        else:
            fields[name] = value
    times = {name: str(a.dtype) for name, a in tensors.items() if a.dtype.kind in "Mm"}
    stored = {n: np.ascontiguousarray(a.view(np.int64) if n in times else a) for n, a in tensors.items()}
    header = json.dumps({"fields": fields, "times": times}, allow_nan=False)
    return bytes(save(stored, metadata={_META: header}))


def from_bytes(blob: bytes) -> Prediction:
    """The prediction in a blob of `to_bytes`; InvalidInputError where it is not one."""
    try:
        length = int.from_bytes(blob[:8], "little")
        header = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"][_META])
        fields, times = header["fields"], header["times"]
        for name, array in load(blob).items():
            value = array.view(times[name]) if name in times else array
            if name.startswith("aux/"):
                fields.setdefault("aux", {})[name.removeprefix("aux/")] = value
            else:
                fields[name] = value
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise InvalidInputError("blob", f"is not a stored prediction ({error})") from error
    return _build(fields)


def _build(fields: Any) -> Prediction:
    if not isinstance(fields, dict) or "kind" not in fields:
        raise InvalidInputError("prediction", "is an object with the key 'kind'")
    kinds = prediction_kinds()
    kind = fields.pop("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise InvalidInputError(
            "kind", "is a known kind of prediction", got=repr(kind), hint=near_misses(str(kind), kinds)
        )
    return kinds[kind](**fields)
