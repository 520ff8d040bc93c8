"""What every backbone offers, and the one check of what it is given."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError

__all__ = ["Backbone", "check_views"]


@runtime_checkable
class Backbone(Protocol):
    """A frozen network.

    feature_dim: numbers a view; size: pixels a side it is best at; patch: what a side must be a multiple of;
    checkpoint_hash: SHA-256 of its weights and of whatever else decides its features.
    """

    name: str
    feature_dim: int
    size: int
    patch: int
    checkpoint_hash: str

    def embed(self, views: np.ndarray) -> np.ndarray:
        """Features float32 [n, feature_dim] of views uint8 [n, 3, S, S]; each of its own view alone."""
        ...


def check_views(views: Any, *, patch: int) -> None:
    """InvalidInputError or ShapeError unless uint8 [n, 3, S, S] with S a multiple of `patch`."""
    if not isinstance(views, np.ndarray) or views.dtype != np.uint8:
        got = getattr(views, "dtype", type(views).__name__)
        raise InvalidInputError("views", "is an array of uint8", got=got)
    if views.ndim != 4 or views.shape[1] != 3 or views.shape[2] != views.shape[3] or not views.shape[2]:
        raise ShapeError("views", "has the shape [n, 3, S, S]", got=views.shape)
    if views.shape[2] % patch:
        raise ShapeError("views", f"has a side that is a multiple of {patch}", got=views.shape)
