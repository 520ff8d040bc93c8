"""The one pydantic-aware array type: a read-only numpy array that survives JSON exactly.

`Array` takes floats, integers, booleans, datetime64 and timedelta64 (both kept in microseconds);
`FloatArray` turns whatever is numeric into float64 (float32 stays float32). Arrays given to a model are
copied unless nobody can write to their memory, so that a prediction cannot be changed from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from forecast_core.errors import InvalidInputError, ShapeError

__all__ = ["Array", "FloatArray", "arrays_equal", "covered", "frozen", "positions", "row_span"]

_TIME = {"M": "datetime64[us]", "m": "timedelta64[us]"}
_JSON_DTYPES = ("float64", "float32", "int64", "bool", *_TIME.values())


def frozen(array: np.ndarray) -> np.ndarray:
    """The same numbers in an array that cannot be written to; copied only where somebody could."""
    if _writeable(array):
        array = array.copy()
        array.flags.writeable = False
    return array


def _writeable(array: np.ndarray) -> bool:
    """Whether the array, or whatever it is a view of, can be written to."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    try:
        return owner is not None and not memoryview(owner).readonly
    except TypeError:  # memory of something that does not say
        return True


def arrays_equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Same dtype, shape and content; NaN (and NaT) equal themselves."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fMm"))


def row_span(low: int, high: int, *, length: int) -> tuple[int, int]:
    """Ends of rows low..high-1 of so many, as a slice takes them; ShapeError where there is none."""
    first, last, _ = slice(low, high).indices(length)
    if first >= last:
        raise ShapeError("rows", f"are at least one of 0..{length - 1}", got=f"[{low}, {high})")
    return first, last


def covered(begins: np.ndarray, ends: np.ndarray, *, length: int) -> np.ndarray:
    """Whether each position 0..length-1 lies in a span from `begins` [n] to `ends` [n], both included.

    Begins below 0 count as 0; ends are below `length`.
    """
    change = np.zeros(length + 1, dtype=np.int64)
    np.add.at(change, np.maximum(begins, 0), 1)
    np.add.at(change, ends + 1, -1)
    inside: np.ndarray = np.cumsum(change)[:-1] > 0
    return inside


def positions(argument: str, index: np.ndarray | Sequence[int], *, length: int) -> np.ndarray:
    """Positions [k] along an axis of some length, from whole numbers (negative from the end) or a mask.

    Raises ShapeError for a mask of another length, InvalidInputError for a position that is not there.
    """
    at = np.asarray(index)
    if at.ndim != 1:
        raise ShapeError(argument, "is a list of positions or a mask", got=at.shape)
    if at.dtype == np.bool_:
        if len(at) != length:
            raise ShapeError(argument, f"has {length} entries where it is a mask", got=len(at))
        return np.flatnonzero(at)
    if len(at) and at.dtype.kind not in "iu":
        raise InvalidInputError(argument, "holds whole numbers", got=at.dtype)
    outside = np.flatnonzero((at < -length) | (at >= length))
    if len(outside):
        place, got = f"entry {outside[0]}", at[outside[0]]
        raise InvalidInputError(argument, f"lies in [0, {length})", place=place, got=got)
    return at.astype(np.intp, copy=False)


def _normalise(array: np.ndarray, floating: bool) -> np.ndarray:
    kind = array.dtype.kind
    if kind == "f" or (floating and kind in "iub"):
        wanted = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    elif floating:
        raise ValueError(f"must hold numbers, got dtype {array.dtype}")
    elif kind in "iu":
        wanted = np.dtype(np.int64)
        if kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"must hold whole numbers below 2**63, got {array.max()}")
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
    except (ValueError, TypeError, RuntimeError) as error:  # ragged nesting, a tensor that has a gradient
        raise ValueError(f"must be a rectangular array ({error})") from error
    return frozen(_normalise(array, floating))


def _from_json(value: dict[str, Any]) -> np.ndarray:
    if set(value) != {"dtype", "shape", "data"} or value["dtype"] not in _JSON_DTYPES:
        raise ValueError(f"an array in JSON has the keys dtype, shape and data; dtype one of {_JSON_DTYPES}")
    data, dtype = value["data"], np.dtype(value["dtype"])
    try:
        shape = [int(n) for n in value["shape"]]
        if dtype.kind in "fM":  # numpy reads "nan" and "inf" as floats, and times from ISO 8601
            with np.errstate(over="ignore"):
                return np.array(data, dtype=dtype).reshape(shape)
        array = np.array(data)
        if array.size and array.dtype.kind != ("b" if dtype.kind == "b" else "i"):
            raise ValueError(f"holds {array.dtype}")
        array = array.astype(np.bool_ if dtype.kind == "b" else np.int64)
        result: np.ndarray = array.view(dtype).reshape(shape)
        return result
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
