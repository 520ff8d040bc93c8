"""Bodies of REST requests for models of task `graph`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.series.columns import (
    check_span,
    column_names,
    freq_of,
    rows_of,
    steps_asked,
    target_names_of,
    times,
    zone_of,
)
from forecast_core.series.example import ExampleData
from forecast_core.series.serving import Columns, as_targets
from forecast_core.serving.request import ForecastRequest, ItemId, Name, Number, TensorSpec, Time
from forecast_traffic.graph.clock import days
from forecast_traffic.graph.panel import GraphPanel

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["GraphRequest"]

_Ahead = Annotated[list[Number | None], Field(min_length=1, max_length=110_000)]
_Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
_Kinds = Annotated[list[Annotated[int, Field(ge=-1, le=1_000_000)]], Field(min_length=1, max_length=110_000)]


class GraphRequest(ForecastRequest):
    """The recent history of a network's nodes on one time grid, and what is known of the future.

    context: channel name -> [node][time], null where missing; a model with one channel also takes it under
    the name "target". timestamps: [time], increasing, one step of `freq` apart; without a zone they are UTC.
    node_ids: default is the nodes of training. weather: name -> [time + steps ahead], null where unknown;
    weather_type and event_ids: [time + steps ahead]. The graph is the one the model was trained on. freq, tz,
    holidays: default is those of training.
    """

    data_fields: ClassVar[Mapping[str, str]] = {
        "data": "context",
        "values": "context",
        "item_ids": "node_ids",
        "target_names": "context",
    }

    context: Annotated[Columns, Field(min_length=1, max_length=1_000)]
    timestamps: Annotated[list[Time], Field(min_length=1, max_length=100_000)]
    node_ids: Annotated[list[ItemId], Field(min_length=1, max_length=10_000)] | None = None
    weather: dict[Name, _Ahead] = Field(default_factory=dict, max_length=100)
    weather_type: _Kinds | None = None
    event_ids: _Kinds | None = None
    freq: Annotated[str, Field(min_length=1, max_length=30)] | None = None
    tz: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    holidays: Annotated[list[_Day], Field(max_length=10_000)] | None = None

    def to_data(self, info: ModelInfo) -> GraphPanel:
        """The panel of this request, without edges; InvalidInputError, or one of its kinds, naming the field
        that does not fit.
        """
        stamps = times("timestamps", self.timestamps)
        freq = freq_of(self.freq, info, stamps)
        context = as_targets(self.context, info)
        channels = column_names("context", list(context), info, kind="target_names")
        nodes = len(context[channels[0]])
        values = rows_of("context", context, channels, items=nodes, rows=len(stamps))
        ahead = self._ahead(len(stamps))
        check_span("timestamps", stamps[-1], freq, steps=ahead + steps_asked(self.horizon, info))
        if ahead:
            values = np.concatenate([values, np.full((ahead, *values.shape[1:]), np.nan)])
            stamps = np.concatenate([stamps, freq.shift(freq.range(stamps[-1], ahead), 1)])
        names = self._weather_names(info)
        weather = np.array([self.weather[name] for name in names], dtype=np.float64).T if names else None
        looks_ahead = weather is not None or self.event_ids is not None
        return GraphPanel(
            values,
            stamps,
            self._nodes(nodes, info),
            np.zeros((2, 0), dtype=np.int64),
            weather=weather,
            weather_type=None if self.weather_type is None else np.array(self.weather_type),
            event_ids=None if self.event_ids is None else np.array(self.event_ids),
            freq=freq,
            tz=zone_of(self.tz, info),
            holidays=None if self.holidays is None else days("holidays", self.holidays),
            channel_names=channels,
            weather_names=names,
            known=len(self.timestamps) if looks_ahead else None,
        )

    def _ahead(self, rows: int) -> int:
        """Rows of the future, which weather and events agree on."""
        given = {f"weather.{name}": len(column) for name, column in self.weather.items()}
        for name in ("weather_type", "event_ids"):
            if getattr(self, name) is not None:
                given[name] = len(getattr(self, name))
        if not given:
            return 0
        first, length = next(iter(given.items()))
        if length < rows:
            raise ShapeError(first, f"has the {rows} times of context and those ahead", got=length)
        other = next((name for name, n in given.items() if n != length), None)
        if other is not None:
            raise ShapeError(other, f"has as many entries as {first} ({length})", got=given[other])
        return length - rows

    def _weather_names(self, info: ModelInfo) -> tuple[str, ...]:
        known: Any = info.data.get("weather")
        if not isinstance(known, list) or not self.weather:
            return tuple(self.weather)
        if info.data.get("weather_by_node"):
            raise InvalidInputError("weather", "is given by node, which a request cannot; ask in Python")
        if set(self.weather) != set(known):
            raise InvalidInputError("weather", f"holds the model's {known}", got=sorted(self.weather))
        return tuple(map(str, known))

    def _nodes(self, count: int, info: ModelInfo) -> tuple[int | str, ...]:
        known: Any = info.data.get("node_ids")
        given = self.node_ids if self.node_ids is not None else known
        ids = tuple(range(count)) if given is None else tuple(given)
        if len(ids) != count:
            raise ShapeError("node_ids", f"has one id a node ({count})", got=len(ids))
        return ids

    @classmethod
    def tensors(cls, info: ModelInfo) -> tuple[TensorSpec, ...]:
        """Channels [node, time], weather and events [time], and the timestamps."""
        names = target_names_of(info) or ("target",)
        found = [TensorSpec(f"context.{name}", "FP64", (-1, -1)) for name in names]
        weather: Any = info.data.get("weather") or ()
        found += [TensorSpec(f"weather.{name}", "FP64", (-1,)) for name in weather]
        for name in ("weather_type", "event_ids"):
            found += [TensorSpec(name, "INT64", (-1,))] if info.data.get(name) else []
        return (*found, TensorSpec("timestamps", "BYTES", (-1,)), TensorSpec("node_ids", "BYTES", (-1,)))

    @classmethod
    def example(cls, info: ModelInfo, *, rows: int) -> dict[str, Any] | None:
        """Waves at every node within the range of training, up to where that ended, and weather and no events
        ahead; None for a model whose weather differs by node, which a request cannot tell.
        """
        made = ExampleData.of(info, rows=rows)
        if made.data.get("weather_by_node"):
            return None
        nodes, ahead = list(made.data.get("node_ids", ())), rows + made.horizon
        body: dict[str, Any] = {
            "context": made.waves("target_names", rows, items=max(len(nodes), 1)),
            "timestamps": made.timestamps(),
            "freq": str(made.freq),
            "horizon": made.horizon,
        }
        if nodes:
            body["node_ids"] = nodes
        if made.data.get("weather"):
            weather = made.waves("weather", ahead, items=1)
            body["weather"] = {name: values[0] for name, values in weather.items()}
        for name in ("weather_type", "event_ids"):
            if made.data.get(name):
                body[name] = [0] * ahead
        return body
