"""torch.compile where it works, and the plain function where it does not."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch

__all__ = ["compiled_or_eager", "has_compiler"]

_log = logging.getLogger("forecast")

F = TypeVar("F", bound=Callable[..., Any])

_refused: set[str] = set()


def has_compiler(device: torch.device) -> bool:
    """Whether kernels for the device can be built here."""
    if device.type == "cuda":
        return True
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "cl") if name)


def compiled_or_eager(function: F, *, instead: F, strict: bool, device: torch.device) -> F:
    """The function compiled. strict: raise what compiling raises; else give `instead`, which does the same,
    where there is no compiler, and, from the first failure on, which is logged, call that.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if not strict and (name in _refused or not has_compiler(device)):
        return instead
    compiled: F = _compiled(function)
    if strict:
        return compiled

    def attempt(*args: Any, **kwargs: Any) -> Any:
        try:
            return compiled(*args, **kwargs)
        except Exception as error:
            _refused.add(name)
            _log.warning("compiling %s failed (%s); it runs eagerly", name, type(error).__name__)
            return instead(*args, **kwargs)

    return attempt  # type: ignore[return-value]


@lru_cache(maxsize=8)
def _compiled(function: Any) -> Any:
    return torch.compile(function, dynamic=None)
