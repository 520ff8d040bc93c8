"""Which views are worth the backbone: a cheap score from a small picture of the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from forecast_vision.backbones.cache import EmbeddingCache, bag_key
from forecast_vision.photos import Photo
from forecast_vision.views.boxes import view_boxes
from forecast_vision.views.decoding import decode, image_size

__all__ = ["striking_views", "view_scores"]

_SIDE = 96  # pixels of the longer side of the small picture


def striking_views(photos: Sequence[Photo], keep: int, *, cache: EmbeddingCache) -> np.ndarray:
    """The views to keep, bool [photo, 12]: the global one and those of the highest `view_scores`.

    Scores are kept in the cache beside features, so that a photo is looked at once.
    """
    chosen = np.zeros((len(photos), 12), dtype=np.bool_)
    for k, photo in enumerate(photos):
        order = np.argsort(-_scores(photo, cache)[1:], kind="stable")[: keep - 1] + 1
        chosen[k, 0] = True
        chosen[k, order] = True
    return chosen


def _scores(photo: Photo, cache: EmbeddingCache) -> np.ndarray:
    key = bag_key(photo.content_hash, augmentation="plain", size=_SIDE, checkpoint="view scores 1")
    whole = [(0, 0, *image_size(photo.image))]
    known = cache.get(key, whole)[0]
    if known is None:
        known = view_scores(photo).astype(np.float32)
        cache.put(key, whole, known[None])
    return known


def view_scores(photo: Photo) -> np.ndarray:
    """How much of each view stands out from its photo, float64 [12], from a picture of 96 pixels.

    Of each pixel: the distance of its colour from the photo's mean colour, in standard deviations, plus the
    strength of its edge in means. A view's score is the mean of its upper tenth: small things count.
    """
    picture = decode(photo.image, least=_coarse)
    height, width = picture.height, picture.width
    ratio = _SIDE / max(height, width)
    rows, columns = max(round(height * ratio), 2), max(round(width * ratio), 2)
    small = picture.pixels.resize((columns, rows), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float64)
    apart = pixels - pixels.mean((0, 1))
    colour = np.sqrt((apart**2).sum(-1) / max(float((apart**2).sum(-1).mean()), 1e-9))
    edge = np.hypot(*np.gradient(pixels.mean(-1)))
    stands_out = colour + edge / max(float(edge.mean()), 1e-9)
    scores = []
    for box in view_boxes(height, width):
        top, bottom = (round(box.top / height * rows), max(round(box.bottom / height * rows), 1))
        left, right = (round(box.left / width * columns), max(round(box.right / width * columns), 1))
        part = np.sort(stands_out[min(top, rows - 1) : bottom, min(left, columns - 1) : right], axis=None)
        scores.append(part[-max(part.size // 10, 1) :].mean())
    return np.array(scores)


def _coarse(height: int, width: int) -> int:
    return next((scale for scale in (8, 4, 2) if max(height, width) >= scale * _SIDE), 1)
