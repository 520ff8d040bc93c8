"""What happens within a horizon: lane change, emergency braking, stop, turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["EVENTS", "EventRules", "event_labels"]

EVENTS = ("lane_change", "braking", "stop", "turn")


@dataclass(frozen=True, kw_only=True)
class EventRules:
    """Speeds are means over `over` seconds (at least a step), so that noise of positions is not motion.

    braking: acceleration in m/s^2 below which it is an emergency. stop: speed in m/s that counts as
    standing; moving: speed at the origin from which one can stop or turn. turn: change of direction in
    degrees between the origin and the last third of the horizon, of those who cover `least_way` metres there.
    """

    braking: float = -4.0
    stop: float = 0.2
    moving: float = 0.5
    turn: float = 30.0
    least_way: float = 0.3
    over: float = 0.5


def event_labels(windows: TrackWindows, rules: EventRules | None = None) -> np.ndarray:
    """Labels [n, 4] in the order of EVENTS: 1 it happens within the horizon, 0 it does not, NaN unknown.

    lane_change needs the column "lane". Stops and turns are told of those who move at the origin, and nothing
    of those whose speed there is not known, or whose horizon is not known to its end. Labels look ahead;
    they are targets, never features.
    """
    rules = EventRules() if rules is None else rules
    dt = windows.data.dt
    span = max(1, min(round(rules.over / dt), windows.horizon))  # steps that a speed is taken over
    context, known = windows.contexts(span + 1)
    future, observed = windows.targets()
    whole = observed.all((1, 2)) & known.all(1)
    points = np.concatenate([context, future], axis=1)  # [n, span + 1 + h, 2]
    past = (context[:, -1] - context[:, 0]) / span  # metres a step
    speed = np.linalg.norm(points[:, span:] - points[:, :-span], axis=-1) / (span * dt)  # [n, 1 + h]
    moving = whole & (speed[:, 0] >= rules.moving)
    labels = np.full((len(windows), len(EVENTS)), np.nan)
    braking = ((speed[:, span:] - speed[:, :-span]) / (span * dt)).min(1) < rules.braking
    stopping = speed[:, 1:].min(1) < rules.stop
    labels[whole, 1] = braking[whole]
    labels[moving, 2] = stopping[moving]
    last = max(windows.horizon // 3, 1)
    way = future[:, -1] - (future[:, -1 - last] if last < windows.horizon else context[:, -1])
    cross = past[:, 0] * way[:, 1] - past[:, 1] * way[:, 0]
    angle = np.degrees(np.arctan2(np.abs(cross), (past * way).sum(1)))
    turning = moving & (np.linalg.norm(way, axis=1) >= rules.least_way)
    labels[turning, 3] = angle[turning] > rules.turn
    if "lane" in windows.data.columns:
        here = windows.column_contexts("lane", 1)
        lanes = windows.column_targets("lane")
        told = whole & ~np.isnan(here[:, 0]) & ~np.isnan(lanes).any(1)
        labels[told, 0] = (lanes != here).any(1)[told]
    return labels
