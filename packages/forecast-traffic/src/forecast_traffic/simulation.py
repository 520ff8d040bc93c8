"""`simulate_network`: a road network whose future is known as a distribution, exactly.

Speed of node n at step t is a profile of its own, less what rain and incidents cost, plus waves:

    y[t, n] = profile[n](clock of t) - rain_cost[n] (1 - exp(-rain[t] / 2)) + x[t, n]
              - incident_cost * sum_j decay^j z[t - j, d^j(n)],  j = 0, 1, 2

The profile has morning and evening rush hours on working days, deeper on some nodes and later upstream. Waves
x[t + 1] = A x[t] + e[t + 1] hang on, and travel upstream: A has `persistence` on its diagonal and `travel`
from a node's downstream neighbour; e is Gaussian, wider in the rush hours. d(n) is the node downstream of n,
so an incident slows the road behind it a step later for each link (a kinematic wave). z is a two-state Markov
chain of its own at every node. Rain is known ahead; sensors fail for a while now and then.

Given the state at an origin (x, and z up to then), each later step is a mixture of Gaussians: the waves are a
linear Gaussian process, and the three chains that touch a node are independent, which makes eight components.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from forecast_core.data import Freq
from forecast_core.data.instants import instant
from forecast_core.errors import InvalidInputError, near_misses
from forecast_core.prediction import MixturePrediction
from forecast_core.validation import whole
from forecast_traffic.graph.clock import clock, slots_of_day
from forecast_traffic.graph.panel import GraphPanel, NodeId
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["SimulatedNetwork", "simulate_network"]

_REACH = 3  # nodes an incident is felt at: its own and two upstream
_DECAY = 0.6
_PERSISTENCE, _TRAVEL = 0.72, 0.2
_WET, _DRY = 90.0, 480.0  # minutes a spell of rain, and between two, lasts on average
_INCIDENT = 45.0  # minutes
_OUTAGE = 60.0


@dataclass(frozen=True, eq=False)
class SimulatedNetwork:
    """What `simulate_network` made: the panel, and what no sensor shows.

    expected [time, node]: profile less rain, in mph; waves [time, node]; incidents [time, node], True while
    one lasts at the node; noise [time, node]: variance of e; transition [node, node]: A; downstream [node]:
    the next node, or -1; incident_cost in mph; begins, ends: probabilities that an incident begins or ends
    in a step.
    """

    panel: GraphPanel
    expected: np.ndarray
    waves: np.ndarray
    incidents: np.ndarray
    noise: np.ndarray
    transition: np.ndarray
    downstream: np.ndarray
    incident_cost: float
    begins: float
    ends: float

    def conditional(self, windows: GraphWindows) -> MixturePrediction:
        """The exact distribution of every target of some windows of the panel, given the state at its origin.

        A row a window, eight components; a model that sees speeds alone can at best come near. The windows
        may be of a part of the panel, as splits cut it; InvalidInputError for those of other data.
        """
        panel, steps = self.panel, windows.horizon
        where = {node: k for k, node in enumerate(panel.node_ids)}
        rows, nodes = self._places(windows, where)
        centre = self.expected[rows[:, None] + np.arange(1, steps + 1), nodes[:, None]]  # [n, h]
        spread = np.empty_like(centre)
        origins, of = np.unique(rows, return_inverse=True)
        state, power = self.waves[origins], np.eye(len(where))  # [o, node], A^0
        squares: list[np.ndarray] = []
        for h in range(1, steps + 1):
            squares.append(power**2)
            power = power @ self.transition
            centre[:, h - 1] += (state @ power.T)[of, nodes]
            variance = sum(self.noise[origins + h - j] @ squares[j].T for j in range(h))
            spread[:, h - 1] = np.sqrt(variance[of, nodes])
        weights, means = self._incident_components(rows, nodes, steps)
        return MixturePrediction(
            item_ids=windows.item_ids,
            steps=tuple(range(1, steps + 1)),
            timestamps=windows.timestamps(),
            target_names=panel.channel_names,
            weights=weights[:, :, None],
            means=(centre[..., None] + means)[:, :, None],
            sigmas=np.broadcast_to(spread[..., None], weights.shape)[:, :, None].copy(),
        )

    def _places(self, windows: GraphWindows, where: dict[NodeId, int]) -> tuple[np.ndarray, np.ndarray]:
        """Row of the origin [n] and node [n] of each window; InvalidInputError where one is not ours."""
        panel, given = self.panel, windows.panel
        rule = "are of this network's panel"
        if given.freq != panel.freq:
            raise InvalidInputError("windows", rule, got=f"steps of {given.freq}")
        unknown = next((node for node in windows.item_ids if node not in where), None)
        if unknown is not None:
            hint = near_misses(str(unknown), map(str, where))
            raise InvalidInputError("windows", rule, got=f"node {unknown!r}", hint=hint)
        nodes = np.array([where[node] for node in windows.item_ids], dtype=np.intp)
        rows = panel.freq.offset(windows.origins, panel.timestamps[0])
        outside = np.flatnonzero((rows < 0) | (rows + windows.horizon >= len(panel)))
        if len(outside):
            place, got = f"window {outside[0]}", f"origin {windows.origins[outside[0]]}"
            raise InvalidInputError("windows", rule, place=place, got=got)
        shown, true = given.values[windows.rows, windows.items], panel.values[rows, nodes]  # [n, channel]
        other = np.flatnonzero(~np.isclose(shown, true, rtol=1e-5) & np.isfinite(shown) & np.isfinite(true))
        if len(other):
            at = int(other[0] // true.shape[1])
            got = f"{shown[at, 0]:g} where it holds {true[at, 0]:g}"
            raise InvalidInputError("windows", rule, place=f"window {at}", got=got)
        return rows, nodes

    def _incident_components(
        self, rows: np.ndarray, nodes: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Weights and shifts [n, h, 8] by which of the three chains that touch a node are on."""
        usual = self.begins / (self.begins + self.ends)
        memory = 1.0 - self.begins - self.ends
        on = np.zeros(
            (_REACH, len(rows), steps)
        )  # probability that the chain j links ahead is on, j steps ago
        at = nodes
        for j in range(_REACH):
            ahead = np.arange(1, steps + 1) - j  # [h], steps after the origin
            then = rows[:, None] + np.minimum(ahead, 0)  # [n, h]; nothing is felt of before the first row
            past = self.incidents[np.maximum(then, 0), at[:, None]] & (then >= 0)
            later = usual + memory ** np.maximum(ahead, 0) * (past - usual)
            on[j] = np.where((at >= 0)[:, None], np.where(ahead <= 0, past, later), 0.0)
            at = np.where(at >= 0, self.downstream[at], -1)
        weights = np.empty((len(rows), steps, 2**_REACH))
        shifts = np.empty(2**_REACH)
        for k, states in enumerate(product((False, True), repeat=_REACH)):
            weights[..., k] = np.prod([on[j] if z else 1 - on[j] for j, z in enumerate(states)], axis=0)
            shifts[k] = -self.incident_cost * sum(_DECAY**j for j, z in enumerate(states) if z)
        return weights, np.broadcast_to(shifts, weights.shape)


def simulate_network(
    nodes: int = 20,
    days: int = 28,
    *,
    seed: int = 0,
    freq: str = "5min",
    start: str = "2024-01-01",
    rain: bool = True,
    incidents_per_day: float = 0.5,
    missing: float = 0.03,
) -> SimulatedNetwork:
    """A network of one-way roads with rush hours, rain, incidents and failing sensors; speeds in mph.

    nodes in roads of up to eight, each road running into the middle of the next; edges lead from a node to
    the next one downstream and back, weight 1. incidents_per_day: at each node, 0 for none. missing: share
    of values that failing sensors lose, for an hour on average, or for longer where that share takes it. The
    panel has weather (temperature in degrees C, rain in mm/h, wind in m/s) and its type (0 dry, 1 rain, 2
    heavy rain) unless `rain` is False. The module's text says how speeds come about. Raises InvalidInputError
    for sizes or shares out of bounds.
    """
    count, grid = whole("nodes", nodes), Freq.parse(freq)
    if not 0 <= missing < 0.9:
        raise InvalidInputError("missing", "is a share in [0, 0.9)", got=missing)
    slots = slots_of_day(grid)
    minutes = 1440.0 / slots
    begins = incidents_per_day / slots
    if not 0 <= begins < 0.2:
        raise InvalidInputError(
            "incidents_per_day", "is at least 0, and rarer than steps are", got=incidents_per_day
        )
    rng = np.random.default_rng(seed)
    rows = slots * whole("days", days)
    timestamps = grid.range(instant("start", start), rows)
    downstream, position = _roads(count)
    slot, weekday, _ = np.moveaxis(clock(timestamps, grid), -1, 0)
    rush = _rush(slot / slots * 24.0, weekday, position, rng)  # [time, node], 0..1 of the worst
    base = rng.uniform(55.0, 68.0, count)
    weather = _weather(rng, timestamps, minutes=minutes) if rain else np.zeros((rows, 3))
    rain_cost = rng.uniform(5.0, 9.0, count)
    slowed = 1.0 - np.exp(-weather[:, 1] / 2.0)
    expected = base - rng.uniform(8.0, 26.0, count) * rush - rain_cost * slowed[:, None]
    transition = np.eye(count) * _PERSISTENCE
    linked = np.flatnonzero(downstream >= 0)
    transition[linked, downstream[linked]] = _TRAVEL
    noise = (rng.uniform(0.8, 1.3, count) * (1.0 + 1.2 * rush)) ** 2
    noise_draws = rng.normal(size=(rows, count)) * np.sqrt(noise)
    waves = np.zeros((rows, count))
    for t in range(1, rows):  # a recursion in time; all nodes at once
        waves[t] = transition @ waves[t - 1] + noise_draws[t]
    ends = min(minutes / _INCIDENT, 1.0)
    incidents = _chains(rng, rows, count, begins=begins, ends=ends)
    cost = 15.0
    speeds = expected + waves - cost * _felt(incidents, downstream)
    outage_ends = minutes / _OUTAGE
    lost = _chains(rng, rows, count, begins=outage_ends * missing / (1.0 - missing), ends=outage_ends)
    ahead = np.stack([linked, downstream[linked]])
    panel = GraphPanel(
        speeds[..., None],
        timestamps,
        tuple(f"node-{k:02d}" for k in range(count)),
        np.concatenate([ahead, ahead[::-1]], axis=1),
        mask=~lost,
        weather=weather if rain else None,
        weather_type=(weather[:, 1] > 0).astype(np.int64) + (weather[:, 1] > 4.0) if rain else None,
        freq=grid,
    )
    return SimulatedNetwork(
        panel, expected, waves, incidents, noise, transition, downstream, cost, begins, ends
    )


def _roads(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The node downstream of each, -1 at the end of the last road, and each one's place along its road."""
    index = np.arange(count)
    road, place = index // 8, index % 8
    downstream = index + 1
    last = np.append(road[1:] != road[:-1], True)
    merge = np.minimum((road + 1) * 8 + 3, count - 1)  # the middle of the next road, or its end
    downstream[last] = np.where((road[last] + 1) * 8 < count, merge[last], -1)
    return downstream, place


def _rush(
    hour: np.ndarray, weekday: np.ndarray, position: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Depth of the rush hours [time, node] in 0..1: morning, evening, and a shallow weekend noon."""
    count = len(position)
    morning, evening = rng.uniform(0.1, 0.7, count), rng.uniform(0.1, 0.7, count)
    late = 0.08 * (7 - position)  # hours; congestion begins downstream and grows backwards
    working = (weekday < 5)[:, None]

    def bump(centre: float, width: float) -> np.ndarray:
        away: np.ndarray = (hour[:, None] - centre - late) / width
        return np.exp(-0.5 * away**2)

    rush = working * (morning * bump(8.0, 0.9) + evening * bump(17.3, 1.2)) + ~working * 0.2 * bump(13.0, 2.5)
    depth: np.ndarray = np.minimum(rush, 1.0)
    return depth


def _weather(rng: np.random.Generator, timestamps: np.ndarray, *, minutes: float) -> np.ndarray:
    """Temperature, rain and wind [time, 3]; a spell of rain has one intensity, changing slowly."""
    rows = len(timestamps)
    wet = _chains(rng, rows, 1, begins=minutes / _DRY, ends=minutes / _WET)[:, 0]
    spell = np.cumsum(np.diff(wet, prepend=False) & wet)
    intensity = rng.gamma(2.0, 1.5, rows + 1)[spell] + 0.3
    day = (timestamps - timestamps.astype("datetime64[D]")) / np.timedelta64(1, "D")
    slow = np.convolve(rng.normal(size=rows + 60), np.ones(60) / 60.0, "valid")[:rows]
    temperature = 12.0 - 6.0 * np.cos(2.0 * np.pi * (day - 0.15)) + 4.0 * slow - 2.0 * wet
    return np.stack([temperature, np.where(wet, intensity, 0.0), np.abs(4.0 + 6.0 * slow)], axis=1)


def _chains(rng: np.random.Generator, rows: int, count: int, *, begins: float, ends: float) -> np.ndarray:
    """Two-state Markov chains [time, count], in their stationary state from the start.

    begins, ends: expected changes a step; where one is above 1, both are rarer by as much, and the share of
    time that chains are on stays.
    """
    most = max(begins, ends, 1.0)
    begins, ends = begins / most, ends / most
    draws = rng.random((rows, count))
    on = np.empty((rows, count), dtype=np.bool_)
    on[0] = draws[0] < begins / (begins + ends)
    for t in range(1, rows):
        on[t] = np.where(on[t - 1], draws[t] >= ends, draws[t] < begins)
    return on


def _felt(incidents: np.ndarray, downstream: np.ndarray) -> np.ndarray:
    """How strongly each node feels incidents [time, node]: its own, and those ahead a step later a link."""
    felt = incidents.astype(np.float64)
    at = downstream.copy()
    for j in range(1, _REACH):
        known = at >= 0
        felt[j:, known] += _DECAY**j * incidents[: len(felt) - j, at[known]]
        at = np.where(known, downstream[at], -1)
    return felt
