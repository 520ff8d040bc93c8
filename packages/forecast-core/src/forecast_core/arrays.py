"""The one pydantic-aware array type: a read-only numpy array that survives JSON exactly.

`Array` takes floats, integers, booleans, datetime64 and timedelta64 (both kept in microseconds);
`FloatArray` turns whatever is numeric into float64 (float32 stays float32). Arrays given to a model are
copied unless they are read-only already, so that nobody can change a prediction from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

__all__ = ["Array", "FloatArray", "arrays_equal", "frozen"]

_TIME = {"M": "datetime64[us]", "m": "timedelta64[us]"}
_JSON_DTYPES = ("float64", "float32", "int64", "bool", *_TIME.values())


def frozen(array: np.ndarray) -> np.ndarray:
    """The same numbers in an array that cannot be written to; copied only where it could be."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def arrays_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Same dtype, shape and content; NaN (and NaT) equal themselves."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fMm"))


def _normalise(array: np.ndarray, floating: bool) -> np.ndarray:
    kind = array.dtype.kind
    if floating:
        if kind not in "fiub":
            raise ValueError(f"must hold numbers, got dtype {array.dtype}")
        wanted = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    elif kind == "f":
        wanted = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    elif kind in "iu":
        wanted = np.dtype(np.int64)
    elif kind == "b":
        wanted = np.dtype(np.bool_)
    elif kind in _TIME:
        wanted = np.dtype(_TIME[kind])
    else:
        raise ValueError(f"must hold numbers, booleans or times, got dtype {array.dtype}")
    return array if array.dtype == wanted else array.astype(wanted)


def _parse(value: Any, floating: bool) -> np.ndarray:
    if isinstance(value, dict):
        value = _from_json(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # ragged nesting
        raise ValueError(f"must be a rectangular array ({error})") from error
    return frozen(_normalise(array, floating))


def _from_json(value: dict[str, Any]) -> np.ndarray:
    if set(value) != {"dtype", "shape", "data"} or value["dtype"] not in _JSON_DTYPES:
        raise ValueError(f"an array in JSON has the keys dtype, shape and data; dtype one of {_JSON_DTYPES}")
    data, dtype = value["data"], np.dtype(value["dtype"])
    try:
        if dtype.kind == "m":
            array = np.array(data, dtype=np.int64).view(dtype)
        else:  # "nan" and "inf" come as strings, which numpy reads as floats
            array = np.array(data, dtype=dtype)
        return array.reshape([int(n) for n in value["shape"]])
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"data does not fit dtype and shape ({error})") from error


def _to_json(array: np.ndarray) -> dict[str, Any]:
    flat = array.reshape(-1)
    data: list[Any]
    if array.dtype.kind == "M":
        data = np.datetime_as_string(flat).tolist()
    elif array.dtype.kind == "m":
        data = flat.view(np.int64).tolist()
    else:
        data = flat.tolist()
        if array.dtype.kind == "f" and not np.isfinite(flat).all():
            data = [x if np.isfinite(x) else str(x) for x in data]
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


@dataclass(frozen=True)
class _ArraySchema:
    floating: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(
            lambda value: _parse(value, self.floating),
            serialization=core_schema.plain_serializer_function_ser_schema(_to_json, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "object",
            "properties": {
                "dtype": {"enum": list(_JSON_DTYPES)},
                "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                "data": {"type": "array"},
            },
            "required": ["dtype", "shape", "data"],
        }


Array = Annotated[np.ndarray, _ArraySchema()]
FloatArray = Annotated[np.ndarray, _ArraySchema(floating=True)]
