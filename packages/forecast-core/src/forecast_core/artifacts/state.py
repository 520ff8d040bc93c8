"""`State`: what a fitted model consists of besides its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from forecast_core.artifacts.layout import is_array_name, is_text_name
from forecast_core.errors import InvalidInputError

__all__ = ["State"]

_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
_HINTS = {
    "U": "put text in texts",
    "S": "put text in texts",
    "T": "put text in texts",
    "O": "objects cannot be stored; give numbers as arrays and text in texts",
    "M": "give times as int64: array.view('int64')",
    "m": "give durations as int64: array.view('int64')",
    "c": "give real and imaginary parts as two arrays",
}


@dataclass(frozen=True, eq=False)
class State:
    """What a fitted model consists of besides its configuration.

    arrays: name -> numbers or booleans of any shape, copied into contiguous arrays of this machine's byte
    order; names are letters, digits, _ . - /. texts: plain lower-case file name -> text (JSON of names, a
    booster's dump). Raises InvalidInputError for another name or type.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", {name: _array(name, value) for name, value in self.arrays.items()})
        object.__setattr__(self, "texts", {name: _text(name, value) for name, value in self.texts.items()})


def _array(name: str, value: np.ndarray) -> np.ndarray:
    if not is_array_name(name):
        rule = "has names of letters, digits, _ . - /, up to 200"
        raise InvalidInputError("state.arrays", rule, got=repr(name)[:80])
    argument, rule = f"state.arrays[{name!r}]", "is a numpy array of numbers or booleans"
    if not isinstance(value, np.ndarray):
        raise InvalidInputError(argument, rule, got=type(value).__name__, hint="convert with numpy.asarray")
    if isinstance(value, np.ma.MaskedArray):
        raise InvalidInputError(argument, rule, got="a masked array", hint="give data and mask as two arrays")
    if value.dtype.str[1:] not in _DTYPES:
        raise InvalidInputError(argument, rule, got=value.dtype, hint=_HINTS.get(value.dtype.kind))
    return np.array(value, dtype=value.dtype.newbyteorder("="), order="C")


def _text(name: str, value: str) -> str:
    if not is_text_name(name):
        rule = "has plain lower-case file names of letters, digits, _ . -, up to 100"
        raise InvalidInputError("state.texts", rule, got=repr(name)[:80])
    argument = f"state.texts[{name!r}]"
    if not isinstance(value, str):
        raise InvalidInputError(argument, "is text", got=type(value).__name__)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(argument, "is text that UTF-8 can hold", place=error.start) from error
    return value
