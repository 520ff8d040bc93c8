"""Frozen networks that turn views into features, and the cache of what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_vision.backbones.cache import EmbeddingCache as EmbeddingCache
    from forecast_vision.backbones.protocol import (
        Backbone as Backbone,
        TrainableBackbone as TrainableBackbone,
    )
    from forecast_vision.backbones.registry import (
        available_backbones as available_backbones,
        backbone_spec as backbone_spec,
        load_backbone as load_backbone,
    )
    from forecast_vision.backbones.token_merging import bipartite_matching as bipartite_matching

_EXPORTS = {
    "cache": ("EmbeddingCache",),
    "protocol": ("Backbone", "TrainableBackbone"),
    "registry": ("available_backbones", "backbone_spec", "load_backbone"),
    "token_merging": ("bipartite_matching",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
