"""Folders of photos: a table of them, YOLO labels, a subfolder a class, or just photos."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forecast_core.errors import DataError
from forecast_vision.metadata.parsing import parse_metadata
from forecast_vision.photos import Photo

__all__ = ["read_folder"]

_SUFFIXES = (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_YES = ("1", "yes", "true", "positive", "roadwork", "roadworks", "construction")
_NO = ("0", "no", "false", "negative", "no-roadwork", "no_roadwork")


def read_folder(root: Path, *, split: str | None = None) -> list[Photo]:
    """The photos of a folder in order of their names; see `PhotoSet.from_folder`."""
    if not root.is_dir():
        raise DataError("root", "is a folder", got=repr(str(root)))
    for name, read in (("metadata.jsonl", _lines), ("metadata.csv", _rows)):
        if (root / name).is_file():
            found = [_photo(root, row, place) for place, row in read(root / name)]
            break
    else:
        if (root / "images").is_dir() and (root / "labels").is_dir():
            found = list(_yolo(root, split or "."))
        else:
            found = list(_classes(root) if _class_folders(root) else _plain(root))
    if not found:
        raise DataError("root", "holds photos", got=repr(str(root)), hint=f"known: {', '.join(_SUFFIXES)}")
    return found


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _plain(root: Path) -> Iterator[Photo]:
    for path in _images(root):
        yield Photo(path, name=path.name)


def _yolo(root: Path, split: str) -> Iterator[Photo]:
    folder = root / "images" / split
    if not folder.is_dir():
        raise DataError("split", "is a subfolder of images/", got=repr(split))
    for path in _images(folder):
        label = root / "labels" / split / f"{path.stem}.txt"
        if not label.is_file():
            raise DataError("labels", "hold a file for each photo", place=path.name, got="none")
        yield Photo(path, label=bool(label.read_text().strip()), name=path.name)


def _class_folders(root: Path) -> list[tuple[Path, bool]]:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and _images(p))
    if not folders:
        return []
    labels = [_label(p.name) for p in folders]
    if set(labels) != {False, True}:
        got = [p.name for p in folders]
        raise DataError("root", "has subfolders named like 'yes' and 'no', or metadata.csv", got=got)
    return [(p, bool(label)) for p, label in zip(folders, labels, strict=True)]


def _classes(root: Path) -> Iterator[Photo]:
    for folder, label in _class_folders(root):
        for path in _images(folder):
            yield Photo(path, label=label, name=f"{folder.name}/{path.name}")


def _label(text: str) -> bool | None:
    text = text.strip().lower()
    return True if text in _YES else False if text in _NO else None


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                path.name, f"holds one JSON object a line ({error})", place=f"line {number}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(path.name, "holds one JSON object a line", place=f"line {number}")
        yield f"line {number}", row


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    try:
        for number, row in enumerate(reader, start=2):
            if None in row:
                raise DataError(path.name, "has as many values as columns", place=f"line {number}")
            yield f"line {number}", dict(row)
    except csv.Error as error:
        raise DataError(path.name, f"is a csv table ({error})") from error


def _photo(root: Path, row: dict[str, Any], place: str) -> Photo:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError("file_name", "names each row's photo", place=place)
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError("file_name", "lies in the folder", place=place, got=repr(name))
    if not path.is_file():
        raise DataError("file_name", "is a file of the folder", place=place, got=repr(name))
    try:
        metadata = parse_metadata(row)
    except DataError as error:
        raise DataError(error.argument, error.rule, place=f"{place} ({name})", got=error.got) from error
    return Photo(path, label=_given(row.get("label"), place), metadata=metadata, name=name)


def _given(label: Any, place: str) -> bool | None:
    if label is None or label == "":
        return None
    found = _label(str(label))
    if found is None:
        raise DataError("label", f"is one of {_YES[:3]} or {_NO[:3]}, or empty", place=place, got=repr(label))
    return found
