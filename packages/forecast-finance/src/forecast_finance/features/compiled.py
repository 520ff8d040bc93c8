"""Loops over bars, compiled by numba when they are first called and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """The function, compiled; strict about floating point, so that results do not depend on the machine."""
    return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
