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
_TIMES = ("datetime64[us]", "timedelta64[us]")  # stored as whole numbers


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
    stored = {n: np.asarray(a.view(np.int64) if n in times else a, order="C") for n, a in tensors.items()}
    header = json.dumps({"fields": fields, "times": times}, allow_nan=False)
    return bytes(save(stored, metadata={_META: header}))


def from_bytes(blob: bytes) -> Prediction:
    """The prediction in a blob of `to_bytes`; InvalidInputError where it is not one."""
    try:
        length = int.from_bytes(blob[:8], "little")
        header = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"][_META])
        fields, times = dict(header["fields"]), dict(header["times"])
        aux: dict[str, np.ndarray] = {}
        for name, array in load(blob).items():
            if name in times and times[name] not in _TIMES:
                raise ValueError(f"{name} is stored as {times[name]!r}")
            value = array.view(times[name]) if name in times else array
            if name.startswith("aux/"):
                aux[name.removeprefix("aux/")] = value
            else:
                fields[name] = value
        fields["aux"] = aux
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise InvalidInputError("blob", f"is not a stored prediction ({error!r})") from error
    return _build(fields)


def _build(fields: Any) -> Prediction:
    if not isinstance(fields, dict) or "kind" not in fields:
        raise InvalidInputError("prediction", "is an object with the key 'kind'")
    kinds, kind = prediction_kinds(), fields.pop("kind")
    if not isinstance(kind, str) or kind not in kinds:
        known, got = near_misses(str(kind)[:80], kinds), repr(kind)[:80]
        raise InvalidInputError("kind", "is a known kind of prediction", got=got, hint=known)
    return kinds[kind](**fields)
