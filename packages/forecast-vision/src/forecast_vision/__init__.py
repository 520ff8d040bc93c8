"""forecast-vision: decide from a street photo, and whatever came with it, whether there is roadwork in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_vision import backbones as backbones
    from forecast_vision.camera_checks import robustness as robustness
    from forecast_vision.describing import describe_dataset as describe_dataset
    from forecast_vision.leaks import MetadataLeakWarning as MetadataLeakWarning, metadata_auc as metadata_auc
    from forecast_vision.metadata import Metadata as Metadata, parse_metadata as parse_metadata
    from forecast_vision.photos import Photo as Photo, PhotoSet as PhotoSet
    from forecast_vision.plotting import (
        plot_mistakes as plot_mistakes,
        plot_reliability as plot_reliability,
        plot_roc as plot_roc,
    )
    from forecast_vision.sampling import (
        GPSWeightedSampler as GPSWeightedSampler,
        SamplingWarning as SamplingWarning,
    )
    from forecast_vision.views import (
        Box as Box,
        extract_views as extract_views,
        extract_views_batch as extract_views_batch,
        plot_views as plot_views,
        view_boxes as view_boxes,
    )

_EXPORTS = {
    "describing": ("describe_dataset",),
    "leaks": ("MetadataLeakWarning", "metadata_auc"),
    "metadata": ("Metadata", "parse_metadata"),
    "photos": ("Photo", "PhotoSet"),
    "camera_checks": ("robustness",),
    "plotting": ("plot_mistakes", "plot_reliability", "plot_roc"),
    "sampling": ("GPSWeightedSampler", "SamplingWarning"),
    "views": ("Box", "extract_views", "extract_views_batch", "plot_views", "view_boxes"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, modules=("backbones",))
__version__ = "0.1.0"
