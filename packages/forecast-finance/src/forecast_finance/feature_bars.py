"""`FeatureBars`: bars that carry their features and embeddings along."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np

from forecast_core.arrays import frozen
from forecast_core.errors import DataError, ShapeError
from forecast_finance.bars import Bars
from forecast_finance.embeddings.backends import Embedder
from forecast_finance.features.catalogue import VERSION, FeatureConfig, names

__all__ = ["EmbeddingInfo", "FeatureBars", "embeddings_of", "features_of"]


@dataclass(frozen=True)
class EmbeddingInfo:
    """Where vectors come from: backend, its digest, and the dimensions of one channel."""

    name: str = "none"
    digest: str = ""
    width: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class FeatureBars(Bars):
    """Bars with features [n, 29] (NaN where unknown) and vectors [n, 5 * width] (NaN before there are 120
    bars), computed once on all history; parts of them keep theirs.

    features_version, feature_config: what the features are; embedding: what the vectors are. Raises
    ShapeError where rows do not match, DataError for features of another version.
    """

    features: np.ndarray = field(default_factory=lambda: np.zeros((0, 29)))
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    features_version: int = VERSION
    feature_config: FeatureConfig = field(default_factory=FeatureConfig)
    embedding: EmbeddingInfo = field(default_factory=EmbeddingInfo)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features.shape != (len(self), len(names())):
            raise ShapeError("features", f"are [{len(self)}, {len(names())}]", got=self.features.shape)
        if len(self.vectors) != len(self):
            raise ShapeError("vectors", f"have a row a bar ({len(self)})", got=self.vectors.shape)
        check_version("features", self.features_version)
        object.__setattr__(self, "features", frozen(self.features))
        object.__setattr__(self, "vectors", frozen(self.vectors))

    @classmethod
    def of(cls, bars: Bars, **given: Any) -> Self:
        """Bars with features and vectors."""
        plain = {f.name: getattr(bars, f.name) for f in fields(Bars)}
        return cls(**plain, **given)

    def _rows(self, rows: np.ndarray, *, start: np.datetime64 | None) -> Self:
        part = Bars._rows(self.plain(), rows, start=start)
        return replace(
            self,
            **{f.name: getattr(part, f.name) for f in fields(Bars)},
            features=self.features[rows],
            vectors=self.vectors[rows],
        )

    def plain(self) -> Bars:
        """The bars alone."""
        return Bars(**{f.name: getattr(self, f.name) for f in fields(Bars)})

    def extended(self, later: Bars) -> Bars:  # type: ignore[override]
        """The bars alone, followed by later ones: their features are yet to be computed."""
        return self.plain().extended(later)

    def signature(self) -> dict[str, Any]:
        """That of the bars, with what features and vectors are."""
        return {
            **super().signature(),
            "features_version": self.features_version,
            "embedding": {"name": self.embedding.name, "digest": self.embedding.digest},
        }


def check_version(argument: str, version: int) -> None:
    """DataError unless features are of the version that this package computes."""
    if version != VERSION:
        raise DataError(
            argument,
            f"are of version {VERSION}, which this package computes",
            got=version,
            hint="build the data set, or fit the model, again",
        )


def features_of(bars: Bars, config: FeatureConfig) -> np.ndarray:
    """Features [n, 29] of bars: those they carry, or computed now.

    DataError where they carry features of other options.
    """
    if isinstance(bars, FeatureBars):
        if bars.feature_config != config:
            raise DataError(
                "data",
                f"has features of the options {config.model_dump()}",
                got=bars.feature_config.model_dump(),
            )
        return bars.features
    from forecast_finance.features.computing import table

    return table(bars, config=config).values


def embeddings_of(
    bars: Bars,
    rows: np.ndarray,
    *,
    backend: str,
    path: str | None = None,
    cache: str | None = None,
    digest: str | None = None,
) -> tuple[np.ndarray, EmbeddingInfo]:
    """Vectors [n, 5 * width] of some rows, those the bars carry or embedded now, and where they come from.

    path: checkpoint of the backend, where it takes one; cache: folder of vectors computed before; digest:
    what the backend's has to be, where that is known. DataError where the vectors are of another backend or
    checkpoint, ShapeError where a row has fewer than 120 bars up to it.
    """
    from forecast_finance.embeddings import LOOKBACK, EmbeddingCache, embed_rows

    carried = isinstance(bars, FeatureBars) and bars.embedding.width > 0 and backend != "none"
    if carried:
        assert isinstance(bars, FeatureBars)
        info = bars.embedding
    else:
        embedder = _embedder(backend, path)
        info = EmbeddingInfo(embedder.name, embedder.digest, embedder.width)
    if info.name != backend or digest not in (None, info.digest):
        raise DataError(
            "data",
            f"has embeddings of {backend} {(digest or '')[:12]}".rstrip(),
            got=f"{info.name} {info.digest[:12]}",
            hint="embed it by the model's checkpoint, or not at all",
        )
    if not carried:
        kept = None if cache is None else EmbeddingCache(cache)
        return embed_rows(bars, rows, embedder=embedder, cache=kept), info
    if (bars.position[rows] + 1 < LOOKBACK).any():
        raise ShapeError("data", f"has at least {LOOKBACK} bars up to each origin")
    assert isinstance(bars, FeatureBars)
    vectors: np.ndarray = bars.vectors[rows]
    return vectors, info


@lru_cache(maxsize=2)
def _embedder(backend: str, path: str | None) -> Embedder:
    from forecast_finance.embeddings import create

    return create(backend) if path is None else create(backend, path=path)
