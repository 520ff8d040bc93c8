"""What points two sets of tracks have in common."""

from __future__ import annotations

import numpy as np

from forecast_core.arrays import covered
from forecast_traffic.trajectory.tracks import Tracks
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["apart", "shares_points", "within"]


def shares_points(a: Tracks, b: Tracks) -> bool:
    """Whether both hold a point of one track (id, in the scene of one name) at one time and place.

    Times are those of the clock where both have one, else the seconds of each recording from its frame 0 on;
    so what is thinned, cut or put in another order still shares its points.
    """
    return bool(len(_shared_rows(a, b)[0]))


def apart(windows: TrackWindows, fitted: Tracks | TrackWindows) -> TrackWindows:
    """The windows none of whose targets is a point of `fitted`, as `shares_points` compares them."""
    return windows.take(_shared_targets(windows, fitted)[0] == 0)


def within(windows: TrackWindows, fitted: Tracks | TrackWindows) -> np.ndarray:
    """Whether all targets of each window are points of `fitted`, as `shares_points` compares them, [n]."""
    shared, targets = _shared_targets(windows, fitted)
    inside: np.ndarray = (shared == targets) & (targets > 0)
    return inside


def _shared_targets(windows: TrackWindows, fitted: Tracks | TrackWindows) -> tuple[np.ndarray, np.ndarray]:
    """Targets of each window that are points of `fitted`, and all of its targets, [n] each."""
    data = windows.data
    if isinstance(fitted, TrackWindows):
        mine, theirs = _shared_rows(data, fitted.data)
        mine = mine[_spanned(fitted)[theirs]]
    else:
        mine = _shared_rows(data, fitted)[0]
    shared = np.zeros(len(data.xy) + 1, dtype=np.int64)
    shared[mine + 1] = 1
    shared = np.cumsum(shared)  # points shared before each row
    ends = np.minimum(windows.rows + windows.horizon, data.run_of_row[1][windows.rows])
    return shared[ends + 1] - shared[windows.rows + 1], ends - windows.rows


def _spanned(windows: TrackWindows) -> np.ndarray:
    """Whether each row of the data lies in the history or the targets of a window [row]."""
    ends = np.minimum(windows.rows + windows.horizon, windows.data.run_of_row[1][windows.rows])
    return covered(windows.rows - windows.lengths + 1, ends, length=len(windows.data.xy))


def _shared_rows(a: Tracks, b: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `a` and of `b` that are the same point, in pairs."""
    track = {key: k for k, key in enumerate(_keys(b))}
    mine = np.array([track.get(key, -1) for key in _keys(a)])[a.track_of_row]  # [row of a], track in b
    known = np.flatnonzero(mine >= 0)
    begins = 0.0
    if a.start is not None and b.start is not None:
        begins = float((a.start - b.start) / np.timedelta64(1, "us"))
    times = np.concatenate([_microseconds(a)[known] + begins, _microseconds(b)])
    moment = np.unique(times, return_inverse=True)[1]
    points = np.concatenate([mine[known], b.track_of_row]) * len(times) + moment
    count = len(known)
    _, at, theirs = np.intersect1d(points[:count], points[count:], assume_unique=True, return_indices=True)
    ours = known[at]
    same = (a.xy[ours] == b.xy[theirs]).all(axis=1)
    return ours[same], theirs[same]


def _keys(tracks: Tracks) -> list[tuple[str, int | str]]:
    """Scene and id of each track."""
    scenes = np.asarray(tracks.scenes).tolist()
    return [(tracks.scene_ids[scene], item) for scene, item in zip(scenes, tracks.item_ids, strict=True)]


def _microseconds(tracks: Tracks) -> np.ndarray:
    """Time of each row since frame 0."""
    return np.round(tracks.frames * (tracks.dt * 1e6))
