"""The views of a photo, drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from forecast_core.errors import InvalidInputError, MissingDependencyError, ShapeError
from forecast_vision.views.boxes import Box, view_boxes
from forecast_vision.views.decoding import ImageSource, decode
from forecast_vision.views.extraction import sufficient_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_views"]

_SIDE = 240  # pixels a view has at least in the plot


def plot_views(
    image: ImageSource,
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    focus: Sequence[Box] | None = None,
) -> Figure:
    """A figure of the photo with the boxes of its views.

    weights [view]: how much each view counted in a decision; boxes are then drawn the more strongly, and
    labelled with their share. Raises as `extract_views` does, ShapeError for another number of weights,
    InvalidInputError for negative ones, MissingDependencyError without matplotlib.
    """
    if find_spec("matplotlib") is None:
        install = "pip install 'forecast-vision[plot]'"
        raise MissingDependencyError("matplotlib", purpose="plot_views", install=install)
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    picture = decode(image, least=lambda h, w: sufficient_scale(h, w, _SIDE, focus))
    boxes = view_boxes(picture.height, picture.width, focus=focus)
    share = None if weights is None else _shares(weights, len(boxes))
    figure = Figure(figsize=(10, 10 * picture.height / picture.width + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.asarray(picture.pixels), extent=(0, picture.width, picture.height, 0))
    axes.set_axis_off()
    colours = colormaps["tab20"]
    inset = 0.004 * max(picture.height, picture.width)
    for k, box in enumerate(boxes):
        strength = 1.0 if share is None else float(share[k] / max(share.max(), 1e-12))
        label = box.name if share is None else f"{box.name} {100 * share[k]:.0f} %"
        gap = inset * (k % 4)  # so that edges in one place stay apart
        corner = (box.left + gap, box.top + gap)
        axes.add_patch(
            Rectangle(
                corner,
                box.width - 2 * gap,
                box.height - 2 * gap,
                fill=False,
                edgecolor=colours(k % 20),
                linewidth=0.8 + 2.2 * strength,
                alpha=0.25 + 0.75 * strength,
            )
        )
        axes.annotate(
            label,
            (corner[0] + 2 * inset, corner[1] + 2 * inset),
            color="white",
            fontsize=7,
            verticalalignment="top",
            bbox={"boxstyle": "square,pad=0.2", "facecolor": colours(k % 20), "edgecolor": "none"},
        )
    return figure


def _shares(weights: Sequence[float] | np.ndarray, count: int) -> np.ndarray:
    share = np.asarray(weights, dtype=np.float64)
    if share.shape != (count,):
        raise ShapeError("weights", f"hold one number a view ({count})", got=share.shape)
    if not np.isfinite(share).all() or share.min() < 0:
        raise InvalidInputError("weights", "are finite and not negative")
    return share
