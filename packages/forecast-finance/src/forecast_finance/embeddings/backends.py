"""What an embedding backend is, and which there are."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, runtime_checkable

import numpy as np

from forecast_core.errors import ConfigError, near_misses

__all__ = ["CHANNELS", "LOOKBACK", "Embedder", "available", "create"]

CHANNELS = ("return", "gap", "upper", "lower", "volume")
"""What of a bar is embedded, each as a series of its own; see `channels.channel_series`."""

LOOKBACK = 120
"""Bars a vector is made of."""

_BACKENDS = {
    "chronos": "forecast_finance.embeddings.chronos:ChronosEmbedder",
    "none": "forecast_finance.embeddings.statistical:NoEmbedder",
    "statistical": "forecast_finance.embeddings.statistical:StatisticalEmbedder",
}


@runtime_checkable
class Embedder(Protocol):
    """Turns windows of bars into vectors.

    name: of the backend; width: dimensions of one channel; digest: SHA-256 of whatever decides the vectors
    (checkpoint, version), so that vectors of another one are never taken for its own.
    """

    name: str
    width: int
    digest: str

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Vectors [n, channels * width] in float32 of bars [n, LOOKBACK, 5], each by its window alone."""
        ...


def available() -> tuple[str, ...]:
    """Names of the backends."""
    return tuple(_BACKENDS)


def create(name: str, **options: Any) -> Embedder:
    """A backend by name; ConfigError for an unknown name or option.

    chronos: path (a local checkpoint folder, or a repository of the hub), revision, device, batch_size.
    """
    if name not in _BACKENDS:
        raise ConfigError(
            "embedding", "is a known backend", got=repr(name), hint=near_misses(name, _BACKENDS)
        )

    module, _, attribute = _BACKENDS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    try:
        embedder: Embedder = kind(**options)
    except TypeError as error:
        raise ConfigError("embedding", f"takes other options ({error})", got=sorted(options)) from error
    return embedder
