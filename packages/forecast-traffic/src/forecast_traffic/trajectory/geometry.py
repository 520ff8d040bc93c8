"""Plane geometry of paths: directions, rotations, and ellipses turned with them."""

from __future__ import annotations

import numpy as np

__all__ = ["along", "directions", "turned", "turned_covariances", "wrapped"]


def directions(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors [n, 2] of some vectors [n, 2]; along the x axis where a vector has no length."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    still = length[..., 0] < 1e-9
    unit = vectors / np.where(length < 1e-9, 1.0, length)
    unit[still] = (1.0, 0.0)
    return unit


def along(vectors: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Vectors [n, ..., 2] in a frame whose first axis is `heading` [n, 2]: ahead, and to the left."""
    cos, sin = _angles(vectors, heading)
    ahead = cos * vectors[..., 0] + sin * vectors[..., 1]
    left = cos * vectors[..., 1] - sin * vectors[..., 0]
    return np.stack([ahead, left], axis=-1)


def turned(vectors: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """The opposite of `along`: from the frame of `heading` [n, 2] back to x and y; vectors [n, ..., 2]."""
    cos, sin = _angles(vectors, heading)
    x = cos * vectors[..., 0] - sin * vectors[..., 1]
    y = sin * vectors[..., 0] + cos * vectors[..., 1]
    return np.stack([x, y], axis=-1)


def _angles(vectors: np.ndarray, heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(heading), *(1,) * (vectors.ndim - 2))
    return heading[:, 0].reshape(shape), heading[:, 1].reshape(shape)


def turned_covariances(covariances: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Covariances [n | 1, h, 2, 2] of the frame of `heading` [n, 2] as those of x and y, [n, h, 2, 2]."""
    cos, sin = heading[:, 0, None], heading[:, 1, None]  # [n, 1]
    a, b, c = covariances[..., 0, 0], covariances[..., 0, 1], covariances[..., 1, 1]
    out = np.empty((len(heading), *covariances.shape[1:]))
    out[..., 0, 0] = cos**2 * a - 2.0 * cos * sin * b + sin**2 * c
    out[..., 1, 1] = sin**2 * a + 2.0 * cos * sin * b + cos**2 * c
    out[..., 0, 1] = out[..., 1, 0] = cos * sin * (a - c) + (cos**2 - sin**2) * b
    return out


def wrapped(angles: np.ndarray) -> np.ndarray:
    """Angles in (-pi, pi]."""
    inside: np.ndarray = np.pi - (np.pi - angles) % (2.0 * np.pi)
    return inside
