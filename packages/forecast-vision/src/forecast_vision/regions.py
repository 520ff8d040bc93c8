"""Places on the globe: distances, and the clusters that photos were taken in."""

from __future__ import annotations

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import numbers, whole
from forecast_vision.samples import seed_of

__all__ = ["as_positions", "cluster_centres", "haversine", "nearest_centre"]

_EARTH = 6371.0088  # mean radius, km
_REACH = 50.0  # km from its cluster's centre that a place may have where the number of clusters is open
_MOST = 20  # clusters


def as_positions(argument: str, positions: np.ndarray) -> np.ndarray:
    """float64 [n, 2] of degrees, NaN in both where not known; ShapeError or DataError otherwise."""
    places = numbers(argument, positions)
    if places.ndim != 2 or places.shape[1] != 2:
        raise ShapeError(argument, "has the shape [n, 2]: latitude, longitude", got=places.shape)
    missing = np.isnan(places)
    wrong = (missing[:, 0] != missing[:, 1]) | (np.abs(np.where(missing, 0.0, places)) > (90, 180)).any(1)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise DataError(argument, "is a place on the globe or NaN in both", place=at, got=places[at].tolist())
    return places


def haversine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Great-circle distance in km between places [..., 2] of degrees, by broadcasting.

    Source: Sinnott (1984), Virtues of the haversine.
    """
    a, b = np.radians(a), np.radians(b)
    half = (a - b) / 2
    square = np.sin(half[..., 0]) ** 2 + np.cos(a[..., 0]) * np.cos(b[..., 0]) * np.sin(half[..., 1]) ** 2
    distance: np.ndarray = 2 * _EARTH * np.arcsin(np.sqrt(np.clip(square, 0.0, 1.0)))
    return distance


def cluster_centres(positions: np.ndarray, *, count: int | None = None, seed: int = 0) -> np.ndarray:
    """Centres [k, 2] in degrees of the clusters of some places [n, 2]; rows of NaN are left out.

    KMeans of points on the unit sphere, so that the date line is no border. count: clusters; default the
    fewest, up to 20, at which every place is within 50 km of its centre. Raises InvalidInputError where no
    place is known, or for a seed that is no whole number in 0..2^32-1.
    """
    from sklearn.cluster import KMeans

    places, seed = as_positions("positions", positions), seed_of(seed)
    places = places[~np.isnan(places[:, 0])]
    if not len(places):
        raise InvalidInputError("positions", "hold at least one known place")
    distinct = np.unique(places, axis=0)
    most = min(_MOST, len(distinct)) if count is None else min(whole("count", count), len(distinct))
    if len(distinct) == 1:
        return distinct
    points = _on_sphere(places)
    centres = distinct[:1]
    for k in range(1 if count is None else most, most + 1):
        found = KMeans(k, n_init=10, random_state=seed).fit(points).cluster_centers_
        centres = _from_sphere(found)
        if nearest_centre(places, centres)[0].max() <= _REACH:
            break
    return centres


def nearest_centre(positions: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in km to the nearest centre [n], NaN where a place is not known, and that centre's number."""
    distance = haversine(positions[:, None], centres[None])  # [n, k]
    nearest = np.where(np.isnan(distance), np.inf, distance).argmin(1)
    return distance[np.arange(len(positions)), nearest], nearest


def _on_sphere(places: np.ndarray) -> np.ndarray:
    latitude, longitude = np.radians(places).T
    xyz = (np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude))
    return np.stack(xyz, axis=1)


def _from_sphere(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    places: np.ndarray = np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], axis=1))
    return places
