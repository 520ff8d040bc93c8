"""Pictures of how well photos are told apart: ROC, reliability, and the worst mistakes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast_core.errors import DataError, MissingDependencyError, ShapeError
from forecast_core.prediction import ClassPrediction
from forecast_core.validation import whole
from forecast_vision.photos import PhotoSet
from forecast_vision.views.boxes import view_boxes
from forecast_vision.views.decoding import decode
from forecast_vision.views.extraction import sufficient_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_mistakes", "plot_reliability", "plot_roc"]


def plot_roc(prediction: ClassPrediction, photos: PhotoSet) -> Figure:
    """The share of roadwork found against the share of false alarms, at every threshold.

    Raises DataError unless photos of both labels are known, ShapeError for another number of photos,
    MissingDependencyError without matplotlib; so do the others here.
    """
    labels, told = _known(prediction, photos)
    order = np.argsort(-told, kind="stable")
    last = np.append(np.diff(told[order]) != 0, True)  # the last of equal probabilities
    hits = np.append(0, np.cumsum(labels[order] == 1)[last]) / (labels == 1).sum()
    alarms = np.append(0, np.cumsum(labels[order] == 0)[last]) / (labels == 0).sum()
    area = float(np.trapezoid(hits, alarms))
    figure, axes = _canvas(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.plot(alarms, hits, label=f"AUC {area:.3f}")
    axes.set(xlabel="false alarms", ylabel="roadwork found")
    axes.legend(loc="lower right")
    return figure


def plot_reliability(prediction: ClassPrediction, photos: PhotoSet, *, bins: int = 10) -> Figure:
    """How often there is roadwork among photos of about one probability, against that probability."""
    labels, told = _known(prediction, photos)
    count = whole("bins", bins)
    place = np.minimum((told * count).astype(np.int64), count - 1)
    size = np.bincount(place, minlength=count)
    used = size > 0
    mean = np.bincount(place, told, minlength=count)[used] / size[used]
    share = np.bincount(place, labels == 1, minlength=count)[used] / size[used]
    figure, axes = _canvas(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.plot(mean, share, marker="o")
    for x, y, n in zip(mean, share, size[used], strict=True):
        axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(5, -9), fontsize=7)
    axes.set(xlabel="probability of roadwork", ylabel="share with roadwork", xlim=(0, 1), ylim=(0, 1))
    return figure


def plot_mistakes(prediction: ClassPrediction, photos: PhotoSet, *, count: int = 6) -> Figure:
    """A contact sheet of the photos that the prediction is most wrong about, the worst first.

    Over each its name, label and probability, and a frame around the view that counted most where the
    prediction says so. Fewer than `count` where fewer are wrong.
    """
    from matplotlib.patches import Rectangle

    _, _ = _known(prediction, photos)
    truth, told = photos.labels, prediction.probability("roadwork")
    gap = np.where(truth < 0, -1.0, np.abs(truth - told))
    worst = np.argsort(-gap, kind="stable")[: whole("count", count)]
    worst = worst[gap[worst] > 0.5]
    columns = min(max(len(worst), 1), 3)
    rows = max(-(-len(worst) // columns), 1)
    figure, grid = _canvas(3.4 * columns, 3.0 * rows, rows, columns)
    for axes in np.ravel(grid):
        axes.set_axis_off()
    weights = prediction.aux.get("view_weights")
    for axes, k in zip(np.ravel(grid), worst.tolist(), strict=False):
        picture = decode(photos.photos[k].image, least=lambda h, w: sufficient_scale(h, w, 100))
        axes.imshow(np.asarray(picture.pixels), extent=(0, picture.width, picture.height, 0))
        title = f"{photos.item_ids[k]}\n{'roadwork' if truth[k] else 'none'}, p = {told[k]:.2f}"
        if weights is not None:
            box = view_boxes(picture.height, picture.width)[int(weights[k].argmax())]
            frame = Rectangle((box.left, box.top), box.width, box.height, fill=False, color="red", lw=2)
            axes.add_patch(frame)
            title += f", {box.name} {100 * weights[k].max():.0f} %"
        axes.set_title(title, fontsize=7)
    return figure


def _known(prediction: ClassPrediction, photos: PhotoSet) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of the photos whose label is known."""
    if len(prediction) != len(photos):
        raise ShapeError("prediction", f"has a row a photo ({len(photos)})", got=len(prediction))
    known = photos.labels >= 0
    labels, told = photos.labels[known], prediction.probability("roadwork")[known].astype(np.float64)
    if len(np.unique(labels)) < 2:
        raise DataError("photos", "hold photos with and without roadwork")
    return labels, told


def _canvas(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    if find_spec("matplotlib") is None:
        install = "pip install 'forecast-vision[plot]'"
        raise MissingDependencyError("matplotlib", purpose="a plot", install=install)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)
