"""Tracks from tables: frames of pandas, polars or pyarrow, csv and parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from forecast_core.data.frames import (
    as_frame,
    build_frame,
    number_column,
    read_table as read_frame,
    require_columns,
    time_column,
)
from forecast_core.errors import DataError, InvalidInputError
from forecast_traffic.trajectory.checks import step_seconds
from forecast_traffic.trajectory.tracks import Gaps, Singles, Tracks

__all__ = ["read_rows", "read_table", "tracks_from_frame", "tracks_to_frame"]

_OFF_GRID = 0.02  # of a step, that a time may lie off the grid


def tracks_from_frame(
    frame: Any,
    *,
    track_id: str = "track_id",
    frame_number: str | None = None,
    timestamp: str | None = None,
    x: str = "x",
    y: str = "y",
    dt: float | None = None,
    scene: str | None = None,
    category: str | None = None,
    scenario: str | None = None,
    columns: Sequence[str] | Mapping[str, str] = (),
    gaps: Gaps = "refuse",
    singles: Singles = "refuse",
    max_speed: float | None = 100.0,
) -> Tracks:
    """From a frame with a row a point; arguments name its columns.

    Time is either frame_number (whole steps of `dt` seconds, which is then needed) or timestamp (seconds, or
    times, whose grid is `dt` or else the commonest step; times give the tracks a clock). x, y: metres. scene,
    category (of road user), scenario: labels. columns: further numbers, as names or our name -> theirs.
    Raises DataError for a missing column or a time off the grid; see `Tracks.from_rows` for the rest.
    """
    table = as_frame(frame)
    dt = None if dt is None else step_seconds("dt", dt)
    wanted = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    given = {"track_id": track_id, "x": x, "y": y, "frame_number": frame_number, "timestamp": timestamp}
    given |= {"scene": scene, "category": category, "scenario": scenario}
    for argument, name in given.items():
        require_columns(table, [] if name is None else [name], argument=argument)
    require_columns(table, list(wanted.values()), argument="columns")
    if (frame_number is None) == (timestamp is None):
        raise InvalidInputError("frame_number", "is given, or timestamp, and not both")
    ids = _labels(table, track_id)
    start = None
    if frame_number is not None:
        if dt is None:
            raise InvalidInputError("dt", "is given where time is a frame number: seconds a frame")
        frames = number_column(table, frame_number)
    else:
        frames, dt, start = _frames_of_times(table, str(timestamp), dt, ids)
    return Tracks.from_rows(
        track_ids=ids,
        frames=frames,
        x=number_column(table, x),
        y=number_column(table, y),
        dt=dt,
        scenes=None if scene is None else [str(s) for s in _labels(table, scene)],
        start=start,
        classes=None if category is None else [str(s) for s in _labels(table, category)],
        scenarios=None if scenario is None else [str(s) for s in _labels(table, scenario)],
        columns={ours: number_column(table, theirs) for ours, theirs in wanted.items()},
        gaps=gaps,
        singles=singles,
        max_speed=max_speed,
    )


def read_table(path: str | PathLike[str], **options: Any) -> Tracks:
    """From a csv (also gzipped) or parquet file; options as for `tracks_from_frame`."""
    return tracks_from_frame(read_frame(path), **options)


def read_rows(
    path: str | PathLike[str], *, numbers: Sequence[str], optional: Sequence[str], texts: Sequence[str]
) -> dict[str, np.ndarray]:
    """Columns of a file by name: `numbers` are needed, `optional` and `texts` given where they are there."""
    table = as_frame(read_frame(path))
    require_columns(table, numbers, argument="path")
    found = {name: number_column(table, name) for name in (*numbers, *optional) if name in table.columns}
    found |= {name: np.asarray(_labels(table, name), dtype=str) for name in texts if name in table.columns}
    return found


def tracks_to_frame(tracks: Tracks, *, backend: str | None = None) -> Any:
    """A long frame, a row a point: track_id, scene, frame, seconds (and timestamp), x, y and the columns."""
    ids = [tracks.item_ids[k] for k in tracks.track_of_row.tolist()]
    if len({type(i) for i in tracks.item_ids}) > 1:
        ids = [str(i) for i in ids]
    out: dict[str, Any] = {
        "track_id": ids,
        "scene": [tracks.scene_ids[k] for k in tracks.scene_of_row.tolist()],
        "frame": tracks.frames,
        "seconds": tracks.frames * tracks.dt,
    }
    if tracks.start is not None:
        out["timestamp"] = tracks.times(tracks.frames)
    out |= {"x": tracks.xy[:, 0], "y": tracks.xy[:, 1], **tracks.columns}
    return build_frame(out, backend=backend)


def _labels(table: Any, name: str) -> list[Any]:
    """A column of ids or texts; DataError where one is missing."""
    column = table[name]
    if column.null_count():
        row = int(np.asarray(column.is_null().to_numpy()).argmax())
        raise DataError(name, "has no missing entry", place=f"row {row}")
    entries: list[Any] = column.to_list()
    return entries


def _frames_of_times(
    table: Any, name: str, dt: float | None, ids: Sequence[Any]
) -> tuple[np.ndarray, float, np.datetime64 | None]:
    """Whole steps since the earliest time, the step in seconds, and the clock time of the first."""
    start: np.datetime64 | None = None
    if table[name].dtype.is_numeric():
        seconds = number_column(table, name)
        wrong = np.flatnonzero(~np.isfinite(seconds))
        if len(wrong):
            raise DataError(name, "is finite", place=f"row {wrong[0]} (track {ids[wrong[0]]!r})")
    else:
        stamps, _ = time_column(table, name)
        start = stamps.min() if len(stamps) else None
        seconds = (stamps - start).astype(np.int64) / 1e6
    if not len(seconds):
        return seconds, dt or 1.0, start
    step = _commonest_step(name, seconds) if dt is None else dt
    frames = (seconds - seconds.min()) / step
    off = np.flatnonzero(np.abs(frames - np.round(frames)) > _OFF_GRID)
    if len(off):
        raise DataError(
            name,
            f"lies on a grid of {step:g} s",
            place=f"row {off[0]} (track {ids[off[0]]!r})",
            got=f"{seconds[off[0]]:g} s",
            hint="resample the tracks to a fixed step first, or give another dt",
        )
    return np.round(frames), float(step), start


def _commonest_step(name: str, seconds: np.ndarray) -> float:
    steps = np.round(np.diff(np.unique(seconds)), 6)
    if not len(steps) or steps.max() <= 0:
        raise DataError(name, "holds at least two times to tell dt from", hint="give dt=")
    values, counts = np.unique(steps[steps > 0], return_counts=True)
    return float(values[counts.argmax()])
