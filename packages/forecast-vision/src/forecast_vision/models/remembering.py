"""Classifiers that know the photos they were fitted on again, and are not scored on them."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from forecast_core.errors import LeakError
from forecast_core.predictor import Predictor
from forecast_vision.photos import PhotoSet
from forecast_vision.samples import labelled, photos_of

__all__ = ["RememberingClassifier", "held_out", "refuse_shared"]


def refuse_shared(photos: PhotoSet, seen: Set[str], *, told: str) -> None:
    """LeakError where some photos are among those `seen`; told: what that means, as the error says it."""
    shared = [k for k, photo in enumerate(photos.photos) if photo.content_hash in seen]
    if shared:
        raise LeakError(
            f"{len(shared)} of {len(photos)} photos, the first at {shared[0]} "
            f"({photos.item_ids[shared[0]]}), {told}"
        )


def held_out(validation: Any, fitted: PhotoSet) -> PhotoSet:
    """The labelled photos of validation data; LeakError where one is fitted on, DataError where none is."""
    photos = labelled("validation", validation)
    refuse_shared(photos, fitted.hashes, told="are fitted on; validate on others")
    return photos


class RememberingClassifier(Predictor[PhotoSet]):
    """Keeps content hashes of all photos trained or validated on, which `evaluate` and `backtest` refuse."""

    _seen: frozenset[str] = frozenset()

    @property
    def seen(self) -> frozenset[str]:
        """Content hashes of the photos trained or validated on."""
        return self._seen

    def _check_unseen(self, windows: Any) -> None:
        if self._seen:
            told = f"have been trained or validated on by {self.spec.id}; score on others"
            refuse_shared(photos_of(windows), self._seen, told=told)
