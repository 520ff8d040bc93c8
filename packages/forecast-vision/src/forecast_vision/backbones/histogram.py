"""`histogram`: colours and edges of a view, counted; nothing is learnt and nothing needs to be downloaded.

A peer for learnt backbones, and quick enough for tests. Sources: Swain & Ballard (1991), Color indexing;
Dalal & Triggs (2005), Histograms of oriented gradients.
"""

from __future__ import annotations

import hashlib

import numpy as np

from forecast_vision.backbones.protocol import check_views

__all__ = ["load"]

_LEVELS = 4  # of each colour
_CELLS = 4  # a side, in which edges are counted
_ANGLES = 8  # of edges, over half a turn
_DIM = _LEVELS**3 + _CELLS * _CELLS * _ANGLES


class _Histogram:
    name, feature_dim, size, patch = "histogram", _DIM, 64, _CELLS
    checkpoint_hash = hashlib.sha256(b"histogram 1").hexdigest()

    def embed(self, views: np.ndarray) -> np.ndarray:
        check_views(views, patch=self.patch)
        if not len(views):
            return np.empty((0, _DIM), dtype=np.float32)
        return np.concatenate([_colours(views), _edges(views)], axis=1).astype(np.float32)


def _colours(views: np.ndarray) -> np.ndarray:
    """Square roots of the shares of each colour, [n, levels^3]."""
    level = (views.astype(np.int64) * _LEVELS) >> 8  # [n, 3, S, S]
    code = (level[:, 0] * _LEVELS + level[:, 1]) * _LEVELS + level[:, 2]
    shares: np.ndarray = np.sqrt(_counted(code.reshape(len(views), -1), None, _LEVELS**3))
    return shares


def _edges(views: np.ndarray) -> np.ndarray:
    """Square roots of the shares of edge strength by cell and angle, [n, cells^2 * angles]."""
    grey = views.astype(np.float64).mean(1)  # [n, S, S]
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, right)
    angle = (np.arctan2(down, right) % np.pi) * (_ANGLES / np.pi)
    side = views.shape[2]
    cell = np.arange(side) * _CELLS // side
    place = cell[:, None] * _CELLS + cell  # [S, S]
    code = place * _ANGLES + np.minimum(angle.astype(np.int64), _ANGLES - 1)
    n = len(views)
    shares: np.ndarray = np.sqrt(
        _counted(code.reshape(n, -1), strength.reshape(n, -1), _CELLS * _CELLS * _ANGLES)
    )
    return shares


def _counted(codes: np.ndarray, weights: np.ndarray | None, bins: int) -> np.ndarray:
    """Share of each code in its row, [n, bins]; 0 where a row has no weight."""
    rows = np.arange(len(codes))[:, None] * bins
    flat = None if weights is None else weights.ravel()
    total = np.bincount((codes + rows).ravel(), weights=flat, minlength=len(codes) * bins)
    total = total.reshape(len(codes), bins).astype(np.float64)
    return np.asarray(total / np.maximum(total.sum(1, keepdims=True), 1e-12))


def load(checkpoint: str | None, *, device: str, merge: float) -> _Histogram:
    """The backbone; it has no weights."""
    return _Histogram()
