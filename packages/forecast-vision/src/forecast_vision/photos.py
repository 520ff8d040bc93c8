"""`PhotoSet`: photos with labels and metadata, as data that core can split, evaluate and check."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from forecast_core.arrays import positions
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import whole
from forecast_vision.metadata.record import Metadata

__all__ = ["CLASSES", "Photo", "PhotoSet", "PhotoWindows"]

CLASSES = ("no-roadwork", "roadwork")


@dataclass(frozen=True, eq=False)
class Photo:
    """One photo. image: path, encoded bytes, or uint8/uint16 pixels [h, w] or [h, w, 3]; label: whether there
    is roadwork, None where it is not known; name: for people, never a feature.
    """

    image: str | os.PathLike[str] | bytes | np.ndarray
    label: bool | None = None
    metadata: Metadata = field(default_factory=Metadata)
    name: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.image, str | os.PathLike | bytes | np.ndarray):
            got = type(self.image).__name__
            raise InvalidInputError("Photo.image", "is a path, bytes or an array", got=got)
        label = self.label
        if label is not None and not (
            isinstance(label, bool | np.bool_ | int | np.integer) and label in (0, 1)
        ):
            raise DataError("Photo.label", "is True, False or None", got=repr(label))
        if label is not None:
            object.__setattr__(self, "label", bool(label))
        if not isinstance(self.metadata, Metadata):
            hint = "read it with parse_metadata"
            got = type(self.metadata).__name__
            raise InvalidInputError("Photo.metadata", "is a Metadata", got=got, hint=hint)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the encoded bytes, or of shape and pixels of an array; reads a file once."""
        from forecast_vision.views.decoding import read_bytes

        if isinstance(self.image, np.ndarray):
            head = f"{self.image.dtype} {self.image.shape}".encode()
            return hashlib.sha256(head + np.ascontiguousarray(self.image).tobytes()).hexdigest()
        return hashlib.sha256(read_bytes(self.image)).hexdigest()


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos in order: plain samples without a time. photos: at least one.

    Photos of one video, and photos that are byte for byte the same, are of one group, so that splits keep
    them together. Raises InvalidInputError for anything but photos.
    """

    photos: Sequence[Photo]

    def __post_init__(self) -> None:
        if not isinstance(self.photos, Sequence) or not self.photos:
            raise ShapeError("photos", "hold at least one Photo")
        for k, photo in enumerate(self.photos):
            if not isinstance(photo, Photo):
                raise InvalidInputError("photos", "are Photo", place=k, got=type(photo).__name__)
        object.__setattr__(self, "photos", tuple(self.photos))

    @classmethod
    def from_folder(cls, root: str | os.PathLike[str], *, split: str | None = None) -> PhotoSet:
        """The photos of a folder, by the first of these that is there.

        metadata.jsonl or metadata.csv: a row a photo, with `file_name`, `label` (0, 1, true, false or empty)
        and any fields `parse_metadata` knows; images/ and labels/: roadwork where the photo's label file
        (YOLO boxes) is not empty, and both may have a subfolder `split`, which other folders have not; two
        subfolders named like "yes" and "no"; else all photos, without labels. Tables and labels are UTF-8;
        in a photo's name a byte that is not becomes an escape such as \\xe9. Raises DataError for a folder
        without photos, a split that it does not have, a photo or label file that is missing, or a row that
        cannot be read, naming it.
        """
        from forecast_vision.folders import read_folder

        return cls(read_folder(Path(root), split=split))

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Each photo's name, or "photo-<position>"."""
        return tuple(p.name if p.name is not None else f"photo-{k}" for k, p in enumerate(self.photos))

    @cached_property
    def labels(self) -> np.ndarray:
        """1 with roadwork, 0 without, -1 unknown; int64 [photo]."""
        return np.array([-1 if p.label is None else int(p.label) for p in self.photos], dtype=np.int64)

    @cached_property
    def groups(self) -> np.ndarray:
        """The first photo of each photo's group, int64 [photo]: one video, or the same bytes."""
        parent = list(range(len(self.photos)))

        def root(k: int) -> int:
            while parent[k] != k:
                parent[k] = parent[parent[k]]
                k = parent[k]
            return k

        first: dict[tuple[str, str], int] = {}
        for k, photo in enumerate(self.photos):
            keys = [("bytes", photo.content_hash)]
            if photo.metadata.video_id is not None:
                keys.append(("video", photo.metadata.video_id))
            for key in keys:
                a, b = root(first.setdefault(key, k)), root(k)
                parent[max(a, b)] = min(a, b)
        return np.array([root(k) for k in range(len(parent))], dtype=np.int64)

    def take(self, index: np.ndarray | Sequence[int]) -> PhotoSet:
        """The photos at some positions, or of a mask."""
        chosen = positions("index", index, length=len(self))
        return PhotoSet([self.photos[k] for k in chosen.tolist()])

    def select_items(self, names: Iterable[str]) -> PhotoSet:
        """The photos of these names, in the order given; DataError for a name that is none or not unique."""
        where: dict[str, list[int]] = {}
        for k, name in enumerate(self.item_ids):
            where.setdefault(name, []).append(k)
        chosen = []
        for name in names:
            if len(where.get(name, ())) != 1:
                raise DataError("names", "each name one photo", got=repr(name))
            chosen += where[name]
        named = [Photo(p.image, p.label, p.metadata, self.item_ids[k]) for k, p in enumerate(self.photos)]
        return PhotoSet([named[k] for k in chosen])

    def of_groups(self, groups: np.ndarray) -> PhotoSet:
        """The photos of some groups, in their order here."""
        return self.take(np.flatnonzero(np.isin(self.groups, groups)))

    # what core asks of data

    @property
    def timeline(self) -> np.ndarray:
        """Positions 0..n-1: photos have no time."""
        return np.arange(len(self.photos))

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> PhotoWindows:
        """Every photo (every `stride`-th) as a sample."""
        return PhotoWindows(self, np.arange(0, len(self), whole("stride", stride)))

    def between(self, start: Any, stop: Any) -> PhotoSet:
        """Photos `start` up to and without `stop`, by position; negative ones count from the end."""
        for name, at in (("start", start), ("stop", stop)):
            if at is not None and (isinstance(at, bool) or not isinstance(at, int | np.integer)):
                raise InvalidInputError(name, "is a position or None", got=repr(at))
        return PhotoSet(self.photos[slice(start, stop)])

    @cached_property
    def hashes(self) -> frozenset[str]:
        """Content hashes of all photos."""
        return frozenset(photo.content_hash for photo in self.photos)

    def fingerprint(self) -> str:
        """SHA-256 of photos, labels and metadata, in order."""
        digest = hashlib.sha256()
        for photo in self.photos:
            known = photo.metadata.model_dump(mode="json")
            digest.update(json.dumps([photo.content_hash, photo.label, known]).encode())
        return digest.hexdigest()

    def signature(self) -> dict[str, Any]:
        """How many photos of which label."""
        counts = {name: int((self.labels == k).sum()) for k, name in enumerate(CLASSES)}
        return {"type": "photoset", "photos": len(self), **counts}

    def __repr__(self) -> str:
        told = self.signature()
        counts = f"{told['roadwork']} with roadwork, {told['no-roadwork']} without"
        return f"<PhotoSet: {told['photos']} photos, {counts}>"


@dataclass(frozen=True, eq=False)
class PhotoWindows:
    """Some photos of a set as samples; rows [n]: their positions."""

    data: PhotoSet
    rows: np.ndarray

    origins = label_ends = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> PhotoWindows:
        """The samples at some positions."""
        return PhotoWindows(self.data, self.rows[positions("index", index, length=len(self))])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels [n], and which of them are known."""
        labels = self.data.labels[self.rows]
        return np.maximum(labels, 0), labels >= 0

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Names of the photos."""
        names = self.data.item_ids
        return tuple(names[k] for k in self.rows.tolist())

    @property
    def groups(self) -> np.ndarray:
        """Group of each photo."""
        groups: np.ndarray = self.data.groups[self.rows]
        return groups

    @property
    def strata(self) -> np.ndarray:
        """Label of each photo."""
        labels: np.ndarray = self.data.labels[self.rows]
        return labels
