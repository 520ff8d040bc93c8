"""Readers of public trajectory data: ETH/UCY, KITTI tracking, NGSIM."""

from __future__ import annotations

import os
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from forecast_core.errors import DataError
from forecast_traffic.trajectory.tables import read_rows
from forecast_traffic.trajectory.tracks import Gaps, Singles, Tracks

__all__ = ["read_eth_ucy", "read_kitti", "read_ngsim"]

Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

_TEXT, _LABELS = (".txt",), (".txt", ".txt.gz")
_FOOT = 0.3048  # metres
_NGSIM_CLASSES = {1: "motorcycle", 2: "car", 3: "truck"}


def read_eth_ucy(
    path: Paths,
    *,
    dt: float = 0.4,
    gaps: Gaps = "refuse",
    singles: Singles = "refuse",
    max_speed: float | None = 100.0,
) -> Tracks:
    """Pedestrians of ETH/UCY: text with columns frame, pedestrian, x, y in metres, a file a scene.

    path: a file, a folder of .txt files, or several files. Frames are numbered in steps of the smallest
    difference in a file, `dt` seconds each (2.5 Hz). A scene is called by the file's name up to its first
    dot, and by as much of its path as it takes where that is not its own; tracks "scene/pedestrian". Raises
    DataError for a file that is missing, given twice or holds something else; see `Tracks.from_rows` for the
    rest.
    """
    scenes, ids, frames, xy = [], [], [], []
    files = _files(path, _TEXT)
    for file, scene in zip(files, _scenes(files, _TEXT), strict=True):
        table = _numbers(file, columns=4)
        numbers, place = np.unique(table[:, 0], return_inverse=True)
        step = np.diff(numbers).min() if len(numbers) > 1 else 1.0
        at = (numbers - numbers[0]) / step
        if not np.allclose(at, np.round(at), atol=1e-6):
            raise DataError("path", f"has frames in steps of {step:g}", place=str(file))
        scenes += [scene] * len(table)
        ids.append(table[:, 1])
        frames.append(np.round(at)[place])
        xy.append(table[:, 2:])
    points = np.concatenate(xy)
    return Tracks.from_rows(
        track_ids=np.concatenate(ids),
        frames=np.concatenate(frames),
        x=points[:, 0],
        y=points[:, 1],
        dt=dt,
        scenes=scenes,
        gaps=gaps,
        singles=singles,
        max_speed=max_speed,
    )


def read_kitti(
    path: Paths,
    *,
    classes: Sequence[str] = (
        "Car",
        "Van",
        "Truck",
        "Pedestrian",
        "Cyclist",
        "Person",
        "Person_sitting",
        "Tram",
    ),
    gaps: Gaps = "keep",
    singles: Singles = "drop",
    max_speed: float | None = 100.0,
) -> Tracks:
    """Objects of KITTI tracking labels at 10 Hz, a file (.txt or .txt.gz) a sequence, and so a scene.

    x and y are the camera frame's x (to the right) and z (ahead) in metres, as the moving camera sees them:
    ego motion is NOT removed, so motion is relative to the recording car. Column "heading": direction of the
    object's front in that plane, radians. Objects leave view and return, hence gaps="keep" and
    singles="drop". Raises DataError for a file that holds something else or no object of `classes`.
    """
    scenes: list[str] = []
    kinds: list[str] = []
    parts = []
    files = _files(path, _LABELS)
    for file, scene in zip(files, _scenes(files, _LABELS), strict=True):
        text = _texts(file, columns=17)
        text = text[np.isin(text[:, 2], list(classes))]
        try:
            parts.append(text[:, [0, 1, 13, 15, 16]].astype(np.float64))
        except ValueError as error:
            raise DataError("path", f"holds KITTI tracking labels ({error})", got=str(file)) from error
        scenes += [scene] * len(text)
        kinds += text[:, 2].tolist()
    table = np.concatenate(parts)
    if not len(table):
        raise DataError("path", f"holds objects of the classes {list(classes)}", got=str(path))
    return Tracks.from_rows(
        track_ids=table[:, 1],
        frames=table[:, 0],
        x=table[:, 2],
        y=table[:, 3],
        dt=0.1,
        scenes=scenes,
        classes=kinds,
        columns={"heading": -table[:, 4]},
        gaps=gaps,
        singles=singles,
        max_speed=max_speed,
    )


def read_ngsim(
    path: str | PathLike[str],
    *,
    gaps: Gaps = "refuse",
    singles: Singles = "refuse",
    max_speed: float | None = 100.0,
) -> Tracks:
    """Vehicles of an NGSIM csv at 10 Hz: Local_X (across) and Local_Y (along) in feet, turned into metres.

    Columns: Vehicle_ID, Frame_ID, Local_X, Local_Y; v_Class, Lane_ID and v_Vel where there are, the last as
    "speed" in m/s; Location, where there is, makes a scene. Vehicle ids come again later in a recording:
    those meet as gaps. Raises DataError for missing columns; see `Tracks.from_rows` for the rest.
    """
    rows = read_rows(
        path,
        numbers=("Vehicle_ID", "Frame_ID", "Local_X", "Local_Y"),
        optional=("v_Class", "Lane_ID", "v_Vel"),
        texts=("Location",),
    )
    columns: dict[str, Any] = {}
    if "Lane_ID" in rows:
        columns["lane"] = rows["Lane_ID"]
    if "v_Vel" in rows:
        columns["speed"] = rows["v_Vel"] * _FOOT
    classes = None
    if "v_Class" in rows:
        classes = [_NGSIM_CLASSES.get(int(kind), "other") for kind in np.nan_to_num(rows["v_Class"])]
    return Tracks.from_rows(
        track_ids=rows["Vehicle_ID"],
        frames=rows["Frame_ID"],
        x=rows["Local_X"] * _FOOT,
        y=rows["Local_Y"] * _FOOT,
        dt=0.1,
        scenes=rows["Location"].tolist() if "Location" in rows else None,
        classes=classes,
        columns=columns,
        gaps=gaps,
        singles=singles,
        max_speed=max_speed,
    )


def _files(path: Paths, endings: tuple[str, ...]) -> list[Path]:
    """The files meant, in order of name; DataError where there is none."""
    given = [path] if isinstance(path, str | PathLike) else list(path)
    files: list[Path] = []
    for each in map(Path, given):
        if each.is_dir():
            files += sorted(file for file in each.iterdir() if file.name.endswith(endings))
        elif each.is_file():
            files.append(each)
        else:
            raise DataError("path", "is a file or a folder", got=str(each))
    if not files:
        raise DataError("path", f"holds files that end in {' or '.join(endings)}", got=str(path))
    return files


def _scenes(files: Sequence[Path], endings: tuple[str, ...]) -> list[str]:
    """A name of its own for each file, as short as can be: see `_names`. DataError for a file given twice."""
    names = [_names(file, endings) for file in files]
    chosen = [0] * len(files)
    while True:
        scenes = [of_file[k] for of_file, k in zip(names, chosen, strict=True)]
        count = Counter(scenes)
        alike = [k for k, scene in enumerate(scenes) if count[scene] > 1]
        if not alike:
            return scenes
        longer = [k for k in alike if chosen[k] + 1 < len(names[k])]
        if not longer:
            twice = " and ".join(str(file) for file in files if _names(file, endings) == names[alike[0]])
            raise DataError("path", "names each recording once", got=twice)
        for k in longer:
            chosen[k] += 1


def _names(file: Path, endings: tuple[str, ...]) -> list[str]:
    """What a file may be called, shortest first: what stands before the first dot of its name; all but its
    ending; that with one folder after another before it.
    """
    *folders, name = Path(os.path.abspath(file)).parts
    ending = max((end for end in endings if name.endswith(end)), key=len, default="")
    whole = name.removesuffix(ending)
    within = ["/".join([*folders[k:], whole]) for k in range(len(folders) - 1, 0, -1)]
    return [name.partition(".")[0], whole, *within]


def _numbers(file: Path, *, columns: int) -> np.ndarray:
    table = _load(file, np.float64)
    if table.shape[1] != columns:
        raise DataError("path", f"has {columns} columns of numbers", place=str(file), got=table.shape[1])
    return table


def _texts(file: Path, *, columns: int) -> np.ndarray:
    table = _load(file, np.str_)
    if table.shape[1] < columns:
        raise DataError("path", f"has at least {columns} columns", place=str(file), got=table.shape[1])
    return table


def _load(file: Path, dtype: Any) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of an empty file
            table: np.ndarray = np.loadtxt(file, dtype=dtype, ndmin=2)
    except (ValueError, UserWarning, OSError, EOFError, zlib.error) as error:
        raise DataError("path", f"holds rows of one length ({error})", got=str(file)) from error
    return table
