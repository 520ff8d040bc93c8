"""Vectors kept on disk, by the content of their window and the digest of the backend."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from forecast_core.errors import DataError
from forecast_core.training.atomic import write_atomically

__all__ = ["EmbeddingCache", "window_keys"]

_KEY = 16  # bytes of the SHA-256 that name a window


class EmbeddingCache:
    """A folder of vectors: `folder/<digest of the backend>/<shard>.safetensors`.

    Each `put` writes one shard, all or nothing; what is there is never changed, so that several processes may
    share a folder. Keys are of windows' content, so bars added later leave earlier vectors valid. Raises
    DataError for a shard that cannot be read.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self._folder = Path(folder)
        self._where: dict[str, dict[bytes, tuple[Path, int]]] = {}
        self._seen: set[Path] = set()

    def get(self, digest: str, keys: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Vectors [n, width] of windows by key [n, 16], and which of them are there [n]."""
        known = self._index(digest)
        found = [known.get(key.tobytes()) for key in keys]
        vectors = np.zeros((len(keys), width), dtype=np.float32)
        by_shard: dict[Path, list[tuple[int, int]]] = {}
        for row, place in enumerate(found):
            if place is not None:
                by_shard.setdefault(place[0], []).append((row, place[1]))
        for shard, places in by_shard.items():
            rows, at = np.array(places).T
            vectors[rows] = _read(shard, "vectors")[at]
        return vectors, np.array([place is not None for place in found], dtype=np.bool_)

    def put(self, digest: str, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Keep vectors [n, width] of windows by key [n, 16]."""
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:32]
        shard = self._folder / digest / f"{name}.safetensors"
        arrays = {"keys": np.ascontiguousarray(keys), "vectors": np.ascontiguousarray(vectors, np.float32)}
        write_atomically(shard, [save(arrays)])
        self._learn(digest, shard)

    def _index(self, digest: str) -> dict[bytes, tuple[Path, int]]:
        for shard in sorted((self._folder / digest).glob("*.safetensors")):
            if shard not in self._seen:
                self._learn(digest, shard)
        return self._where.setdefault(digest, {})

    def _learn(self, digest: str, shard: Path) -> None:
        known = self._where.setdefault(digest, {})
        for row, key in enumerate(_read(shard, "keys")):
            known.setdefault(key.tobytes(), (shard, row))
        self._seen.add(shard)


def window_keys(windows: np.ndarray) -> np.ndarray:
    """A key for the content of each window, [n, 16] of bytes; windows [n, lookback, 5]."""
    contiguous = np.ascontiguousarray(windows, dtype=np.float64)
    keys = b"".join(hashlib.sha256(window.data).digest()[:_KEY] for window in contiguous)
    return np.frombuffer(keys, dtype=np.uint8).reshape(len(windows), _KEY)


def _read(shard: Path, name: str) -> np.ndarray:
    try:
        with safe_open(shard, framework="np") as file:
            array: np.ndarray = file.get_tensor(name)
            return array
    except (SafetensorError, OSError) as error:
        raise DataError(
            "cache", f"holds readable vectors ({error})", place=str(shard), hint="delete the file"
        ) from error
