"""The pixels of a photo's views, each resized to one square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from forecast_core.errors import InvalidInputError
from forecast_core.validation import whole
from forecast_vision.views.boxes import Box, view_boxes
from forecast_vision.views.decoding import ImageSource, Picture, decode

__all__ = ["cut_views", "extract_views", "extract_views_batch", "sufficient_scale"]

Span = tuple[float, float]
FILTER = Image.Resampling.BILINEAR  # antialiased: its support grows with the reduction


def extract_views(
    image: ImageSource,
    size: int = 224,
    *,
    exact: bool = False,
    focus: Sequence[Box] | None = None,
) -> np.ndarray:
    """The 12 views of one photo, uint8 RGB [12, 3, size, size], in the order of `view_boxes`.

    image: path, encoded bytes or array, see `decode` for what is taken and what errors are raised. A JPEG
    is decoded at the smallest of 1/8, 1/4, 1/2 and 1 of its size that still has a pixel for each of the
    view's; exact=True decodes all of it, and gives what cropping and resizing each view would, but for the
    rounding of a grey level.
    """
    size = whole("size", size)
    picture = decode(image, least=None if exact else lambda h, w: sufficient_scale(h, w, size, focus))
    boxes = view_boxes(picture.height, picture.width, focus=focus)
    return cut_views(picture, [_edges(box) for box in boxes], size)


def extract_views_batch(images: Sequence[ImageSource], size: int = 224, *, exact: bool = False) -> np.ndarray:
    """The views of several photos, uint8 [n, 12, 3, size, size]; an error names the photo's position."""
    if isinstance(images, str | bytes) or not len(images):
        raise InvalidInputError("images", "are a list of photos, at least one")
    views = []
    for k, image in enumerate(images):
        try:
            views.append(extract_views(image, size, exact=exact))
        except InvalidInputError as error:
            rule, place = f"can be used ({error})", f"photo {k}"
            raise type(error)("images", rule, place=place) from error
    return np.stack(views)


def sufficient_scale(height: int, width: int, size: int, focus: Sequence[Box] | None = None) -> int:
    """The largest of 1, 2, 4, 8 at which no view of an image has fewer than `size` pixels a side, or 1."""
    least = min(min(box.height, box.width) for box in view_boxes(height, width, focus=focus))
    return next((scale for scale in (8, 4, 2) if least >= scale * size), 1)


def cut_views(picture: Picture, edges: Sequence[tuple[float, float, float, float]], size: int) -> np.ndarray:
    """Views of a picture by their top, left, bottom and right edges in pixels of the image.

    Returns uint8 [view, 3, size, size]. Columns are resized once for all views that share them, rows then
    view by view; what lies outside a view has no part in it at full scale.
    """
    scale, pixels = picture.scale, picture.pixels
    strips: dict[Span, Image.Image] = {}
    views = np.empty((len(edges), size, size, 3), dtype=np.uint8)
    for k, (top, left, bottom, right) in enumerate(edges):
        columns = ((left + picture.pad_left) / scale, (right + picture.pad_left) / scale)
        rows = ((top + picture.pad_top) / scale, (bottom + picture.pad_top) / scale)
        if columns not in strips:
            strips[columns] = _resized(pixels, columns=columns, rows=(0, pixels.height), to=(size, None))
        strip = strips[columns]
        views[k] = np.asarray(_resized(strip, columns=(0, size), rows=rows, to=(size, size)))
    return np.ascontiguousarray(views.transpose(0, 3, 1, 2))  # [view, 3, size, size]


def _resized(pixels: Image.Image, *, columns: Span, rows: Span, to: tuple[int, int | None]) -> Image.Image:
    """Part of some pixels, resized; a height of None stays as it is."""
    (left, right), (top, bottom) = columns, rows
    whole_numbers = all(float(edge).is_integer() for edge in (*columns, *rows))
    if whole_numbers:
        # Cropped first, so that resizing sees nothing beyond the edge.
        pixels = pixels.crop((int(left), int(top), int(right), int(bottom)))
        left, top, right, bottom = 0, 0, pixels.width, pixels.height
    right, bottom = min(right, pixels.width), min(bottom, pixels.height)
    size = (to[0], pixels.height if to[1] is None else to[1])
    return pixels.resize(size, FILTER, box=(left, top, right, bottom))


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.top, box.left, box.bottom, box.right
