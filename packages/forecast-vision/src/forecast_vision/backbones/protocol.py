"""What every backbone offers, and the one check of what it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Backbone", "TrainableBackbone", "check_views"]


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


@runtime_checkable
class TrainableBackbone(Backbone, Protocol):
    """A backbone that can be trained further."""

    def trainable(self, *, rank: int, alpha: float, blocks: int, seed: int) -> nn.Module:
        """A network that gives the same features until it is trained, on the backbone's device.

        It takes views, a tensor uint8 [n, 3, S, S], to features [n, feature_dim]. Trained are, and alone
        require a gradient: adapters of some rank, and all of the last `blocks`. All other weights are the
        backbone's own and stay as they are. Raises ConfigError for more blocks than there are.
        """
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
