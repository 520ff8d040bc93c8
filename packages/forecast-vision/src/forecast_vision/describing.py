"""`describe_dataset`: how much metadata there is, and where photos were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_vision.metadata.encoding import positions_of
from forecast_vision.metadata.parsing import parse_metadata
from forecast_vision.metadata.record import FIELDS, Metadata
from forecast_vision.photos import PhotoSet
from forecast_vision.regions import cluster_centres, nearest_centre

__all__ = ["Cluster", "DatasetDescription", "describe_dataset"]


@dataclass(frozen=True)
class Cluster:
    """Centre in degrees, photos around it, and the distance in km of the farthest."""

    latitude: float
    longitude: float
    photos: int
    radius_km: float


@dataclass(frozen=True)
class DatasetDescription:
    """photos: how many; labels: of each label, "unknown" among them; present: field -> share of photos that
    have it; clusters: of positions, largest first. `str` is a text to print.
    """

    photos: int
    labels: dict[str, int]
    present: dict[str, float]
    clusters: tuple[Cluster, ...]

    def __str__(self) -> str:
        lines = [f"{self.photos} photos"]
        lines += [f"  {name:18} {count:6d}" for name, count in self.labels.items()]
        lines += ["metadata present"]
        lines += [f"  {field:18} {100 * share:5.1f} %" for field, share in self.present.items()]
        lines += [f"{len(self.clusters)} clusters of positions"]
        lines += [
            f"  {c.latitude:9.4f} {c.longitude:9.4f} {c.photos:6d} photos within {c.radius_km:.0f} km"
            for c in self.clusters
        ]
        return "\n".join(lines)


def describe_dataset(records: PhotoSet | Sequence[Metadata | Mapping[str, Any]]) -> DatasetDescription:
    """Share of each metadata field present, labels, and clusters of positions.

    records: photos, or metadata, parsed or as exported. Raises InvalidInputError without records, DataError
    for one that cannot be read.
    """
    labels: dict[str, int] = {}
    if isinstance(records, PhotoSet):
        told = {"roadwork": 1, "no-roadwork": 0, "unknown": -1}
        labels = {name: int((records.labels == code).sum()) for name, code in told.items()}
        known = [photo.metadata for photo in records.photos]
    else:
        known = [r if isinstance(r, Metadata) else parse_metadata(r) for r in records]
    if not known:
        raise InvalidInputError("records", "are at least one")
    present = {f: sum(getattr(r, f) is not None for r in known) / len(known) for f in FIELDS}
    return DatasetDescription(len(known), labels, present, _clusters(positions_of(known)))


def _clusters(places: np.ndarray) -> tuple[Cluster, ...]:
    places = places[~np.isnan(places[:, 0])]
    if not len(places):
        return ()
    centres = cluster_centres(places)
    distance, nearest = nearest_centre(places, centres)
    found = []
    for k, (latitude, longitude) in enumerate(centres.tolist()):
        own = nearest == k
        if own.any():
            found.append(Cluster(latitude, longitude, int(own.sum()), float(distance[own].max())))
    return tuple(sorted(found, key=lambda c: -c.photos))
