"""`GPSWeightedSampler`: photos near the region that matters are drawn more often in training."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.validation import numbers, whole
from forecast_vision.metadata.encoding import positions_of
from forecast_vision.photos import PhotoSet
from forecast_vision.regions import as_positions, cluster_centres, nearest_centre
from forecast_vision.samples import seed_of

__all__ = ["GPSWeightedSampler", "SamplingWarning"]

Band = tuple[float, float]
_BANDS: tuple[Band, ...] = ((50.0, 5.0), (200.0, 2.5), (500.0, 1.0), (float("inf"), 0.3))


class SamplingWarning(UserWarning):
    """A share of samples that was asked for cannot be met."""


class GPSWeightedSampler:
    """Weights of training photos by their distance to the clusters of a target region.

    training, target: photos, or latitudes and longitudes [n, 2], NaN where not known. bands: (km, weight),
    rising; a photo has the weight of the first whose km is above its distance to the nearest centre;
    without_gps: the weight of photos without a position. near_km, min_share: if photos within near_km would
    make up less than min_share of what is drawn, their weights are raised until they do; where there is none,
    a SamplingWarning says so. clusters: of the target; default as `cluster_centres` chooses.

    centres [k, 2]; distances [n] in km, NaN without position; weights [n], a row a training photo.
    Raises InvalidInputError for a target without positions, or bands that do not rise to infinity.
    """

    def __init__(
        self,
        training: PhotoSet | np.ndarray,
        target: PhotoSet | np.ndarray,
        *,
        bands: Sequence[Band] = _BANDS,
        without_gps: float = 0.5,
        near_km: float = 100.0,
        min_share: float | None = 0.7,
        clusters: int | None = None,
        seed: int = 0,
    ) -> None:
        places = _places("training", training)
        _check_bands(bands, without_gps)
        if not near_km >= 0:
            raise InvalidInputError("near_km", "is not negative", got=near_km)
        if min_share is not None and not 0.0 <= min_share < 1.0:
            raise InvalidInputError("min_share", "lies in [0, 1)", got=min_share)
        self.centres = cluster_centres(_places("target", target), count=clusters, seed=seed)
        self.distances, _ = nearest_centre(places, self.centres)
        edges = np.array([km for km, _ in bands])
        weights = np.array([*(weight for _, weight in bands), without_gps])
        band = np.searchsorted(edges, np.nan_to_num(self.distances, nan=0.0), side="right")
        self.weights = weights[
            np.where(np.isnan(self.distances), len(bands), np.minimum(band, len(bands) - 1))
        ]
        self.near = np.nan_to_num(self.distances, nan=np.inf) <= near_km
        if min_share is not None:
            self._reach(min_share, near_km)

    @property
    def near_share(self) -> float:
        """Expected share of near photos among those drawn; 0 where no photo has a weight."""
        total = float(self.weights.sum())
        return float(self.weights[self.near].sum()) / total if total > 0 else 0.0

    def sampler(self, count: int, *, seed: int = 0) -> Any:
        """torch's WeightedRandomSampler of `count` positions, with replacement; the same for one seed."""
        import torch
        from torch.utils.data import WeightedRandomSampler

        generator = torch.Generator().manual_seed(seed_of(seed))
        weights = torch.from_numpy(self.weights).tolist()
        return WeightedRandomSampler(weights, whole("count", count), generator=generator)

    def _reach(self, share: float, near_km: float) -> None:
        if self.near_share >= share:
            return
        near, rest = self.weights[self.near].sum(), self.weights[~self.near].sum()
        if not near > 0:
            warnings.warn(
                f"no training photo lies within {near_km:g} km of the target region, so that its share of "
                f"{share:g} cannot be reached; collect photos there or set min_share=None",
                SamplingWarning,
                stacklevel=3,
            )
            return
        self.weights = np.where(self.near, self.weights * share * rest / ((1 - share) * near), self.weights)


def _places(argument: str, given: PhotoSet | np.ndarray) -> np.ndarray:
    if isinstance(given, PhotoSet):
        return positions_of([photo.metadata for photo in given.photos])
    return as_positions(argument, given)


def _check_bands(bands: Sequence[Band], without_gps: float) -> None:
    pairs = numbers("bands", bands)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ShapeError("bands", "are pairs of km and weight, at least one", got=pairs.shape)
    edges, weights = pairs.T.tolist()
    if edges[-1] != float("inf") or any(not a < b for a, b in itertools.pairwise(edges)):
        raise InvalidInputError("bands", "rise strictly to a last one of infinity", got=edges)
    if min(*weights, without_gps) < 0 or not np.isfinite([*weights, without_gps]).all():
        raise InvalidInputError("bands", "have finite weights that are not negative", got=weights)
