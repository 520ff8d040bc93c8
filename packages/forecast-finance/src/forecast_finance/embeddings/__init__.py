"""Embeddings of the last 120 bars: one interface, several backends, vectors kept on disk.

`create("statistical")` works offline and is the default; `create("chronos", path=...)` reads a checkpoint;
"none" is an embedding of no dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_finance.embeddings.backends import (
        CHANNELS as CHANNELS,
        LOOKBACK as LOOKBACK,
        Embedder as Embedder,
        available as available,
        create as create,
    )
    from forecast_finance.embeddings.cache import EmbeddingCache as EmbeddingCache
    from forecast_finance.embeddings.embedding import embed_rows as embed_rows

_EXPORTS = {
    "backends": ("CHANNELS", "LOOKBACK", "Embedder", "available", "create"),
    "cache": ("EmbeddingCache",),
    "embedding": ("embed_rows",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
