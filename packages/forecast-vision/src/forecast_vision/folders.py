"""Folders of photos: a table of them, YOLO labels, a subfolder a class, or just photos."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forecast_core.errors import DataError
from forecast_vision.metadata.parsing import parse_metadata
from forecast_vision.photos import Photo

__all__ = ["read_folder", "readable"]

_Rows = Iterator[tuple[str, dict[str, Any]]]

_SUFFIXES = (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
_YES = ("1", "yes", "true", "positive", "roadwork", "roadworks", "construction")
_NO = ("0", "no", "false", "negative", "no-roadwork", "no_roadwork")


def read_folder(root: Path, *, split: str | None = None) -> list[Photo]:
    """The photos of a folder in order of their names; see `PhotoSet.from_folder`."""
    if not root.is_dir():
        raise DataError("root", "is a folder", got=repr(str(root)))
    table = next((name for name in _TABLES if (root / name).is_file()), None)
    boxes = table is None and (root / "images").is_dir() and (root / "labels").is_dir()
    if split is not None and not boxes:
        rule = "is told only of a folder whose photos and labels lie in images/ and labels/"
        found = f"{table} lists the photos" if table else "those are not both there"
        hint = f"{found}; leave it out, or give the folder of the split as root"
        raise DataError("split", rule, got=repr(split), hint=hint)
    if table is not None:
        photos = [_photo(root, row, place) for place, row in _TABLES[table](root / table)]
    elif boxes:
        photos = list(_yolo(root, split or "."))
    else:
        photos = list(_classes(root) if _class_folders(root) else _plain(root))
    if not photos:
        raise DataError("root", "holds photos", got=repr(str(root)), hint=f"known: {', '.join(_SUFFIXES)}")
    return photos


def readable(name: str) -> str:
    """The name of a file as text that can be printed; a byte that is no UTF-8 as an escape such as \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _text(path: Path) -> str:
    """A text in UTF-8, with a byte order mark or without; DataError naming the line that is none."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        rule, got = "is a text in UTF-8", f"byte 0x{content[error.start]:02x}"
        raise DataError(readable(path.name), rule, place=f"line {line}", got=got) from error


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file())


def _plain(root: Path) -> Iterator[Photo]:
    for path in _images(root):
        yield Photo(path, name=readable(path.name))


def _yolo(root: Path, split: str) -> Iterator[Photo]:
    folder = root / "images" / split
    if not folder.is_dir():
        raise DataError("split", "is a subfolder of images/", got=repr(split))
    for path in _images(folder):
        name, label = readable(path.name), root / "labels" / split / f"{path.stem}.txt"
        if not label.is_file():
            raise DataError("labels", "hold a file for each photo", place=name, got="none")
        yield Photo(path, label=bool(_text(label).strip()), name=name)


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
            yield Photo(path, label=label, name=readable(f"{folder.name}/{path.name}"))


def _label(text: str) -> bool | None:
    text = text.strip().lower()
    return True if text in _YES else False if text in _NO else None


def _lines(path: Path) -> _Rows:
    for number, line in enumerate(_text(path).split("\n"), start=1):  # texts may hold other line separators
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                path.name, f"holds one JSON object a line ({error})", place=f"line {number}"
            ) from error
        if not isinstance(row, dict):
            raise DataError(path.name, "holds one JSON object a line", place=f"line {number}")
        yield f"line {number}", row


def _rows(path: Path) -> _Rows:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, start=2):
            if None in row:
                raise DataError(path.name, "has as many values as columns", place=f"line {number}")
            yield f"line {number}", dict(row)
    except csv.Error as error:
        raise DataError(path.name, f"is a csv table ({error})") from error


_TABLES: dict[str, Callable[[Path], _Rows]] = {"metadata.jsonl": _lines, "metadata.csv": _rows}


def _photo(root: Path, row: dict[str, Any], place: str) -> Photo:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError("file_name", "names each row's photo", place=place)
    path = root / name
    try:
        inside, there = path.resolve().is_relative_to(root.resolve()), path.is_file()
    except (OSError, ValueError):  # no name that a file could have
        inside, there = True, False
    if not inside:
        raise DataError("file_name", "lies in the folder", place=place, got=repr(name))
    if not there:
        raise DataError("file_name", "is a file of the folder", place=place, got=repr(name)[:80])
    try:
        metadata = parse_metadata(row)
    except DataError as error:
        raise DataError(error.argument, error.rule, place=f"{place} ({name})", got=error.got) from error
    return Photo(path, label=_given(row.get("label"), place), metadata=metadata, name=readable(name))


def _given(label: Any, place: str) -> bool | None:
    if label is None or label == "":
        return None
    found = _label(str(label))
    if found is None:
        raise DataError("label", f"is one of {_YES[:3]} or {_NO[:3]}, or empty", place=place, got=repr(label))
    return found
