"""The features of photos as a model's configuration wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast_core.errors import ArtifactIntegrityError, ConfigError
from forecast_vision.augmentation import Plain, Transform
from forecast_vision.backbones.cache import EmbeddingCache, shared_cache
from forecast_vision.backbones.protocol import Backbone
from forecast_vision.backbones.registry import load_backbone
from forecast_vision.configs import FeatureConfig
from forecast_vision.embedding import embed_photos
from forecast_vision.photos import PhotoSet

__all__ = ["check_backbone", "features_of", "loaded_backbone"]


def loaded_backbone(config: FeatureConfig) -> Backbone:
    """The configured backbone; errors as `load_backbone`, ConfigError for a view size it cannot take."""
    backbone = load_backbone(config.backbone, config.checkpoint, device=config.device, merge=config.merge)
    if config.view_size is not None and config.view_size % backbone.patch:
        rule = f"is a multiple of {backbone.patch}, the patch of {backbone.name}"
        raise ConfigError(f"{type(config).__name__}.view_size", rule, got=config.view_size)
    return backbone


def features_of(
    photos: PhotoSet,
    config: FeatureConfig,
    *,
    transforms: Sequence[Transform] = (Plain(),),
    views: np.ndarray | None = None,
    backbone: Backbone | None = None,
    cache: EmbeddingCache | None = None,
) -> np.ndarray:
    """float32 [photo, transform, view, feature_dim]; see `embed_photos`.

    backbone, cache: others than those of the configuration.
    """
    backbone = loaded_backbone(config) if backbone is None else backbone
    return embed_photos(
        photos.photos,
        backbone,
        size=config.view_size or backbone.size,
        cache=shared_cache(config.cache) if cache is None else cache,
        transforms=transforms,
        views=views,
    )


def check_backbone(config: FeatureConfig, checkpoint_hash: str) -> None:
    """ArtifactIntegrityError unless the backbone here is the one that a saved model was fitted with."""
    found = loaded_backbone(config).checkpoint_hash
    if found != checkpoint_hash:
        raise ArtifactIntegrityError(
            f"the weights of backbone {config.backbone!r} are not those the model was fitted with "
            f"(hash {found[:12]}, then {checkpoint_hash[:12]}); install those, or fit again"
        )
