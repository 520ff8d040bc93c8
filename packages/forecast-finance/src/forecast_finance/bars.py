"""`Bars`: open, high, low, close and volume of many symbols, each with timestamps of its own."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from forecast_core.arrays import frozen
from forecast_core.data.instants import instant, instants
from forecast_core.errors import DataError, InvalidInputError, ShapeError, near_misses
from forecast_core.validation import whole
from forecast_finance.bar_rules import DropReport, broken_rules, order_faults
from forecast_finance.bar_windows import BarWindows

__all__ = ["EXECUTION_DELAY", "HORIZONS", "Bars"]

HORIZONS = (3, 5, 10)
EXECUTION_DELAY = 1
"""Bars between a signal (at a close) and its fill (at the next open)."""


@dataclass(frozen=True, eq=False, repr=False)
class Bars:
    """Bars of several symbols, one symbol after the other.

    symbols: names; offsets [symbol + 1]: where each one's rows begin; timestamps [n]: UTC datetime64[us],
    strictly increasing within a symbol; values [n, 5]: open, high, low, close (positive) and volume (not
    negative). interval: time from one bar to the next, as in the data's name ("daily"), kept in
    microseconds. horizons: bars ahead of the returns to predict. start: rows before it are history only: they
    give context to later ones, and nothing is predicted there. dropped: what `from_frame` left out.

    Raises ShapeError for shapes that do not fit, InvalidInputError for an interval or horizons that are none,
    DataError naming symbol, row and rule for a bar that breaks one.
    """

    symbols: tuple[str, ...]
    offsets: np.ndarray
    timestamps: np.ndarray
    values: np.ndarray
    interval: np.timedelta64
    horizons: tuple[int, ...] = HORIZONS
    start: np.datetime64 | None = None
    dropped: DropReport = field(default_factory=DropReport)

    target_names = ("log_return",)

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        stamps = instants("timestamps", self.timestamps)
        offsets = np.asarray(self.offsets, dtype=np.int64)
        if values.ndim != 2 or values.shape[1] != 5 or stamps.shape != values.shape[:1]:
            raise ShapeError(
                "values", "are [n, 5] with a timestamp a row", got=f"{values.shape}, {stamps.shape}"
            )
        if not self.symbols or offsets.shape != (len(self.symbols) + 1,):
            raise ShapeError("offsets", f"are [{len(self.symbols) + 1}], a symbol or more", got=offsets.shape)
        if offsets[0] != 0 or offsets[-1] != len(values) or (np.diff(offsets) < 1).any():
            raise ShapeError("offsets", f"rise from 0 to {len(values)}, a row or more a symbol", got=offsets)
        if len(set(self.symbols)) != len(self.symbols):
            raise DataError("symbols", "are distinct", got=self.symbols)
        object.__setattr__(self, "horizons", _steps(self.horizons))
        object.__setattr__(self, "interval", _length(self.interval))
        if self.start is not None:
            object.__setattr__(self, "start", instant("start", self.start))
        for name, array in (("values", values), ("timestamps", stamps), ("offsets", offsets)):
            object.__setattr__(self, name, frozen(array))
        self._check()

    def _check(self) -> None:
        earlier, equal = order_faults(self.timestamps, self.symbol_of_row)
        for rule, broken in (
            ("has timestamps in order of time", earlier),
            ("has each timestamp once", equal),
            *broken_rules(self.values),
        ):
            if broken.any():
                row = int(broken.argmax())
                symbol = int(self.symbol_of_row[row])
                raise DataError(
                    "bars",
                    rule,
                    place=f"{self.symbols[symbol]} row {row - self.offsets[symbol]} ({self.timestamps[row]})",
                    got=self.values[row].tolist(),
                )

    # construction

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        symbol: str | None = "symbol",
        timestamp: str = "timestamp",
        volume: str = "volume",
        invalid: Literal["error", "drop"] = "error",
        interval: np.timedelta64 | timedelta | None = None,
        horizons: Sequence[int] = HORIZONS,
    ) -> Self:
        """Bars of a long frame (pandas, polars, pyarrow): a row a (symbol, timestamp).

        Columns symbol, timestamp, open, high, low, close and volume, in lower or in title case; symbol
        None: one series, called "series". invalid="drop" leaves out rows that break a rule, duplicates of
        a timestamp included, and tells of them in `dropped`; rows out of order are always an error.
        interval: default the most frequent step between bars. Raises DataError naming symbol, row of the
        frame and rule, InvalidInputError for an interval or horizons that are none.
        """
        from forecast_finance.framing import bars_from_frame

        return bars_from_frame(
            cls,
            frame,
            symbol=symbol,
            timestamp=timestamp,
            volume=volume,
            invalid=invalid,
            interval=None if interval is None else _length(interval),
            horizons=_steps(horizons),
        )

    # what there is

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        first, last = (str(t)[:16] for t in (self.timestamps.min(), self.timestamps.max()))
        kind = type(self).__name__
        return f"<{kind} of {len(self.symbols)} symbols, {len(self):,} rows, {first} to {last}>"

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The symbols."""
        return self.symbols

    @cached_property
    def symbol_of_row(self) -> np.ndarray:
        """Position of each row's symbol [n]."""
        return frozen(np.repeat(np.arange(len(self.symbols)), np.diff(self.offsets)))

    @cached_property
    def position(self) -> np.ndarray:
        """Number of each row within its symbol [n], from 0."""
        return frozen(np.arange(len(self)) - self.offsets[self.symbol_of_row])

    @cached_property
    def remaining(self) -> np.ndarray:
        """Rows after each one within its symbol [n]."""
        return frozen(self.offsets[self.symbol_of_row + 1] - 1 - np.arange(len(self)))

    @cached_property
    def live(self) -> np.ndarray:
        """Which rows are not only history [n]."""
        if self.start is None:
            return frozen(np.ones(len(self), dtype=np.bool_))
        return frozen(self.timestamps >= self.start)

    @cached_property
    def timeline(self) -> np.ndarray:
        """Every time at which some symbol has a bar, from `start` on; sorted."""
        return frozen(np.unique(self.timestamps[self.live]))

    @property
    def close(self) -> np.ndarray:
        """Closing prices [n]."""
        close: np.ndarray = self.values[:, 3]
        return close

    @property
    def reach(self) -> int:
        """Bars after an origin until its last return is earned: the longest horizon and the fill's delay."""
        return self.horizons[-1] + EXECUTION_DELAY

    def traits(self) -> frozenset[str]:
        """Whether there is more than one symbol."""
        return frozenset({"multi_item"} if len(self.symbols) > 1 else ())

    def signature(self) -> dict[str, Any]:
        """Symbols, interval and horizons, for lineage."""
        return {
            "type": "bars",
            "symbols": list(self.symbols),
            "interval_seconds": int(self.interval / np.timedelta64(1, "s")),
            "horizons": list(self.horizons),
        }

    def fingerprint(self) -> str:
        """SHA-256 of the content."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        told = (self.symbols, self.horizons, str(self.start), str(self.interval))
        digest = hashlib.sha256(repr(told).encode())
        for array in (self.offsets, self.timestamps.view(np.int64), self.values):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    # parts

    def between(self, start: Any, stop: Any) -> Self:
        """Bars from `start` up to and without `stop`; None is an open end.

        Bars before `start` stay as history, so that features and lookbacks need no new run-in; bars from
        `stop` on are gone. Symbols without a bar in between are left out. ShapeError if none has one.
        """
        begin = self.start
        if start is not None:
            begin = instant("start", start)
            begin = begin if self.start is None else max(begin, self.start)
        kept = np.ones(len(self), dtype=np.bool_)
        if stop is not None:
            kept &= self.timestamps < instant("stop", stop)
        alive = kept if begin is None else kept & (self.timestamps >= begin)
        present = np.bincount(self.symbol_of_row[alive], minlength=len(self.symbols)) > 0
        if not present.any():
            raise ShapeError("bars", f"have a bar from {start} to before {stop}")
        return self._rows(np.flatnonzero(kept & present[self.symbol_of_row]), start=begin)

    def select_items(self, item_ids: Sequence[str]) -> Self:
        """The bars of some symbols, in the order given; DataError for one that is not there."""
        where = {name: k for k, name in enumerate(self.symbols)}
        for name in item_ids:
            if name not in where:
                raise DataError(
                    "symbols", "are among the bars'", got=repr(name), hint=near_misses(str(name), where)
                )
        if not item_ids:
            raise ShapeError("item_ids", "name a symbol or more")
        spans = [np.arange(self.offsets[where[n]], self.offsets[where[n] + 1]) for n in item_ids]
        return self._rows(np.concatenate(spans), start=self.start)

    def of_groups(self, groups: np.ndarray) -> Self:
        """The bars of some symbols by their positions, in the order given."""
        return self.select_items([self.symbols[int(k)] for k in groups])

    def extended(self, later: Bars) -> Self:
        """These bars followed by later ones (without their history); times have to go on from here."""
        if later.interval != self.interval or later.horizons != self.horizons:
            raise DataError("later", "has the interval and horizons of these bars", got=later.signature())
        own = np.flatnonzero(later.live)
        names = tuple(dict.fromkeys((*self.symbols, *(later.symbols[k] for k in later.symbol_of_row[own]))))
        rank = {name: k for k, name in enumerate(names)}
        mine = np.array([rank[n] for n in self.symbols])[self.symbol_of_row]
        theirs = np.array([rank[n] for n in later.symbols])[later.symbol_of_row[own]]
        symbol = np.concatenate([mine, theirs])
        order = np.argsort(symbol, kind="stable")
        return replace(
            self._plain(),
            symbols=names,
            offsets=_offsets(symbol, len(names)),
            timestamps=np.concatenate([self.timestamps, later.timestamps[own]])[order],
            values=np.concatenate([self.values, later.values[own]])[order],
        )

    def _plain(self) -> Self:
        return self

    def _rows(self, rows: np.ndarray, *, start: np.datetime64 | None) -> Self:
        """Some rows, symbols contiguous, in the order given."""
        of = self.symbol_of_row[rows]
        change = np.flatnonzero(np.diff(of)) + 1
        first = np.concatenate([[0], change])
        return replace(
            self,
            symbols=tuple(self.symbols[k] for k in of[first].tolist()),
            offsets=np.concatenate([first, [len(rows)]]),
            timestamps=self.timestamps[rows],
            values=self.values[rows],
            start=start,
        )

    # what is to be predicted

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> BarWindows:
        """A window for every (origin, symbol), by time, then symbol.

        context_length: bars up to the origin that a symbol needs. horizon: how many of the `horizons` to
        predict, the first ones; default all. origins: times on the timeline; by default every `stride`-th
        at which all returns are known, and earned with a fill one bar later. Raises ShapeError if there
        is none.
        """
        steps = len(self.horizons) if horizon is None else whole("horizon", horizon)
        if steps > len(self.horizons):
            raise InvalidInputError(
                "horizon", f"counts the returns over {self.horizons} bars, the first ones", got=steps
            )
        context = 1 if context_length is None else whole("context_length", context_length)
        chosen = self.live & (self.position + 1 >= context)
        if origins is None:
            times = self.timeline[:: whole("stride", stride)]
            chosen &= self.remaining >= self.reach
        else:
            times = np.atleast_1d(instants("origins", origins))
            absent = np.flatnonzero(~np.isin(times, self.timeline))
            if len(absent):
                raise ShapeError(
                    "origins",
                    "are times of bars",
                    place=f"origin {absent[0]}",
                    got=times[absent[0]],
                )
        rows = np.flatnonzero(chosen & np.isin(self.timestamps, times))
        if not len(rows):
            rule = f"has at least {context} + {self.reach} bars of some symbol around an origin"
            raise ShapeError("data", rule, got=f"{int(np.diff(self.offsets).max())} bars")
        rows = rows[np.lexsort((self.symbol_of_row[rows], self.timestamps[rows]))]
        return BarWindows(self, rows, steps)


def _steps(horizons: Any) -> tuple[int, ...]:
    """Bars ahead as rising ints; InvalidInputError for anything else."""
    given = tuple(horizons) if isinstance(horizons, Iterable) else ()
    with suppress(InvalidInputError):
        steps = tuple(whole("horizons", ahead) for ahead in given)
        if steps and all(low < high for low, high in itertools.pairwise(steps)):
            return steps
    raise InvalidInputError("horizons", "are whole numbers of bars that rise", got=repr(horizons))


def _length(interval: Any) -> np.timedelta64:
    """The time between bars in microseconds; InvalidInputError for what is no length of time, or none."""
    length = np.timedelta64("NaT", "us")
    if isinstance(interval, np.timedelta64 | timedelta):
        with suppress(TypeError):  # months and years have no one length
            length = np.timedelta64(interval, "us")
    if not length > np.timedelta64(0, "us"):
        rule = "is a length of time above 0, such as np.timedelta64(1, 'D')"
        raise InvalidInputError("interval", rule, got=repr(interval))
    return length


def _offsets(symbol: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(symbol, minlength=count))])
