"""Whether two sets of tracks hold a point in common."""

from __future__ import annotations

import numpy as np

from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["shares_points"]


def shares_points(a: Tracks, b: Tracks) -> bool:
    """Whether both hold a point of one track (id, in the scene of one name) at one time and place.

    Times are those of the clock where both have one, else the seconds of each recording from its frame 0 on;
    so what is thinned, cut or put in another order still shares its points.
    """
    track = {key: k for k, key in enumerate(_keys(b))}
    mine = np.array([track.get(key, -1) for key in _keys(a)])[a.track_of_row]  # [row of a], track in b
    known = mine >= 0
    begins = 0.0
    if a.start is not None and b.start is not None:
        begins = float((a.start - b.start) / np.timedelta64(1, "us"))
    times = np.concatenate([_microseconds(a)[known] + begins, _microseconds(b)])
    moment = np.unique(times, return_inverse=True)[1]
    points = np.concatenate([mine[known], b.track_of_row]) * len(times) + moment
    count = int(known.sum())
    _, ours, theirs = np.intersect1d(points[:count], points[count:], assume_unique=True, return_indices=True)
    return bool((a.xy[known][ours] == b.xy[theirs]).all(axis=1).any())


def _keys(tracks: Tracks) -> list[tuple[str, int | str]]:
    """Scene and id of each track."""
    scenes = np.asarray(tracks.scenes).tolist()
    return [(tracks.scene_ids[scene], item) for scene, item in zip(scenes, tracks.item_ids, strict=True)]


def _microseconds(tracks: Tracks) -> np.ndarray:
    """Time of each row since frame 0."""
    return np.round(tracks.frames * (tracks.dt * 1e6))
