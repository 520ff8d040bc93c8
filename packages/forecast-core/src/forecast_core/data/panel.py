"""`Panel`: many series on one time grid, with covariates; the data of task `series`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from forecast_core.arrays import frozen, positions, row_span
from forecast_core.data.calendar import local_time
from forecast_core.data.content import fingerprint, same_content
from forecast_core.data.continuing import row_of_continuation
from forecast_core.data.frames import build_frame, id_column
from forecast_core.data.freq import Freq
from forecast_core.data.instants import instant, instants
from forecast_core.data.ranges import ranges_of
from forecast_core.data.windows import PanelWindows
from forecast_core.errors import DataError, InvalidInputError, MissingFutureError, ShapeError, near_misses
from forecast_core.validation import whole

__all__ = ["Panel"]

ItemId = int | str


_BY_ROW = ("values", "timestamps", "past_covariates", "future_covariates")


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """values [time, item, target] on a regular grid of timestamps; NaN is a missing value.

    timestamps [time]: UTC datetime64, one step of `freq` apart. past_covariates [time, item, p]: known
    up to now, NaN where missing. future_covariates [time, item, f]: known ahead, never NaN.
    static_covariates [item, s]. tz: the zone whose clock calendar features follow; None takes the
    timestamps as they are. Arrays are copied unless read-only; floats keep their precision.

    A panel with future covariates may end in rows without any target: these are the future, and
    `known_rows` says where it begins. known: where, if the last known rows miss their targets as well
    (None: after the last target). Infinity anywhere, NaN in a future or static covariate, a name given
    twice, duplicate or unsorted timestamps and steps off the grid raise DataError, FrequencyError or
    ShapeError.
    """

    values: np.ndarray
    timestamps: np.ndarray
    item_ids: tuple[ItemId, ...]
    freq: Freq
    target_names: tuple[str, ...] = ("target",)
    past_covariates: np.ndarray | None = None
    past_covariate_names: tuple[str, ...] = ()
    future_covariates: np.ndarray | None = None
    future_covariate_names: tuple[str, ...] = ()
    static_covariates: np.ndarray | None = None
    static_covariate_names: tuple[str, ...] = ()
    tz: str | None = None
    known: int | None = None

    def __post_init__(self) -> None:
        self._put("freq", Freq.parse(self.freq))
        if isinstance(self.item_ids, str) or not isinstance(self.item_ids, Iterable):
            raise DataError("item_ids", "is a list of ids, one an item", got=repr(self.item_ids))
        self._put("item_ids", tuple(_plain(i) for i in self.item_ids))
        self._put("timestamps", frozen(instants("timestamps", self.timestamps)))
        self._put("values", _numbers("values", self.values, "[time, item, target]"))
        self._put("target_names", tuple(self.target_names))
        self._put_covariates("past", "[time, item, covariate]")
        self._put_covariates("future", "[time, item, covariate]")
        self._put_covariates("static", "[item, covariate]")
        self._check()
        self._put_known()

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _put_covariates(self, kind: str, axes: str) -> None:
        field, names = f"{kind}_covariates", tuple(getattr(self, f"{kind}_covariate_names"))
        given = getattr(self, field)
        if given is not None:
            given = _numbers(field, given, axes)
            if given.shape[-1] == 0:
                given = None
            elif not names:
                names = tuple(f"{kind}_{k}" for k in range(given.shape[-1]))
        if len(set(names)) != len(names) or len(names) != (0 if given is None else given.shape[-1]):
            raise ShapeError(f"{kind}_covariate_names", f"are distinct, one a column of {field}", got=names)
        self._put(field, given)
        self._put(f"{kind}_covariate_names", names)

    def _put_known(self) -> None:
        observed = self._observed_rows() if self.future_covariates is not None else len(self)
        known = observed if self.known is None else whole("known", self.known, least=0)
        if not observed <= known <= len(self):
            rule = f"lies between the last row with a target and the end, {observed}..{len(self)}"
            raise DataError("known", rule, got=known)
        self._put("known", None if known == observed else known)
        self._put("_known_rows", known)

    def _observed_rows(self) -> int:
        """Rows up to the last with a target."""
        for row in range(len(self), 0, -1):  # from the end, where it is near
            if not np.isnan(self.values[row - 1]).all():
                return row
        return 0

    def _check(self) -> None:
        rows, items, targets = self.values.shape
        if 0 in self.values.shape:
            raise ShapeError("values", "is not empty on any axis [time, item, target]", got=self.values.shape)
        if self.timestamps.shape != (rows,):
            raise ShapeError("timestamps", f"has one entry a row ({rows})", got=self.timestamps.shape)
        if len(self.item_ids) != items:
            raise ShapeError("item_ids", f"has one id an item ({items})", got=len(self.item_ids))
        _distinct("item_ids", tuple(map(str, self.item_ids)))  # as files, scores and groups name them
        if len(self.target_names) != targets:
            raise ShapeError("target_names", f"has one name a target ({targets})", got=self.target_names)
        covariates = self.past_covariate_names + self.future_covariate_names + self.static_covariate_names
        _distinct("names of columns", ("item_id", "timestamp", *self.target_names, *covariates))
        for name in ("past_covariates", "future_covariates"):
            array = getattr(self, name)
            if array is not None and array.shape[:2] != (rows, items):
                raise ShapeError(name, f"begins [{rows}, {items}] like values", got=array.shape)
        if self.static_covariates is not None and len(self.static_covariates) != items:
            raise ShapeError("static_covariates", f"has {items} rows", got=self.static_covariates.shape)
        self._check_timestamps()
        if self.tz is not None:
            local_time(self.timestamps[:1], self.tz)
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("values", "past_covariates", "future_covariates", "static_covariates"):
            array = getattr(self, name)
            gaps = name in ("values", "past_covariates")
            if array is None or np.isfinite(array).all():
                continue
            wrong = np.isinf(array) if gaps else ~np.isfinite(array)
            if wrong.any():
                place = tuple(int(k) for k in np.argwhere(wrong)[0])
                rule = "is finite, or NaN where missing" if gaps else "is finite, with no missing value"
                raise DataError(name, rule, place=self._place(name, place), got=array[place])

    def _check_timestamps(self) -> None:
        if len(self.timestamps) < 2:
            return
        step = np.diff(self.timestamps).astype(np.int64)
        if (step <= 0).any():
            row = int((step <= 0).argmax()) + 1
            what = "a duplicate" if step[row - 1] == 0 else "earlier than the row before"
            raise DataError(
                "timestamps", "increase strictly", place=f"row {row}", got=f"{self.timestamps[row]}, {what}"
            )
        offsets = self.freq.offset(self.timestamps, self.timestamps[0])
        jumps = np.flatnonzero(np.diff(offsets) != 1)
        if len(jumps):
            row = int(jumps[0]) + 1
            raise DataError(
                "timestamps",
                f"are one step of {self.freq} apart",
                place=f"row {row}",
                got=f"{self.timestamps[row]} after {self.timestamps[row - 1]}",
                hint="keep rows without observations as NaN; Panel.from_frame does so",
            )

    def _place(self, name: str, index: tuple[int, ...]) -> str:
        item = self.item_ids[index[-2]]
        if name == "static_covariates":
            return f"item {item!r}, {self.static_covariate_names[index[-1]]!r}"
        names = {"values": self.target_names, "past_covariates": self.past_covariate_names}.get(
            name, self.future_covariate_names
        )
        return f"{self.timestamps[index[0]]}, item {item!r}, {names[index[-1]]!r}"

    # construction

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        timestamp: str,
        target: str | Sequence[str],
        item_id: str | None = None,
        freq: str | Freq | None = None,
        past_covariates: Sequence[str] = (),
        future_covariates: Sequence[str] = (),
        static_covariates: Sequence[str] = (),
        tz: str | None = None,
    ) -> Panel:
        """From a long frame of pandas, polars or pyarrow: a row an (item, time).

        Rows of an item are in order of time; times an item lacks become NaN. item_id None: one series,
        called by the target's name. freq None: inferred. Times with a zone are turned into UTC, and the
        zone becomes `tz` unless one is given. Raises DataError for a missing column, a duplicate or
        unsorted time (naming item and row), infinity, or a missing future covariate.
        """
        from forecast_core.data.tables import panel_from_long

        return panel_from_long(
            frame,
            timestamp=timestamp,
            targets=(target,) if isinstance(target, str) else tuple(target),
            item_id=item_id,
            freq=freq,
            past=tuple(past_covariates),
            future=tuple(future_covariates),
            static=tuple(static_covariates),
            tz=tz,
        )

    @classmethod
    def from_wide(
        cls,
        frame: Any,
        *,
        timestamp: str,
        items: Sequence[str] | None = None,
        target: str = "target",
        freq: str | Freq | None = None,
        tz: str | None = None,
    ) -> Panel:
        """From a wide frame: a row a time, a column an item (default: every other column)."""
        from forecast_core.data.tables import panel_from_wide

        return panel_from_wide(frame, timestamp=timestamp, items=items, target=target, freq=freq, tz=tz)

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A long frame, a row an (item, time), columns item_id, timestamp, targets and covariates.

        Timestamps are in UTC and name no zone: `from_frame(..., tz=panel.tz)` gives the same panel.
        """
        rows, items, _ = self.values.shape
        columns: dict[str, Any] = {
            "item_id": id_column(self.item_ids, each=rows),
            "timestamp": np.tile(self.timestamps, items),
        }
        for names, array in (
            (self.target_names, self.values),
            (self.past_covariate_names, self.past_covariates),
            (self.future_covariate_names, self.future_covariates),
        ):
            for k, name in enumerate(names if array is not None else ()):
                columns[name] = array[:, :, k].T.reshape(-1)  # type: ignore[index]  # [i*t]
        if self.static_covariates is not None:
            for k, name in enumerate(self.static_covariate_names):
                columns[name] = np.repeat(self.static_covariates[:, k], rows)
        return build_frame(columns, backend=backend)

    # the Data protocol

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def timeline(self) -> np.ndarray:
        """Timestamps of rows, sorted."""
        return self.timestamps

    @property
    def known_rows(self) -> int:
        """Rows up to the last known one; trailing rows that hold only future covariates follow."""
        rows: int = self.__dict__["_known_rows"]
        return rows

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> PanelWindows:
        """Rolling windows, one an (origin, item), all items of an origin together.

        An origin is the last known row. horizon: rows to predict, always needed. context_length: rows of
        context, the origin among them; None takes all history. origins: timestamps of origins; default:
        every `stride`-th row that leaves room for the context before and the horizon after it. Raises
        InvalidInputError for lengths below 1, ShapeError where nothing fits, FrequencyError for an origin
        off the grid.
        """
        return PanelWindows.rolling(
            self, context_length=context_length, horizon=horizon, origins=origins, stride=stride
        )

    def between(self, start: Any, stop: Any) -> Panel:
        """Rows with start <= timestamp < stop; None is an open end. ShapeError if there are none."""
        low = 0 if start is None else self._row("start", start)
        high = len(self) if stop is None else self._row("stop", stop)
        if low >= high:
            raise ShapeError(
                "between",
                f"holds at least one row of {self.timestamps[0]}..{self.timestamps[-1]}",
                got=f"[{start}, {stop})",
            )
        return self.rows(low, high)

    def _row(self, argument: str, time: Any) -> int:
        """Position of the first row not before `time`."""
        return int(np.searchsorted(self.timestamps, instant(argument, time)))

    def rows(self, low: int, high: int) -> Panel:
        """Rows low..high-1 by position; the future begins where it did. ShapeError where there is none."""
        low, high = row_span(low, high, length=len(self))
        known = min(max(self.known_rows - low, 0), high - low)
        changes: dict[str, Any] = {"known": known if self.future_covariates is not None else None}
        for name in _BY_ROW:
            if (array := getattr(self, name)) is not None:
                changes[name] = array[low:high]
        if type(self) is not Panel:  # which may have more to cut, or to check
            return replace(self, **changes)
        part = object.__new__(Panel)  # rows of what was checked need no check
        for field in fields(Panel):
            part._put(field.name, changes.get(field.name, getattr(self, field.name)))
        part._put_known()
        return part

    def fingerprint(self) -> str:
        """SHA-256 of everything the panel holds."""
        return fingerprint(self)

    # what the optional protocols ask

    def traits(self) -> frozenset[str]:
        """Which of the capabilities past_covariates, future_covariates, static_covariates,
        missing_values and multi_item a model needs to take this panel.
        """
        known = self.values[: self.known_rows]
        missing = bool(np.isnan(known).any())
        if self.past_covariates is not None:
            missing = missing or bool(np.isnan(self.past_covariates[: self.known_rows]).any())
        held = {
            "past_covariates": self.past_covariates is not None,
            "future_covariates": self.future_covariates is not None,
            "static_covariates": self.static_covariates is not None,
            "missing_values": missing,
            "multi_item": len(self.item_ids) > 1,
        }
        return frozenset(name for name, holds in held.items() if holds)

    def without(self, traits: frozenset[str]) -> Panel:
        """The panel without its past, future or static covariates; other traits cannot be left out.

        Trailing rows of pure future go with the future covariates.
        """
        panel = self
        if "future_covariates" in traits and self.future_covariates is not None:
            panel = panel.rows(0, max(self.known_rows, 1))
        changes: dict[str, Any] = {}
        for kind in ("past", "future", "static"):
            if f"{kind}_covariates" in traits:
                changes |= {f"{kind}_covariates": None, f"{kind}_covariate_names": ()}
        if "future_covariates" in changes:
            changes["known"] = None
        return replace(panel, **changes) if changes else panel

    def extended(self, later: Panel) -> Panel:
        """This panel followed by `later`, which begins one step after the last known row, or after a row
        of pure future, and takes the place of what future is there.

        Both hold the same items, targets, frequency and future covariates; `later` may lack past
        covariates, which are then missing there. Raises DataError or ShapeError naming what does not fit.
        """
        for name in ("item_ids", "target_names", "freq", "future_covariate_names"):
            if getattr(self, name) != getattr(later, name):
                raise ShapeError(f"later.{name}", f"is {getattr(self, name)}", got=getattr(later, name))
        row = row_of_continuation(self, later)
        if not row:
            return later
        base = self.rows(0, row)
        past, names = base.past_covariates, base.past_covariate_names
        if later.past_covariate_names not in ((), names):
            raise ShapeError("later.past_covariate_names", f"is {names}", got=later.past_covariate_names)
        if past is not None:
            extra = later.past_covariates
            if extra is None:
                extra = np.full((len(later), *past.shape[1:]), np.nan, dtype=past.dtype)
            past = np.concatenate([past, extra])
        future, known = base.future_covariates, None
        if future is not None and later.future_covariates is not None:
            future = np.concatenate([future, later.future_covariates])
            known = row + later.known_rows if later.known_rows else base.known_rows
        return replace(
            base,
            values=np.concatenate([base.values, later.values]),
            timestamps=np.concatenate([base.timestamps, later.timestamps]),
            past_covariates=past,
            future_covariates=future,
            known=known,
        )

    def future_values(self, horizon: int) -> np.ndarray | None:
        """Future covariates [horizon, item, f] of the steps after the known rows, None if there are none.

        Raises MissingFutureError where fewer than `horizon` rows of them are there.
        """
        horizon, known = whole("horizon", horizon), self.known_rows
        if self.future_covariates is None:
            return None
        have = len(self) - known
        if have < horizon:
            names, first = list(self.future_covariate_names), self.future_timestamps(1)[0]
            raise MissingFutureError(
                "future",
                f"holds {horizon} rows of {names} from {first} on",
                got=f"{have} rows",
                hint="append rows without target values, or pass predict(..., future=panel)",
            )
        return self.future_covariates[known : known + horizon]

    def future_timestamps(self, horizon: int) -> np.ndarray:
        """Timestamps [horizon] after the last known row."""
        first = self.freq.shift(self.timestamps[0], self.known_rows)
        return self.freq.range(first, whole("horizon", horizon))

    def select_items(self, item_ids: Sequence[ItemId]) -> Panel:
        """The panel of some items, in the order given; InvalidInputError for an unknown one."""
        where = {item: k for k, item in enumerate(self.item_ids)}
        missing = next((item for item in item_ids if item not in where), None)
        if missing is not None:
            hint = near_misses(str(missing), map(str, where))
            raise InvalidInputError("item_ids", "are items of the panel", got=repr(missing), hint=hint)
        index = [where[item] for item in item_ids]
        changes: dict[str, Any] = {"item_ids": tuple(item_ids), "values": self.values[:, index]}
        for name in ("past_covariates", "future_covariates"):
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)[:, index]
        if self.static_covariates is not None:
            changes["static_covariates"] = self.static_covariates[index]
        if self.future_covariates is not None:
            changes["known"] = self.known_rows
        return replace(self, **changes)

    def of_groups(self, groups: np.ndarray) -> Panel:
        """The panel of the items at some positions, as `PanelWindows.groups` names them."""
        index = positions("groups", groups, length=len(self.item_ids))
        return self.select_items([self.item_ids[k] for k in index.tolist()])

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Panel) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows, items, targets = self.values.shape
        span = f"{self.timestamps[0]}..{self.timestamps[-1]}"
        return f"Panel({rows} rows x {items} items x {targets} targets, {self.freq}, {span})"

    def signature(self) -> Mapping[str, Any]:
        """What a manifest or a request tells of a panel: names, frequency, zone and span, ids of the first
        ten items, and smallest and largest value of each column, as JSON values.
        """
        return {
            "type": "panel",
            "freq": str(self.freq),
            "tz": self.tz,
            "items": len(self.item_ids),
            "item_ids": list(self.item_ids[:10]),
            "rows": self.known_rows,
            "target_names": list(self.target_names),
            "past_covariates": list(self.past_covariate_names),
            "future_covariates": list(self.future_covariate_names),
            "static_covariates": list(self.static_covariate_names),
            "start": str(self.timestamps[0]),
            "end": str(self.timestamps[max(self.known_rows, 1) - 1]),
            "ranges": self._ranges(),
        }

    def _ranges(self) -> dict[str, dict[str, list[float]]]:
        return ranges_of(
            {
                "target_names": (self.target_names, self.values[: self.known_rows]),
                "past_covariates": (self.past_covariate_names, self.past_covariates),
                "future_covariates": (self.future_covariate_names, self.future_covariates),
                "static_covariates": (self.static_covariate_names, self.static_covariates),
            }
        )


def _plain(item: Any) -> ItemId:
    value = item.item() if isinstance(item, np.generic) else item
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError("item_ids", "are texts or whole numbers", got=repr(value))
    return value


def _numbers(name: str, array: Any, axes: str) -> np.ndarray:
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan)
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise DataError(name, "holds numbers", got=array.dtype)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != axes.count(",") + 1:
        raise ShapeError(name, f"is {axes}", got=array.shape)
    return frozen(array)


def _distinct(name: str, values: Sequence[Any]) -> None:
    if len(set(values)) != len(values):
        twice = next(v for k, v in enumerate(values) if v in values[:k])
        raise DataError(name, "are distinct", got=f"{twice!r} twice")
