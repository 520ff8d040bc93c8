"""Tracks from rows as they come, and everything that can be wrong with these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import numbers
from forecast_traffic.trajectory.checks import is_number, one_of, step_seconds
from forecast_traffic.trajectory.tracks import Gaps, Singles, TrackId, Tracks

__all__ = ["tracks_from_rows"]


def tracks_from_rows(
    *,
    track_ids: Sequence[TrackId] | np.ndarray,
    frames: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    dt: float,
    scenes: Sequence[str] | None,
    start: Any,
    classes: Sequence[str] | None,
    scenarios: Sequence[str] | None,
    columns: Mapping[str, np.ndarray] | None,
    gaps: Gaps,
    singles: Singles,
    max_speed: float | None,
) -> Tracks:
    """See `Tracks.from_rows`."""
    dt = step_seconds("dt", dt)
    one_of("gaps", gaps, Gaps)
    one_of("singles", singles, Singles)
    if max_speed is not None and not (is_number(max_speed) and max_speed > 0):
        raise InvalidInputError("max_speed", "is a number of m/s above 0, or None", got=repr(max_speed))
    ids = _ids_of_one_kind(track_ids)
    rows = len(ids)
    if not rows:
        raise ShapeError("track_ids", "has at least one row")
    if scenes is not None and np.shape(scenes) != (rows,):
        raise ShapeError("scenes", f"has one entry a row ({rows})", got=np.shape(scenes))
    scene_ids, scene = _codes(np.full(rows, "scene") if scenes is None else np.asarray(scenes).astype(str))
    kinds, local = _codes(ids)
    item_ids, track = _item_ids(kinds, local, scene_ids if scenes is not None else None, scene)
    given = {"frames": np.asarray(frames), "x": numbers("x", x), "y": numbers("y", y), **(columns or {})}
    for name, values in given.items():
        if np.shape(values) != (rows,):
            raise ShapeError(name, f"has one entry a row ({rows})", got=np.shape(values))
    whole = _whole_frames(given["frames"], track, item_ids)

    def place(row: int) -> str:
        return f"row {row} (track {item_ids[track[row]]!r}, frame {whole[row]})"

    for name in ("x", "y"):
        values = given[name]
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise DataError(name, "is finite", place=place(int(wrong[0])), got=values[wrong[0]])
    order = np.argsort(track, kind="stable")
    _check_order(whole, track, order, place)
    counts = np.bincount(track)
    alone = np.flatnonzero(counts == 1)
    if len(alone):
        if singles == "refuse":
            raise DataError(
                "track_ids",
                "name tracks of at least two points",
                place=place(int(np.flatnonzero(track == alone[0])[0])),
                got=f"{len(alone)} tracks of one",
                hint='leave them out with singles="drop"',
            )
        if len(alone) == len(counts):
            raise ShapeError("track_ids", "name a track of at least two points")
        order = order[counts[track[order]] > 1]
    xy = np.stack([given["x"], given["y"]], axis=1)
    _check_steps(xy, whole, track, order, place, dt=dt, gaps=gaps, max_speed=max_speed)
    kept, first = np.unique(track[order], return_index=True)
    labels = {"classes": classes, "scenarios": scenarios}
    return Tracks(
        xy=xy[order],
        frames=whole[order],
        offsets=np.append(first, len(order)),
        item_ids=tuple(item_ids[k] for k in kept.tolist()),
        dt=dt,
        scenes=scene[order[first]],
        scene_ids=scene_ids,
        start=start,
        columns={
            name: numbers(f"columns[{name!r}]", column)[order] for name, column in (columns or {}).items()
        },
        **{n: _label(n, v, track, order, first, place) for n, v in labels.items()},
    )


def _ids_of_one_kind(track_ids: Sequence[TrackId] | np.ndarray) -> np.ndarray:
    """Ids [row] as texts or as numbers; DataError where there are both, or something else."""
    ids = np.asarray(track_ids)
    if ids.ndim != 1:
        raise ShapeError("track_ids", "has one id a row", got=ids.shape)
    if isinstance(track_ids, np.ndarray) and ids.dtype.kind != "O":
        return ids
    given = list(track_ids)
    text = [isinstance(each, str) for each in given]
    if any(text) and not all(text):
        row = text.index(not text[0])
        rule = "are all texts, or all whole numbers"
        got = f"{given[row]!r} after {given[0]!r}"
        raise DataError("track_ids", rule, place=f"row {row}", got=got)
    found = np.asarray(given)
    if found.dtype.kind == "O":
        row = next((k for k, each in enumerate(given) if not isinstance(each, int | np.integer)), -1)
        if row >= 0:
            got = repr(given[row])
            raise DataError("track_ids", "are texts or whole numbers", place=f"row {row}", got=got)
    return found


def _codes(values: Sequence[Any] | np.ndarray) -> tuple[tuple[Any, ...], np.ndarray]:
    """Distinct values in order of appearance, and which one each is."""
    array = np.asarray(values)
    distinct, first, code = np.unique(array, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return tuple(distinct[order].tolist()), rank[code]


def _item_ids(
    ids: tuple[Any, ...], local: np.ndarray, scene_ids: tuple[str, ...] | None, scene: np.ndarray
) -> tuple[tuple[TrackId, ...], np.ndarray]:
    """Name of each track, and the track of each row."""
    names = [int(i) if isinstance(i, float) and i.is_integer() else i for i in ids]
    for name in names:
        if isinstance(name, bool) or not isinstance(name, int | str):
            raise DataError("track_ids", "are texts or whole numbers", got=repr(name))
    if scene_ids is None:
        return tuple(names), local
    (pairs, track) = _codes(local + scene * len(ids))
    return tuple(f"{scene_ids[p // len(ids)]}/{names[p % len(ids)]}" for p in pairs), track


def _whole_frames(frames: np.ndarray, track: np.ndarray, item_ids: tuple[TrackId, ...]) -> np.ndarray:
    if frames.dtype.kind not in "iuf":
        raise DataError("frames", "are whole numbers", got=frames.dtype)
    wrong = np.flatnonzero(~np.isfinite(frames) | (frames != np.round(frames)))
    if len(wrong):
        row = int(wrong[0])
        place = f"row {row} (track {item_ids[track[row]]!r})"
        raise DataError("frames", "are whole numbers", place=place, got=frames[row])
    return frames.astype(np.int64)


def _check_order(frames: np.ndarray, track: np.ndarray, order: np.ndarray, place: Any) -> None:
    step = np.diff(frames[order])
    wrong = np.flatnonzero((step <= 0) & (np.diff(track[order]) == 0))
    if not len(wrong):
        return
    at = wrong[order[wrong + 1].argmin()]  # the first in the order of the rows
    row, before = int(order[at + 1]), frames[order[at]]
    if step[at] == 0:
        raise DataError(
            "frames",
            "hold each track once",
            place=place(row),
            got="a duplicate",
            hint="drop or average duplicates first, or name the scenes in which an id is used again",
        )
    raise DataError(
        "frames",
        "do not go back within a track",
        place=place(row),
        got=f"after frame {before}",
        hint="sort rows by time, or name the scenes in which an id is used again",
    )


def _check_steps(
    xy: np.ndarray,
    frames: np.ndarray,
    track: np.ndarray,
    order: np.ndarray,
    place: Any,
    *,
    dt: float,
    gaps: Gaps,
    max_speed: float | None,
) -> None:
    """Gaps, and speeds that no road user has."""
    same = np.diff(track[order]) == 0
    step = np.diff(frames[order])
    jumps = np.flatnonzero(same & (step > 1))
    if len(jumps) and gaps != "keep":
        at = int(jumps[0])
        raise DataError(
            "frames",
            "follow one another within a track",
            place=place(int(order[at + 1])),
            got=f"{step[at] - 1} missing after frame {frames[order[at]]}",
            hint='fill or cut the track, or read with gaps="keep": windows then stay between gaps',
        )
    if max_speed is None:
        return
    metres = np.linalg.norm(np.diff(xy[order], axis=0), axis=1)
    speed = metres / (dt * np.maximum(step, 1))
    fast = np.flatnonzero(same & (speed > max_speed))
    if len(fast):
        raise DataError(
            "x, y",
            f"move at most {max_speed:g} m/s",
            place=place(int(order[fast[0] + 1])),
            got=f"{speed[fast[0]]:.4g} m/s",
            hint="positions are metres and dt seconds; pass max_speed=None if this is real",
        )


def _label(
    name: str,
    values: Sequence[str] | None,
    track: np.ndarray,
    order: np.ndarray,
    first: np.ndarray,
    place: Any,
) -> tuple[str, ...] | None:
    """One label a track; DataError where rows of a track differ."""
    if values is None:
        return None
    if len(values) != len(track):
        raise ShapeError(name, f"has one entry a row ({len(track)})", got=len(values))
    kinds, code = _codes(np.asarray(values).astype(str))
    code = code[order]
    of_track = np.repeat(code[first], np.diff(np.append(first, len(order))))
    wrong = np.flatnonzero(code != of_track)
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            name, "are the same all along a track", place=place(int(order[at])), got=repr(kinds[code[at]])
        )
    return tuple(kinds[c] for c in code[first].tolist())
