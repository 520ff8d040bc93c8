"""Hypothesis strategies for tests on tracks; needs hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["tracks"]


@st.composite
def tracks(draw: st.DrawFn, *, rows: tuple[int, int] = (2, 30), gaps: bool = True) -> Tracks:
    """Tracks of uneven length in one to three scenes, with or without clock, classes, columns and gaps."""
    count = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = rng.integers(rows[0], rows[1] + 1, count)
    jump = 0.15 if gaps and draw(st.booleans()) else 0.0
    frames = [int(rng.integers(-5, 15)) + np.cumsum(1 + (rng.random(n) < jump)) for n in lengths]
    scenes = draw(st.integers(1, 3))
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["start"] = np.datetime64("2024-03-01T10:00:00", "us")
    if draw(st.booleans()):
        options["classes"] = tuple(rng.choice(["car", "van"], count).tolist())
        options["scenarios"] = tuple(rng.choice(["merge", "follow", "turn"], count).tolist())
    if draw(st.booleans()):
        options["columns"] = {"lane": rng.integers(1, 4, lengths.sum()).astype(float)}
    return Tracks(
        xy=np.concatenate([np.cumsum(rng.normal(0, 1, (n, 2)), 0) for n in lengths]),
        frames=np.concatenate(frames),
        offsets=np.cumsum([0, *lengths]),
        item_ids=tuple(range(count)),
        dt=draw(st.sampled_from([0.1, 0.4, 1 / 30])),
        scenes=rng.integers(0, scenes, count),
        scene_ids=tuple(f"scene-{k}" for k in range(scenes)),
        **options,
    )
