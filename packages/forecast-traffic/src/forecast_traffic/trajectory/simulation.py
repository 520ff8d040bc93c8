"""A simulated motorway with lane changes and emergency braking, for what public tracks seldom hold."""

from __future__ import annotations

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["simulate_road"]

_DT = 0.1
_LANES = 3
_WIDTH = 3.6  # metres
_LENGTH = 1000.0  # of the ring, metres
_CAR = 4.5


def simulate_road(seed: int = 0, *, vehicles: int = 40, seconds: float = 60.0) -> Tracks:
    """Vehicles on a ring of three lanes at 10 Hz: x along the road (it does not wrap), y across, in metres.

    Cars follow by the intelligent driver model (Treiber, Hennecke & Helbing 2000) with wishes of their own;
    now and then one brakes at 5 to 8 m/s^2 for a second or two, and those behind it have to. A car behind a
    slower one moves over where the next lane has room, in about four seconds along a smooth path. Columns:
    "lane" (1, 2, 3 from y = 0) and "speed". Positions carry 3 cm of measurement noise.
    """
    if isinstance(vehicles, bool) or not isinstance(vehicles, int) or vehicles < 1:
        raise InvalidInputError("vehicles", "is a whole number of at least 1", got=vehicles)
    frames = round(seconds / _DT)
    if frames < 2:
        raise InvalidInputError("seconds", f"holds at least two frames of {_DT} s", got=seconds)
    rng = np.random.default_rng(seed)
    lane = np.arange(vehicles) % _LANES
    place = (np.arange(vehicles) // _LANES) * _LENGTH / max(-(-vehicles // _LANES), 1)
    along = place + rng.uniform(0.0, 5.0, vehicles)
    wish = rng.normal(28.0, 4.0, vehicles).clip(18.0, 38.0)
    speed = 0.8 * wish
    goal, progress = lane.copy(), np.ones(vehicles)  # progress of the present move across, 1: none
    braking, force = np.zeros(vehicles), np.zeros(vehicles)
    xs, ys, lanes = (np.empty((frames, vehicles)) for _ in range(3))
    speeds = np.empty((frames, vehicles))
    for k in range(frames):
        gap, front = _ahead(along, lane, goal, speed)
        want = _follow(speed, wish, gap, front)
        begins = (rng.random(vehicles) < 0.004 * _DT * 10) & (braking <= 0) & (speed > 15)
        braking = np.where(begins, rng.uniform(1.0, 2.0, vehicles), braking - _DT)
        force = np.where(begins, rng.uniform(5.0, 8.0, vehicles), force)
        pull = np.where(braking > 0, np.minimum(want, -force), want).clip(-9.0, 2.5)
        speed = np.maximum(speed + pull * _DT, 0.0)
        along = along + speed * _DT
        lane, goal, progress = _across(rng, along, speed, lane, goal, progress, slow=want < -0.3)
        smooth = progress**2 * (3.0 - 2.0 * progress)
        across = (lane + (goal - lane) * smooth + 0.5) * _WIDTH
        xs[k], ys[k] = along, across
        lanes[k], speeds[k] = np.floor(across / _WIDTH) + 1, speed
    noise = rng.normal(0.0, 0.03, (2, frames, vehicles))
    return Tracks(
        xy=np.stack([(xs + noise[0]).T.reshape(-1), (ys + noise[1]).T.reshape(-1)], axis=1),
        frames=np.tile(np.arange(frames), vehicles),
        offsets=np.arange(0, frames * vehicles + 1, frames),
        item_ids=tuple(f"car-{k}" for k in range(vehicles)),
        dt=_DT,
        scene_ids=("motorway",),
        classes=("car",) * vehicles,
        columns={"lane": lanes.T.reshape(-1), "speed": speeds.T.reshape(-1)},
    )


def _ahead(
    along: np.ndarray, lane: np.ndarray, goal: np.ndarray, speed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gap in metres and speed of the next car ahead on the ring, in the lane held or moved to."""
    apart = (along[None] - along[:, None]) % _LENGTH  # [car, other]
    shared = np.zeros(apart.shape, dtype=np.bool_)
    for mine in (lane, goal):
        for theirs in (lane, goal):
            shared |= mine[:, None] == theirs[None]
    np.fill_diagonal(shared, False)
    apart = np.where(shared, apart, np.inf)
    front = apart.argmin(1)
    gap = apart[np.arange(len(along)), front]
    return np.maximum(gap - _CAR, 0.5), np.where(np.isfinite(gap), speed[front], speed)


def _follow(speed: np.ndarray, wish: np.ndarray, gap: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Acceleration of the intelligent driver model in m/s^2."""
    wanted = 2.0 + np.maximum(speed * 1.2 + speed * (speed - front) / (2.0 * np.sqrt(1.5 * 2.0)), 0.0)
    pull: np.ndarray = 1.5 * (1.0 - (speed / wish) ** 4 - (wanted / gap) ** 2)
    return pull


def _across(
    rng: np.random.Generator,
    along: np.ndarray,
    speed: np.ndarray,
    lane: np.ndarray,
    goal: np.ndarray,
    progress: np.ndarray,
    *,
    slow: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lanes held, lanes moved to, and how far each move has come, a step later."""
    progress = np.minimum(progress + _DT / 4.0, 1.0)
    done = progress >= 1.0
    lane = np.where(done, goal, lane)
    side = np.where(rng.random(len(lane)) < 0.5, -1, 1)
    target = lane + side
    apart = (along[None] - along[:, None]) % _LENGTH
    near = (apart < 12.0 + 0.5 * speed[:, None]) | (_LENGTH - apart < 15.0 + 0.5 * speed[None])
    there = (goal[None] == target[:, None]) | (lane[None] == target[:, None])
    np.fill_diagonal(near, False)
    room = ~(near & there).any(1)
    keen = rng.random(len(lane)) < np.where(slow, 0.05, 0.002)
    starts = done & room & keen & (target >= 0) & (target < _LANES)
    return lane, np.where(starts, target, np.where(done, lane, goal)), np.where(starts, 0.0, progress)
