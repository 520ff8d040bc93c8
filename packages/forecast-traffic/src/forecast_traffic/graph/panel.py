"""`GraphPanel`: speeds or flows at the nodes of a road graph; the data of task `graph`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from forecast_core.arrays import frozen, positions, row_span
from forecast_core.data import Freq, Panel
from forecast_core.data.content import fingerprint, same_content
from forecast_core.data.continuing import row_of_continuation
from forecast_core.data.instants import instant
from forecast_core.data.ranges import ranges_of
from forecast_core.errors import DataError, InvalidInputError, MissingFutureError, ShapeError, near_misses
from forecast_core.validation import whole
from forecast_traffic.graph.clock import Calendar, days
from forecast_traffic.graph.edges import adjacency_matrix, checked_edges, same_edges, subgraph
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["GraphPanel"]

NodeId = int | str

_OVER_TIME = ("values", "timestamps", "mask", "weather", "weather_type", "event_ids")
_WEATHER = ("temperature", "rain", "wind")


@dataclass(frozen=True, eq=False)
class GraphPanel:
    """values [time, node, channel] at the nodes of a graph, on a regular grid of timestamps.

    timestamps [time]: UTC datetime64, one step of `freq` apart. edge_index [2, E]: positions of source and
    destination nodes; edge_weight [E]: not negative, 1 by default. mask [time, node(, channel)]: True where
    a value was observed; NaN is never observed, and missing_value (such as 0 in several public sets) says
    what other number means so. weather [time, w] for all nodes or [time, node, w]: known ahead, NaN where it
    is not; by convention temperature, rain and wind. weather_type [time] or [time, node]: whole numbers from
    0, -1 where unknown. event_ids [time]: 0 for none, else the kind of event, known ahead. tz: the zone whose
    clock calendars follow; None takes the timestamps as they are. holidays: days of that clock whose traffic
    is that of Sundays, also days past the end; dates, or texts such as "2024-12-25".

    A panel with weather or events may end in rows without any value: these are the future, and `known_rows`
    says where it begins; known: where, if the last known rows are unobserved as well.

    Raises ShapeError, DataError or FrequencyError naming the argument and the offending row, edge or node.
    """

    values: np.ndarray
    timestamps: np.ndarray
    node_ids: tuple[NodeId, ...]
    edge_index: np.ndarray
    edge_weight: np.ndarray = None  # type: ignore[assignment]
    mask: np.ndarray = None  # type: ignore[assignment]
    weather: np.ndarray | None = None
    weather_type: np.ndarray | None = None
    event_ids: np.ndarray | None = None
    freq: Freq = "5min"  # type: ignore[assignment]
    tz: str | None = None
    _: KW_ONLY
    channel_names: tuple[str, ...] = ()
    weather_names: tuple[str, ...] = ()
    known: int | None = None
    holidays: tuple[date, ...] | None = None
    missing_value: InitVar[float | None] = None

    def __post_init__(self, missing_value: float | None) -> None:
        ids = tuple(node.item() if isinstance(node, np.generic) else node for node in self.node_ids)
        self._put("node_ids", ids)
        values = self._observed_values(missing_value)
        series = Panel(
            values=values,
            timestamps=self.timestamps,
            item_ids=self._distinct_nodes(values.shape[1]),
            freq=self.freq,
            target_names=tuple(self.channel_names) or _names("channel", values.shape[2], ("speed",)),
            tz=self.tz,
        )
        for name in ("values", "timestamps", "freq"):
            self._put(name, getattr(series, name))
        self._put("channel_names", series.target_names)
        self._put("mask", frozen(~np.isnan(series.values)))
        self._put("holidays", None if self.holidays is None else days("holidays", self.holidays))
        edges = checked_edges(self.edge_index, self.edge_weight, nodes=len(ids))
        self._put("edge_index", edges[0])
        self._put("edge_weight", edges[1])
        self._put_weather()
        self._put_events()
        self._put_known()

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _observed_values(self, missing_value: float | None) -> np.ndarray:
        """Values with NaN wherever they were not observed."""
        values = np.asarray(self.values)
        if values.dtype.kind not in "fiub":
            raise DataError("values", "holds numbers", got=values.dtype)
        if values.ndim != 3:
            hint = "one channel is values[..., None]" if values.ndim == 2 else None
            raise ShapeError("values", "is [time, node, channel]", got=values.shape, hint=hint)
        if 0 in values.shape:
            raise ShapeError("values", "is not empty on any axis [time, node, channel]", got=values.shape)
        if self.mask is None and missing_value is None:
            return values
        values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float64)
        observed = np.ones(values.shape, dtype=np.bool_)
        if self.mask is not None:
            mask = np.asarray(self.mask)
            if mask.dtype != np.bool_:
                raise DataError("mask", "is boolean, True where observed", got=mask.dtype)
            mask = mask[..., None] if mask.ndim == 2 else mask
            if mask.shape not in (values.shape, (*values.shape[:2], 1)):
                raise ShapeError("mask", f"has the shape of values {values.shape}", got=mask.shape)
            observed &= mask
        if missing_value is not None:
            observed &= values != missing_value
        return np.where(observed, values, np.nan).astype(values.dtype, copy=False)

    def _distinct_nodes(self, count: int) -> tuple[NodeId, ...]:
        if len(self.node_ids) != count:
            raise ShapeError("node_ids", f"has one id a node ({count})", got=len(self.node_ids))
        seen: set[NodeId] = set()
        for k, node in enumerate(self.node_ids):
            if isinstance(node, bool) or not isinstance(node, int | str):
                raise DataError("node_ids", "are texts or whole numbers", place=f"node {k}", got=repr(node))
            if node in seen:
                raise DataError("node_ids", "are distinct", place=f"node {k}", got=repr(node))
            seen.add(node)
        return self.node_ids

    def _put_weather(self) -> None:
        names = tuple(self.weather_names)
        if self.weather is None:
            if self.weather_type is not None or names:
                raise DataError("weather", "is there where weather_type or weather_names is")
            return
        weather = np.asarray(self.weather)
        if weather.dtype.kind not in "fiub":
            raise DataError("weather", "holds numbers", got=weather.dtype)
        rows, nodes, _ = self.values.shape
        if weather.ndim not in (2, 3) or weather.shape[:-1] not in ((rows,), (rows, nodes)):
            rule = f"is [{rows}, w] or [{rows}, {nodes}, w]"
            raise ShapeError("weather", rule, got=weather.shape)
        weather = weather if weather.dtype in (np.float32, np.float64) else weather.astype(np.float64)
        infinite = np.argwhere(np.isinf(weather))
        if len(infinite):
            place = f"row {infinite[0][0]}"
            raise DataError("weather", "is finite, or NaN where unknown", place=place)
        names = names or _names("weather", weather.shape[-1], _WEATHER)
        if len(names) != weather.shape[-1] or len(set(names)) != len(names):
            raise ShapeError("weather_names", "are distinct, one a column of weather", got=names)
        self._put("weather", frozen(weather))
        self._put("weather_names", names)
        if self.weather_type is not None:
            kinds = _whole_numbers("weather_type", self.weather_type, least=-1)
            if kinds.shape != weather.shape[:-1]:
                raise ShapeError("weather_type", f"is {weather.shape[:-1]} as weather is", got=kinds.shape)
            self._put("weather_type", kinds)

    def _put_events(self) -> None:
        if self.event_ids is not None:
            events = _whole_numbers("event_ids", self.event_ids, least=0)
            if events.shape != (len(self),):
                raise ShapeError("event_ids", f"has one id a row ({len(self)})", got=events.shape)
            self._put("event_ids", events)

    def _put_known(self) -> None:
        observed = len(self)
        if self.looks_ahead:
            rows = np.flatnonzero(self.mask.any(axis=(1, 2)))
            observed = int(rows[-1]) + 1 if len(rows) else 0
        known = observed if self.known is None else whole("known", self.known, least=0)
        if not observed <= known <= len(self):
            rule = f"lies between the last row with a value and the end, {observed}..{len(self)}"
            raise DataError("known", rule, got=known)
        self._put("known", None if known == observed else known)
        self._put("_known_rows", known)

    # what it holds

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def timeline(self) -> np.ndarray:
        """Timestamps of rows, sorted."""
        return self.timestamps

    @property
    def known_rows(self) -> int:
        """Rows up to the last known one; trailing rows that hold only weather or events follow."""
        rows: int = self.__dict__["_known_rows"]
        return rows

    @property
    def item_ids(self) -> tuple[NodeId, ...]:
        """The nodes, under the name that core gives to what has a row in a prediction."""
        return self.node_ids

    @property
    def target_names(self) -> tuple[str, ...]:
        """The channels, under core's name for what is predicted."""
        return self.channel_names

    @property
    def calendar(self) -> Calendar:
        """Zone and holidays."""
        return Calendar(self.tz, self.holidays)

    @property
    def looks_ahead(self) -> bool:
        """Whether the panel holds something that is known ahead: weather or events."""
        return self.weather is not None or self.event_ids is not None

    @cached_property
    def series(self) -> Panel:
        """The known rows as a panel of single series, without graph, weather and events."""
        known = self.known_rows
        if not known:
            raise ShapeError("values", "hold a row that is known", got=f"{len(self)} rows of pure future")
        return Panel(
            values=self.values[:known],
            timestamps=self.timestamps[:known],
            item_ids=self.node_ids,
            freq=self.freq,
            target_names=self.channel_names,
            tz=self.tz,
        )

    def adjacency(self) -> np.ndarray:
        """Weights [node, node] from row to column; those of equal edges add up."""
        return adjacency_matrix(self.edge_index, self.edge_weight, nodes=len(self.node_ids))

    def future_timestamps(self, horizon: int) -> np.ndarray:
        """Timestamps [horizon] after the last known row."""
        first = self.freq.shift(self.timestamps[0], self.known_rows)
        return self.freq.range(first, whole("horizon", horizon))

    def need_future(self, horizon: int) -> None:
        """MissingFutureError unless `horizon` rows after the known ones are there."""
        have, first = len(self) - self.known_rows, self.future_timestamps(1)[0]
        if have < horizon:
            held = ("weather",) * (self.weather is not None) + ("event_ids",) * (self.event_ids is not None)
            raise MissingFutureError(
                "future",
                f"holds {horizon} rows of {' and '.join(held)} from {first} on",
                got=f"{have} rows",
                hint="append rows whose values are NaN (weather that is unknown may be NaN too), or pass "
                "predict(..., future=panel)",
            )

    # the Data protocol

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> GraphWindows:
        """Rolling windows, one an (origin, node), all nodes of an origin together; see `Panel.windows`."""
        return GraphWindows.rolling(
            self, context_length=context_length, horizon=horizon, origins=origins, stride=stride
        )

    def between(self, start: Any, stop: Any) -> GraphPanel:
        """Rows with start <= timestamp < stop; None is an open end. ShapeError if there are none."""
        low = 0 if start is None else int(np.searchsorted(self.timestamps, instant("start", start)))
        high = len(self) if stop is None else int(np.searchsorted(self.timestamps, instant("stop", stop)))
        if low >= high:
            span = f"{self.timestamps[0]}..{self.timestamps[-1]}"
            raise ShapeError("between", f"holds at least one row of {span}", got=f"[{start}, {stop})")
        return self.rows(low, high)

    def rows(self, low: int, high: int) -> GraphPanel:
        """Rows low..high-1 by position; the future begins where it did. ShapeError where there is none."""
        low, high = row_span(low, high, length=len(self))
        known = min(max(self.known_rows - low, 0), high - low)
        cut = {name: array[low:high] for name in _OVER_TIME if (array := getattr(self, name)) is not None}
        return replace(self, known=known if self.looks_ahead else None, **cut)

    def fingerprint(self) -> str:
        """SHA-256 of everything the panel holds."""
        return fingerprint(self)

    # what the optional protocols ask

    def traits(self) -> frozenset[str]:
        """Which of the capabilities future_covariates (weather or events), missing_values and multi_item a
        model needs to take this panel.
        """
        held = {
            "future_covariates": self.looks_ahead,
            "missing_values": not self.mask[: self.known_rows].all(),
            "multi_item": len(self.node_ids) > 1,
        }
        return frozenset(name for name, holds in held.items() if holds)

    def without(self, traits: frozenset[str]) -> GraphPanel:
        """The panel without its weather and events (trait future_covariates), and the future rows that come
        with them; other traits cannot be left out.
        """
        if "future_covariates" not in traits or not self.looks_ahead:
            return self
        known = self.rows(0, max(self.known_rows, 1))
        return replace(known, weather=None, weather_type=None, weather_names=(), event_ids=None, known=None)

    def extended(self, later: GraphPanel) -> GraphPanel:
        """This panel followed by `later`, which begins one step after the last known row, or after a row of
        pure future, and takes the place of what future is there.

        Both have the same nodes, in whatever order, channels, frequency, and kinds of weather and events, and
        the same edges and zone; a panel without any takes those of the other. Holidays are those of both.
        Raises DataError or ShapeError naming what does not fit.
        """
        for name in ("channel_names", "freq", "weather_names"):
            if getattr(self, name) != getattr(later, name):
                raise ShapeError(f"later.{name}", f"is {getattr(self, name)}", got=getattr(later, name))
        if self.node_ids != later.node_ids:
            if set(self.node_ids) != set(later.node_ids):
                raise ShapeError("later.node_ids", f"are {self.node_ids}, in any order", got=later.node_ids)
            later = later.select_items(self.node_ids)
        edges, other = (self.edge_index, self.edge_weight), (later.edge_index, later.edge_weight)
        if not edges[0].size:
            edges = other
        elif other[0].size and not same_edges(edges, other):
            raise DataError("later.edge_index", "is that of the panel to be extended, or has no edge")
        if None not in (self.tz, later.tz) and self.tz != later.tz:
            raise DataError("later.tz", f"is {self.tz}, or not told", got=later.tz)
        row = row_of_continuation(self, later)
        calendar = self.calendar.joined(later.calendar)
        joined: dict[str, Any] = {
            "edge_index": edges[0],
            "edge_weight": edges[1],
            "tz": calendar.tz,
            "holidays": calendar.holidays,
        }
        if not row:
            return replace(later, **joined)
        for name in _OVER_TIME:
            mine, other = getattr(self, name), getattr(later, name)
            if (mine is None) != (other is None) or (mine is not None and mine.shape[1:] != other.shape[1:]):
                shapes = [None if a is None else a.shape for a in (mine, other)]
                raise ShapeError(f"later.{name}", f"goes with {shapes[0]}", got=shapes[1])
            if mine is not None:
                joined[name] = np.concatenate([mine[:row], other])
        known = row + later.known_rows if later.known_rows else self.known_rows
        return replace(self, known=known if self.looks_ahead else None, **joined)

    def select_items(self, node_ids: Sequence[NodeId]) -> GraphPanel:
        """The panel of some nodes in the order given, with the edges among them; InvalidInputError for an
        unknown node.
        """
        where = {node: k for k, node in enumerate(self.node_ids)}
        missing = next((node for node in node_ids if node not in where), None)
        if missing is not None:
            hint = near_misses(str(missing), map(str, where))
            raise InvalidInputError("node_ids", "are nodes of the panel", got=repr(missing), hint=hint)
        chosen = np.array([where[node] for node in node_ids], dtype=np.intp)
        edges = subgraph(self.edge_index, self.edge_weight, chosen, nodes=len(where))
        changes: dict[str, Any] = {"values": self.values[:, chosen], "mask": None}
        for name, axes in (("weather", 3), ("weather_type", 2)):
            array = getattr(self, name)
            if array is not None and array.ndim == axes:
                changes[name] = array[:, chosen]
        return replace(
            self,
            node_ids=tuple(node_ids),
            edge_index=edges[0],
            edge_weight=edges[1],
            known=self.known_rows if self.looks_ahead else None,
            **changes,
        )

    def of_groups(self, groups: np.ndarray) -> GraphPanel:
        """The panel of the nodes at some positions, as `GraphWindows.groups` names them."""
        index = positions("groups", groups, length=len(self.node_ids))
        return self.select_items([self.node_ids[k] for k in index.tolist()])

    def signature(self) -> Mapping[str, Any]:
        """What a manifest or a request tells of a panel: names, nodes, frequency, zone and span, and smallest
        and largest number of each channel and of weather.
        """
        return {
            "type": "graph",
            "freq": str(self.freq),
            **self.calendar.to_dict(),
            "items": len(self.node_ids),
            "node_ids": list(self.node_ids),
            "edges": self.edge_index.shape[1],
            "rows": self.known_rows,
            "target_names": list(self.channel_names),
            "weather": list(self.weather_names),
            "weather_type": self.weather_type is not None,
            "weather_by_node": self.weather is not None and self.weather.ndim == 3,
            "event_ids": self.event_ids is not None,
            "start": str(self.timestamps[0]),
            "end": str(self.timestamps[max(self.known_rows, 1) - 1]),
            "ranges": ranges_of(
                {
                    "target_names": (self.channel_names, self.values[: self.known_rows]),
                    "weather": (self.weather_names, self.weather),
                }
            ),
        }

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, GraphPanel) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows, nodes, channels = self.values.shape
        span = f"{self.timestamps[0]}..{self.timestamps[-1]}"
        edges = self.edge_index.shape[1]
        size = f"{rows} rows x {nodes} nodes x {channels} channels"
        return f"GraphPanel({size}, {edges} edges, {self.freq}, {span})"


def _names(kind: str, count: int, usual: tuple[str, ...]) -> tuple[str, ...]:
    """The usual names where there are as many, else `kind`_0, `kind`_1, ..."""
    return usual if count == len(usual) else tuple(f"{kind}_{k}" for k in range(count))


def _whole_numbers(name: str, array: Any, *, least: int) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "iu":
        raise DataError(name, "holds whole numbers", got=array.dtype)
    wrong = np.argwhere(array < least)
    if len(wrong):
        raise DataError(name, f"is at least {least}", place=f"row {wrong[0][0]}", got=array[tuple(wrong[0])])
    return frozen(array.astype(np.int64))
