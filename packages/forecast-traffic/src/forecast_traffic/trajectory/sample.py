"""Small, seeded tracks for conformance checks and examples."""

from __future__ import annotations

import numpy as np

from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["sample_tracks"]

_DT = 0.4


def sample_tracks(seed: int = 0, *, items: int = 8, frames: int = 120) -> Tracks:
    """Road users in two scenes that keep their speed and turn now and then, 2.5 frames a second.

    Pedestrians at about 1.3 m/s and cyclists at about 4 m/s, each there for at least a third of the time, up
    to the end. Their speed and heading are random walks pulled back to their own means.
    """
    rng = np.random.default_rng(seed)
    kinds = np.arange(items) % 2
    begin = np.sort(np.arange(items) * (frames * 2 // 3) // max(items, 1))
    cruise = np.where(kinds == 0, 1.3, 4.0)
    speed, heading, turn = cruise.copy(), rng.uniform(-np.pi, np.pi, items), np.zeros(items)
    at = rng.uniform(-20.0, 20.0, (items, 2))
    points = np.empty((frames, items, 2))
    for k in range(frames):
        points[k] = at
        turn = 0.9 * turn + rng.normal(0.0, 0.05, items)
        speed = np.maximum(speed + 0.2 * (cruise - speed) + rng.normal(0.0, 0.08, items) * cruise, 0.0)
        heading = heading + turn * _DT
        at = at + _DT * speed[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    rows = [np.arange(b, frames) for b in begin.tolist()]
    return Tracks(
        xy=np.concatenate([points[row, k] for k, row in enumerate(rows)]),
        frames=np.concatenate(rows),
        offsets=np.cumsum([0, *map(len, rows)]),
        item_ids=tuple(f"track-{k}" for k in range(items)),
        dt=_DT,
        scenes=(np.arange(items) // 2) % 2,
        scene_ids=("square", "street"),
        start=np.datetime64("2024-05-01T08:00", "us"),
        classes=tuple(("pedestrian", "cyclist")[k] for k in kinds.tolist()),
        scenarios=tuple(("walking", "riding")[k] for k in kinds.tolist()),
    )
