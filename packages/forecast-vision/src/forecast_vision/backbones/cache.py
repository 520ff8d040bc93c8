"""Features that have been computed once are not computed again: in memory, and on disk where asked for."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from safetensors.numpy import load as load_tensors, save as save_tensors

from forecast_core.errors import DataError

__all__ = ["EmbeddingCache", "bag_key", "shared_cache"]

_log = logging.getLogger("forecast")

_MEMORY = 2**28  # bytes kept at once
_Pixels = tuple[int, int, int, int]


def bag_key(image: str, *, augmentation: str, size: int, checkpoint: str) -> str:
    """Under what the features of one photo's views are kept: SHA-256 of all that decides them but the box."""
    return hashlib.sha256("\0".join((image, augmentation, str(size), checkpoint)).encode()).hexdigest()


class EmbeddingCache:
    """Features by bag (photo, augmentation, size, checkpoint) and, within it, by box.

    folder: where they are also kept between runs, a safetensors file a bag, each written whole or not at
    all; a damaged one counts as absent. The most recent 256 MB stay in memory. Raises DataError where the
    folder is a file or cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise DataError("folder", "is a folder, or is not there yet", got=repr(str(folder)))
        self._bags: OrderedDict[str, dict[_Pixels, np.ndarray]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: str, boxes: Sequence[_Pixels]) -> list[np.ndarray | None]:
        """Features [d] of each box of a bag, None where they are not known."""
        with self._lock:
            bag = self._bags.get(key)
            if bag is not None:
                self._bags.move_to_end(key)
        if bag is None or any(box not in bag for box in boxes):
            stored = self._read(key)
            if stored:
                bag = {**stored, **(bag or {})}
                self._keep(key, bag)
        return [None if bag is None else bag.get(box) for box in boxes]

    def put(self, key: str, boxes: Sequence[_Pixels], features: np.ndarray) -> None:
        """Keep features [n, d] of some boxes of a bag, beside those it has."""
        with self._lock:
            bag = dict(self._bags.get(key, {}))
        if self.folder is not None:
            bag = {**(self._read(key) or {}), **bag}
        rows = np.ascontiguousarray(features, dtype=np.float32)
        bag.update(zip(boxes, rows, strict=True))
        self._keep(key, bag)
        if self.folder is not None:
            self._write(self._path(key), bag)

    def _keep(self, key: str, bag: dict[_Pixels, np.ndarray]) -> None:
        with self._lock:
            self._bytes -= _size(self._bags.pop(key, {}))
            self._bags[key] = bag
            self._bytes += _size(bag)
            while self._bytes > _MEMORY and len(self._bags) > 1:
                self._bytes -= _size(self._bags.popitem(last=False)[1])

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> dict[_Pixels, np.ndarray] | None:
        if self.folder is None:
            return None
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        try:
            arrays = load_tensors(content)
            boxes, features = arrays["boxes"], arrays["features"]
            if boxes.shape != (len(features), 4) or features.ndim != 2 or features.dtype != np.float32:
                raise ValueError("wrong shapes")
        except Exception as error:  # whatever is wrong with the file, it is made anew
            _log.warning("embedding %s is damaged and is computed again: %s", key, error)
            return None
        return {tuple(box): row for box, row in zip(boxes.tolist(), features, strict=True)}

    def _write(self, path: Path, bag: dict[_Pixels, np.ndarray]) -> None:
        content = save_tensors(
            {"boxes": np.array(list(bag), dtype=np.int32), "features": np.stack(list(bag.values()))}
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.replace(name, path)
            except BaseException:
                os.unlink(name)
                raise
        except OSError as error:
            rule = f"can be written to ({error.strerror or error})"
            raise DataError("cache", rule, got=repr(str(self.folder))) from error


def _size(bag: dict[_Pixels, np.ndarray]) -> int:
    return sum(row.nbytes for row in bag.values())


@lru_cache(maxsize=4)
def shared_cache(folder: str | None) -> EmbeddingCache:
    """The cache of a folder (None: of memory alone), the same one at each call."""
    return EmbeddingCache(folder)
