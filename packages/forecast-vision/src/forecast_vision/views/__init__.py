"""Views of a photo: where they are (pure geometry), and their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_vision.views.boxes import Box as Box, view_boxes as view_boxes
    from forecast_vision.views.decoding import ImageSource as ImageSource, image_size as image_size
    from forecast_vision.views.extraction import (
        extract_views as extract_views,
        extract_views_batch as extract_views_batch,
    )
    from forecast_vision.views.plotting import plot_views as plot_views

_EXPORTS = {
    "boxes": ("Box", "view_boxes"),
    "decoding": ("ImageSource", "image_size"),
    "extraction": ("extract_views", "extract_views_batch"),
    "plotting": ("plot_views",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
