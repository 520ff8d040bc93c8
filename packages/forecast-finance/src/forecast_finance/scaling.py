"""What models read of a bar: embedding and features on one scale, fitted on training rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from forecast_core.errors import ConfigError, ShapeError
from forecast_finance.features.catalogue import FEATURES

__all__ = ["ContextScaling", "default_components"]

_CLIP = 8.0  # standard deviations: what lies further out says no more
_ORDER = np.array(  # of the vector: embedding, then timeframes, technical, smart money
    [
        k
        for group in ("timeframe", "technical", "smart-money")
        for k, f in enumerate(FEATURES)
        if f.group == group
    ]
)


@dataclass(frozen=True)
class ContextScaling:
    """Makes [n, components + 29] of vectors [n, e] and features [n, 29].

    Vectors are standardised, projected on the principal components of training (PCA), and scaled to variance
    one; features are standardised by their known values, unknown ones become 0, their training mean; all is
    clipped to 8 standard deviations. Columns that never vary become 0.
    """

    feature_mean: np.ndarray  # [29]
    feature_scale: np.ndarray  # [29], 0 where a column does not vary
    vector_mean: np.ndarray  # [e]
    projection: np.ndarray  # [e, components]

    @property
    def size(self) -> int:
        """Numbers a row."""
        return int(self.projection.shape[1]) + len(self.feature_mean)

    @classmethod
    def fit(cls, features: np.ndarray, vectors: np.ndarray, *, components: int) -> Self:
        """From training rows: features [n, 29], vectors [n, e].

        ConfigError for more components than vectors have dimensions, or than there are rows.
        """
        if not len(features) or len(features) != len(vectors):
            raise ShapeError("features", "have a row a vector, at least one", got=features.shape)
        if components > vectors.shape[1] or (components and components >= len(vectors)):
            raise ConfigError(
                "components",
                f"are at most {vectors.shape[1]}, and fewer than the {len(vectors)} training windows",
                got=components,
            )
        known = ~np.isnan(features)
        count = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, features, 0.0)
        mean = filled.sum(axis=0) / count
        spread = np.sqrt((np.where(known, features - mean, 0.0) ** 2).sum(axis=0) / count)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
        centre, projection = _principal(vectors.astype(np.float64), components)
        return cls(mean, scale, centre, projection)

    def transform(self, features: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Context [n, components + 29] in float32."""
        # einsum adds in the same order however many rows there are, so a row does not depend on its batch.
        embedded = np.einsum("ne,ec->nc", vectors.astype(np.float64) - self.vector_mean, self.projection)
        scaled = np.nan_to_num((features - self.feature_mean) * self.feature_scale, nan=0.0)[:, _ORDER]
        context: np.ndarray = np.clip(np.concatenate([embedded, scaled], axis=1), -_CLIP, _CLIP)
        return context.astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays by name."""
        return {f"scaling.{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What `state` gave; KeyError where an array is missing."""
        return cls(**{name: arrays[f"scaling.{name}"] for name in cls.__dataclass_fields__})


def default_components(given: int | None, vectors: np.ndarray) -> int:
    """As many components as given, or as one of the five channels has dimensions, as far as rows allow."""
    if given is not None:
        return given
    return min(int(vectors.shape[1]) // 5, max(len(vectors) - 1, 0))


def _principal(vectors: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [e] and projection [e, components] onto principal components of variance one.

    Each component's largest weight is positive, so that the result does not depend on the library.
    """
    mean = vectors.mean(axis=0)
    if not components:
        return mean, np.zeros((vectors.shape[1], 0))
    spread = vectors.std(axis=0)
    unit = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    standard = (vectors - mean) * unit
    variances, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    variances, axes = variances[::-1][:components], axes[:, ::-1][:, :components]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(components)])
    useful = variances > 1e-9 * max(float(variances[0]), 1e-300)
    weight = np.where(useful, 1.0 / np.sqrt(np.where(useful, variances, 1.0)), 0.0)
    return mean, unit[:, None] * axes * weight
