"""Pydantic's errors in our words, and checks of counts, shares, numbers and lists that come as arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import ValidationError

from forecast_core.errors import DataError, ForecastError, InvalidInputError, near_misses

__all__ = ["fraction", "listed", "numbers", "typed_error", "whole"]


def typed_error(
    owner: str,
    error: ValidationError,
    *,
    known: Iterable[str] = (),
    kind: type[InvalidInputError] = InvalidInputError,
) -> ForecastError:
    """The first problem of a pydantic error as `kind`; an error of ours inside it comes out as it
    was, or, of a nested object, under the path from `owner`.

    owner: the class being validated; known: its field names, for near misses of unknown ones.
    """
    first = error.errors(include_url=False)[0]
    inner = first.get("ctx", {}).get("error")
    path = ".".join(str(part) for part in first["loc"])
    if isinstance(inner, ForecastError):
        return _within(owner, path, inner)
    argument = f"{owner}.{path}" if path else owner
    if first["type"] == "extra_forbidden":
        return kind(argument, "is not a field", hint=near_misses(path, known))
    message = str(inner) if isinstance(inner, ValueError) else first["msg"]
    message = message[:1].lower() + message[1:]
    given = None if first["type"] in ("missing", "value_error") else repr(first["input"])[:80]
    return kind(argument, message, got=given)


def _within(owner: str, path: str, inner: ForecastError) -> ForecastError:
    """An error of a configuration inside another one, under its path from the outermost."""
    if not path or not isinstance(inner, InvalidInputError):
        return inner
    head, _, field = inner.argument.partition(".")
    if not field or not head[:1].isupper():
        return inner
    return type(inner)(
        f"{owner}.{path}.{field}", inner.rule, place=inner.place, got=inner.got, hint=inner.hint
    )


def whole(argument: str, value: Any, *, least: int = 1) -> int:
    """The value as an int of at least `least`; InvalidInputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidInputError(argument, f"is a whole number of at least {least}", got=repr(value))
    return int(value)


def fraction(argument: str, value: Any) -> float:
    """The value as a float inside (0, 1); InvalidInputError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise InvalidInputError(argument, "lies between 0 and 1", got=repr(value))
    return float(value)


def listed(argument: str, values: Any) -> tuple[Any, ...]:
    """Ids or names as a tuple; InvalidInputError for a text, which is a list of letters, and for no list."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInputError(argument, "are a list", got=repr(values)[:80])
    return tuple(values)


def numbers(argument: str, values: Any) -> np.ndarray:
    """Numbers of any shape as float64; DataError for texts, rows of unequal length and whatever is none."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(argument, f"holds numbers, in rows of one length ({error})") from error
