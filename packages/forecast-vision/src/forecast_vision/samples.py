"""What models take of the data they are given: the photos, and those of them whose label is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_vision.photos import CLASSES, PhotoSet, PhotoWindows

__all__ = ["labelled", "photos_of", "seed_of", "stratified_folds"]


def photos_of(data: Any, *, argument: str = "data") -> PhotoSet:
    """The photos of a set or of windows of one, in order; InvalidInputError for windows of other data."""
    if isinstance(data, PhotoSet):
        return data
    if not isinstance(data, PhotoWindows):
        raise InvalidInputError(argument, "is a PhotoSet or its windows", got=type(data).__name__)
    if not len(data):
        raise ShapeError("windows", "are at least one")
    return data.data.take(data.rows)


def labelled(argument: str, data: Any, *, least: int = 1) -> PhotoSet:
    """The photos whose label is known; DataError unless each class has at least `least` groups of them."""
    photos = photos_of(data, argument=argument)
    photos = photos.take(np.flatnonzero(photos.labels >= 0)) if (photos.labels >= 0).any() else photos
    for label, name in enumerate(CLASSES):
        count = len(np.unique(photos.groups[photos.labels == label]))
        if count < least:
            rule = f"has at least {least} photos labelled {name!r} of different videos"
            raise DataError(argument, rule, got=count)
    return photos


def seed_of(seed: Any) -> int:
    """The seed as an int; InvalidInputError unless it is a whole number in 0..2^32-1, as `fit` takes."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise InvalidInputError("seed", "is a whole number in 0..2^32-1", got=repr(seed))
    return int(seed)


def stratified_folds(photos: PhotoSet, folds: int, *, seed: int) -> np.ndarray:
    """The fold 0..folds-1 of each photo: groups whole, classes shared out as evenly as that allows."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.empty(len(photos), dtype=np.int64)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for k, (_, held) in enumerate(splitter.split(photos.labels, photos.labels, photos.groups)):
        fold[held] = k
    return fold
