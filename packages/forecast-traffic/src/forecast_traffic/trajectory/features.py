"""Causal features of every row: what could be known of a road user at that moment.

Derivatives are differences to the PAST alone. A centred difference would use the next point, which is what
is to be predicted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_traffic.trajectory.geometry import along, directions, wrapped
from forecast_traffic.trajectory.neighbours import counts_within, nearest
from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["clock_features", "motion_features", "neighbour_features", "with_features"]

_DAY = np.timedelta64(1, "D").astype("timedelta64[us]").astype(np.int64)


def motion_features(data: Tracks) -> dict[str, np.ndarray]:
    """Velocity, acceleration and direction of each row [row], NaN where the history is too short.

    vx, vy (m/s): from the row before. speed (m/s), heading (radians). ax, ay (m/s^2): from the velocity of
    the row before; acceleration: change of speed a second; turn_rate (rad/s): change of heading a second.
    Histories begin anew after a gap.
    """
    first, _ = data.run_of_row
    age = np.arange(len(data.xy)) - first
    velocity = _past_difference(data.xy, age >= 1) / data.dt
    change = _past_difference(velocity, age >= 2) / data.dt
    speed = np.linalg.norm(velocity, axis=1)
    heading = np.arctan2(velocity[:, 1], velocity[:, 0])
    turn = _past_difference(heading[:, None], age >= 2)[:, 0]
    return {
        "vx": velocity[:, 0],
        "vy": velocity[:, 1],
        "speed": speed,
        "heading": heading,
        "ax": change[:, 0],
        "ay": change[:, 1],
        "acceleration": _past_difference(speed[:, None], age >= 2)[:, 0] / data.dt,
        "turn_rate": wrapped(turn) / data.dt,
    }


def _past_difference(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    out = np.full(values.shape, np.nan)
    out[1:] = np.diff(values, axis=0)
    out[~known] = np.nan
    return out


def neighbour_features(data: Tracks, *, radius: float = 10.0, limit: int = 4) -> dict[str, np.ndarray]:
    """The nearest others of each row within `radius` metres, and how dense traffic is there.

    density: others a square metre within the radius. near_<k>_ahead, near_<k>_left (m) and near_<k>_vahead,
    near_<k>_vleft (m/s), k from 1 to `limit`: position and velocity relative to the road user, ahead and to
    the left of its motion; NaN where there is nobody, or no velocity yet.
    """
    if not radius > 0 or limit < 1:
        raise InvalidInputError("radius, limit", "are above 0 m, and at least 1", got=(radius, limit))
    rows = np.arange(len(data.xy))
    motion = motion_features(data)
    velocity = np.stack([motion["vx"], motion["vy"]], axis=1)
    heading = directions(np.nan_to_num(velocity))
    others = nearest(data, rows, radius=radius, limit=limit)
    nobody = (others < 0)[..., None]
    apart = along(np.where(nobody, np.nan, data.xy[others] - data.xy[:, None]), heading)
    faster = along(np.where(nobody, np.nan, velocity[others] - velocity[:, None]), heading)
    found = {"density": counts_within(data, rows, radius=radius) / (np.pi * radius**2)}
    for k in range(limit):
        found |= {
            f"near_{k + 1}_ahead": apart[:, k, 0],
            f"near_{k + 1}_left": apart[:, k, 1],
            f"near_{k + 1}_vahead": faster[:, k, 0],
            f"near_{k + 1}_vleft": faster[:, k, 1],
        }
    return found


def clock_features(data: Tracks) -> dict[str, np.ndarray]:
    """Time of day [row] as sine and cosine of UTC; nothing where the data has no clock."""
    if data.start is None:
        return {}
    since = data.times(data.frames).astype("datetime64[us]").astype(np.int64)
    angle = 2.0 * np.pi * (since % _DAY) / _DAY
    return {"day_sin": np.sin(angle), "day_cos": np.cos(angle)}


def with_features(data: Tracks, *, radius: float = 10.0, limit: int = 4) -> Tracks:
    """The tracks with all features as columns, beside those they have (lane, weather), which stay."""
    found = motion_features(data) | neighbour_features(data, radius=radius, limit=limit)
    return replace(data, columns=found | clock_features(data) | dict(data.columns))
