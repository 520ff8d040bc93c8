"""From photos to features, view by view: through the cache, decoding only what is not in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from forecast_core.errors import DataError, InvalidInputError
from forecast_vision.augmentation import Plain, Transform
from forecast_vision.backbones.cache import EmbeddingCache, bag_key
from forecast_vision.backbones.protocol import Backbone
from forecast_vision.photos import Photo
from forecast_vision.views.boxes import view_boxes
from forecast_vision.views.decoding import decode, image_size
from forecast_vision.views.extraction import sufficient_scale

__all__ = ["embed_photos", "naming"]


@contextmanager
def naming(photo: Photo, place: int) -> Iterator[None]:
    """Within, what is wrong with a photo becomes a DataError that names it."""
    try:
        yield
    except InvalidInputError as error:
        name = photo.name or f"photo-{place}"
        raise DataError("photos", f"can be read ({error})", place=f"{place} ({name})") from error


def embed_photos(
    photos: Sequence[Photo],
    backbone: Backbone,
    *,
    size: int,
    cache: EmbeddingCache,
    transforms: Sequence[Transform] = (Plain(),),
    views: np.ndarray | None = None,
) -> np.ndarray:
    """Features float32 [photo, transform, view, feature_dim].

    views: which of a photo's views are wanted, bool [photo, view], default all; the others are 0 and are not
    computed. A photo whose features are all in the cache is not decoded. Raises DataError naming the photo
    that cannot be read.
    """
    features: np.ndarray | None = None
    for k, photo in enumerate(photos):
        with naming(photo, k):
            found = _embed(
                photo,
                backbone,
                size=size,
                cache=cache,
                transforms=transforms,
                wanted=None if views is None else views[k],
            )
        if features is None:
            features = np.empty((len(photos), *found.shape), dtype=np.float32)
        features[k] = found
    if features is None:
        raise InvalidInputError("photos", "are at least one")
    return features


def _embed(
    photo: Photo,
    backbone: Backbone,
    *,
    size: int,
    cache: EmbeddingCache,
    transforms: Sequence[Transform],
    wanted: np.ndarray | None,
) -> np.ndarray:
    """Features [transform, view, feature_dim] of one photo."""
    height, width = image_size(photo.image)
    boxes = view_boxes(height, width)
    chosen = range(len(boxes)) if wanted is None else np.flatnonzero(wanted).tolist()
    out = np.zeros((len(transforms), len(boxes), backbone.feature_dim), dtype=np.float32)
    picture = None
    for t, transform in enumerate(transforms):
        key = bag_key(
            photo.content_hash,
            augmentation=transform.key,
            size=size,
            checkpoint=f"{backbone.name} {backbone.checkpoint_hash}",
        )
        pixels = {k: (boxes[k].top, boxes[k].left, boxes[k].bottom, boxes[k].right) for k in chosen}
        known = dict(zip(chosen, cache.get(key, list(pixels.values())), strict=True))
        missing = [k for k in chosen if known[k] is None]
        if missing:
            if picture is None:
                picture = decode(photo.image, least=lambda h, w: sufficient_scale(h, w, size))
            views = transform.views(picture, [boxes[k] for k in missing], size=size, image=photo.content_hash)
            computed = backbone.embed(views)
            cache.put(key, [pixels[k] for k in missing], computed)
            known.update(zip(missing, computed, strict=True))
        for k in chosen:
            out[t, k] = known[k]
    return out
