"""What a trained network keeps of the panel it was fitted on, and asks of later ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from forecast_core.errors import DataError, MissingFutureError
from forecast_traffic.graph.clock import Calendar
from forecast_traffic.graph.known import check_same_kind, node_positions
from forecast_traffic.graph.panel import GraphPanel, NodeId

__all__ = ["TrainingPanel"]

_LEAVE_OUT = "leave it out: data.without({'future_covariates'}), or fit with it"


@dataclass(frozen=True)
class TrainingPanel:
    """nodes, channels, freq, weather: names, in the order of training. weather_by_node: whether each node had
    its own. weather_types, events: how many kinds were there, 0 where the panel had none. calendar: what the
    dates meant.
    """

    nodes: tuple[NodeId, ...]
    channels: tuple[str, ...]
    freq: str
    weather: tuple[str, ...]
    weather_by_node: bool
    weather_types: int
    events: int
    calendar: Calendar

    @classmethod
    def of(cls, panel: GraphPanel) -> Self:
        """What there is to keep of a panel."""
        kinds, events = panel.weather_type, panel.event_ids
        return cls(
            nodes=panel.node_ids,
            channels=panel.channel_names,
            freq=str(panel.freq),
            weather=panel.weather_names,
            weather_by_node=panel.weather is not None and panel.weather.ndim == 3,
            weather_types=0 if kinds is None else int(kinds.max()) + 1,
            events=0 if events is None else int(events.max()) + 1,
            calendar=panel.calendar,
        )

    def check(self, panel: GraphPanel) -> None:
        """Raise unless the panel has the nodes, channels, frequency, weather and events of training.

        FrequencyError, ShapeError or DataError naming what is other; MissingFutureError where weather or
        events are not there at all. A type of weather that is not given is unknown.
        """
        check_same_kind(panel, freq=self.freq, channels=self.channels)
        node_positions(panel, self.nodes)
        if len(panel.node_ids) != len(self.nodes):
            missing = next(node for node in self.nodes if node not in set(panel.node_ids))
            raise DataError("data.node_ids", "hold every node of training", got=f"no {missing!r}")
        self._check_weather(panel)
        if self.events and panel.event_ids is None:
            raise MissingFutureError("data.event_ids", "are given as in training", hint="0 is no event")
        for name, kinds, limit in (
            ("event_ids", panel.event_ids, self.events),
            ("weather_type", panel.weather_type, self.weather_types),
        ):
            if kinds is None:
                continue
            if not limit:
                raise DataError(f"data.{name}", "was there in training", hint=_LEAVE_OUT)
            new = np.argwhere(kinds >= limit)
            if len(new):
                place, rule = tuple(new[0].tolist()), f"were all seen in training, 0..{limit - 1}"
                raise DataError(f"data.{name}", rule, place=f"row {place[0]}", got=int(kinds[place]))

    def _check_weather(self, panel: GraphPanel) -> None:
        rule = f"holds {list(self.weather)} as in training"
        if self.weather and panel.weather is None:
            hint = "weather that is unknown may be NaN"
            raise MissingFutureError("data.weather", rule, hint=hint)
        if panel.weather is None:
            return
        if panel.weather_names != self.weather:
            raise DataError("data.weather", rule, got=list(panel.weather_names), hint=_LEAVE_OUT)
        if (panel.weather.ndim == 3) != self.weather_by_node:
            wanted = "[time, node, w]" if self.weather_by_node else "[time, w]"
            raise DataError("data.weather", f"is {wanted} as in training", got=panel.weather.shape)

    def ordered(self, panel: GraphPanel) -> tuple[GraphPanel, np.ndarray]:
        """The panel with its nodes in the order of training and, where it does not tell them, the zone and
        holidays of training; and where each of its own nodes went.
        """
        calendar = panel.calendar.or_else(self.calendar)
        if calendar != panel.calendar:
            panel = replace(panel, tz=calendar.tz, holidays=calendar.holidays)
        positions = node_positions(panel, self.nodes)
        if (positions == np.arange(len(positions))).all():
            return panel, positions
        return panel.select_items(self.nodes), positions

    def to_json(self) -> str:
        """Text from which `from_json` makes an equal one."""
        return json.dumps(asdict(self) | {"calendar": self.calendar.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote; KeyError or TypeError where it is not."""
        found: dict[str, Any] = json.loads(text)
        for name in ("nodes", "channels", "weather"):
            found[name] = tuple(found[name])
        found["calendar"] = Calendar.from_dict(found["calendar"])
        return cls(**found)
