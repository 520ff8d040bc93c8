"""A stream of rows as they arrive: a bounded window of the latest, kept without gaps in its grid."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.data.instants import instants
from forecast_core.errors import ConflictError, DataError, FrequencyError, ShapeError
from forecast_core.validation import listed, numbers, whole

__all__ = ["Appended", "Stream"]


class Appended(NamedTuple):
    """What became of rows. added: new times; filled: times that had missing values; repeated: known
    already; late: before the window, which no prediction sees.
    """

    added: int
    filled: int
    repeated: int
    late: int


class Stream:
    """The latest `capacity` rows [time, item, column] of some series, on the grid of `freq`.

    Rows come in any order and may come again. A time that is not held yet is added, with missing values
    for times left out; a held one has its missing values filled; equal values are ignored, so that a
    request can be repeated; other values raise ConflictError. A row before the window is ignored, one
    more than `capacity` steps after its end is refused. A call of `append` takes all its rows or none.
    Not for several threads at once.
    """

    def __init__(
        self,
        *,
        item_ids: Sequence[int | str],
        freq: str | Freq,
        target_names: Sequence[str] = ("target",),
        past_covariate_names: Sequence[str] = (),
        future_covariate_names: Sequence[str] = (),
        static_covariates: np.ndarray | None = None,
        static_covariate_names: Sequence[str] = (),
        tz: str | None = None,
        capacity: int = 1024,
    ) -> None:
        self.item_ids, self.freq, self.tz = listed("item_ids", item_ids), Freq.parse(freq), tz
        self.target_names = listed("target_names", target_names)
        self.past_covariate_names = listed("past_covariate_names", past_covariate_names)
        self.future_covariate_names = listed("future_covariate_names", future_covariate_names)
        self.static_covariate_names = listed("static_covariate_names", static_covariate_names)
        self.capacity = whole("capacity", capacity)
        self._static = static_covariates
        self._widths = [
            len(names)
            for names in (self.target_names, self.past_covariate_names, self.future_covariate_names)
        ]
        # Rows _start.._start + _count of twice the capacity: moved to the front once per `capacity` rows.
        self._rows = np.empty((2 * self.capacity, len(self.item_ids), sum(self._widths)))
        self._start = self._count = 0
        self._first = np.array(0, dtype="datetime64[us]")
        self.panel_of(np.zeros((1, len(self.item_ids), sum(self._widths))), self._first)  # names are valid

    def __len__(self) -> int:
        return self._count

    @property
    def values_kept(self) -> int:
        """Numbers the stream has room for; eight bytes of names and ids count as one."""
        names = self.target_names + self.past_covariate_names + self.future_covariate_names
        texts = sum(map(sys.getsizeof, (*self.item_ids, *names, *self.static_covariate_names)))
        return int(self._rows.size) + len(self.item_ids) * len(self.static_covariate_names) + texts // 8

    @property
    def last(self) -> np.datetime64 | None:
        """Time of the last row; None before the first."""
        if not self._count:
            return None
        return cast(np.datetime64, self.freq.shift(self._first, self._count - 1)[()])

    def append(
        self,
        timestamps: Any,
        values: np.ndarray,
        *,
        past_covariates: np.ndarray | None = None,
        future_covariates: np.ndarray | None = None,
    ) -> Appended:
        """Take rows: timestamps [row], the others [row, item, column], NaN where missing.

        Raises ShapeError, FrequencyError for a time off the grid, DataError for a time given twice or too
        far ahead, ConflictError for values other than those held.
        """
        stamps = np.atleast_1d(instants("timestamps", timestamps))
        rows = self._given(len(stamps), values, past_covariates, future_covariates)
        if len(np.unique(stamps)) != len(stamps) or not len(stamps):
            raise DataError("timestamps", "are distinct, at least one")
        first = self._first if self._count else np.asarray(stamps.min())
        at = self._offsets(stamps, first)  # [row], 0 is the first row held
        end = max(self._count - 1, int(at.max()))
        if self._count and end - (self._count - 1) > self.capacity:
            raise DataError(
                "timestamps",
                f"lie at most capacity = {self.capacity} steps after the last row, {self.last}",
                got=stamps[at.argmax()],
                hint="delete the stream and create it anew",
            )
        kept = at > end - self.capacity
        begin = int(at[kept].min(initial=max(0, end - self.capacity + 1) if self._count else end))
        held = kept & (at >= 0) & (at < self._count)
        filled = self._check_held(at[held], rows[held], stamps[held])
        added = kept & ~held
        self._reach(begin, end)
        self._first = np.asarray(self.freq.shift(first, begin))
        place = self._start + at[kept] - begin
        self._rows[place] = np.where(np.isnan(rows[kept]), self._rows[place], rows[kept])
        repeated = int(held.sum()) - filled
        return Appended(int(added.sum()), filled, repeated, int((~kept).sum()))

    def _given(self, count: int, *arrays: np.ndarray | None) -> np.ndarray:
        """All columns side by side, [row, item, column]."""
        parts = []
        names = ("values", "past_covariates", "future_covariates")
        for name, width, array in zip(names, self._widths, arrays, strict=True):
            wanted = (count, len(self.item_ids), width)
            found = np.empty(wanted) if array is None and not width else numbers(name, array)
            if found.shape != wanted:
                raise ShapeError(name, f"is [row, item, column] = {list(wanted)}", got=found.shape)
            if np.isinf(found).any():
                raise DataError(name, "is finite, or NaN where missing")
            parts.append(found)
        return np.concatenate(parts, axis=-1)

    def _offsets(self, stamps: np.ndarray, first: np.ndarray) -> np.ndarray:
        try:
            return self.freq.offset(stamps, first)
        except FrequencyError as error:
            raise FrequencyError(
                "timestamps", f"lie on the stream's {self.freq} grid", place=error.place, got=error.got
            ) from error

    def _check_held(self, at: np.ndarray, rows: np.ndarray, stamps: np.ndarray) -> int:
        """How many of these rows, which are held, bring something new; ConflictError for another."""
        known = self._rows[self._start + at]
        wrong = np.argwhere(~np.isnan(known) & ~np.isnan(rows) & (known != rows))
        if len(wrong):
            row, item, column = wrong[0].tolist()
            names = self.target_names + self.past_covariate_names + self.future_covariate_names
            raise ConflictError(
                f"timestamps: {stamps[row]}, item {self.item_ids[item]!r}, {names[column]!r} is "
                f"{known[row, item, column]} already, got {rows[row, item, column]}"
            )
        return int((np.isnan(known) & ~np.isnan(rows)).any((1, 2)).sum())

    def _reach(self, begin: int, end: int) -> None:
        """Hold rows begin..end, counted from the first one held; new ones are missing."""
        low, high = max(begin, 0), min(self._count, end + 1)
        kept = self._rows[self._start + low : self._start + max(low, high)]
        count = end - begin + 1
        start = self._start + begin
        if start < 0 or start + count > len(self._rows):
            start = 0
            self._rows[low - begin : low - begin + len(kept)] = kept.copy()
        self._rows[start : start + low - begin] = np.nan
        self._rows[start + low - begin + len(kept) : start + count] = np.nan
        self._start, self._count = start, count

    def panel(self, *, future_covariates: Any = None, rows: int | None = None) -> Panel:
        """What the stream holds, or its last `rows`, as a panel. future_covariates: [steps ahead, item,
        column].

        Raises ShapeError before the first row, and whatever a Panel raises.
        """
        if not self._count:
            raise ShapeError("stream", "holds at least one row", got="0 rows")
        return self._panel(self._count if rows is None else min(rows, self._count), future_covariates)

    def _panel(self, count: int, future_covariates: Any) -> Panel:
        skipped = self._count - count
        first = np.asarray(self.freq.shift(self._first, skipped))
        rows = self._rows[self._start + skipped : self._start + self._count]
        if future_covariates is not None:
            future_covariates = numbers("future_covariates", future_covariates)
            if future_covariates.shape[1:] != (rows.shape[1], self._widths[2]):
                wanted = f"[steps, {rows.shape[1]}, {self._widths[2]}]"
                raise ShapeError("future_covariates", f"is {wanted}", got=future_covariates.shape)
            ahead = np.full((len(future_covariates), *rows.shape[1:]), np.nan)
            ahead[..., rows.shape[2] - self._widths[2] :] = future_covariates
            rows = np.concatenate([rows, ahead])
        return self.panel_of(rows, first, known=count)

    def panel_of(self, rows: np.ndarray, first: np.ndarray, *, known: int | None = None) -> Panel:
        """Rows [time, item, column] from `first` on, as a panel of this stream's series."""
        targets, past = self._widths[0], self._widths[0] + self._widths[1]
        return Panel(
            values=rows[..., :targets],
            timestamps=self.freq.range(first, len(rows)),
            item_ids=self.item_ids,
            freq=self.freq,
            target_names=self.target_names,
            past_covariates=rows[..., targets:past],
            past_covariate_names=self.past_covariate_names,
            future_covariates=rows[..., past:],
            future_covariate_names=self.future_covariate_names,
            static_covariates=self._static,
            static_covariate_names=self.static_covariate_names,
            tz=self.tz,
            known=known if self._widths[2] else None,
        )

    def __repr__(self) -> str:
        return f"Stream({self._count} of {self.capacity} rows, {len(self.item_ids)} items, {self.freq})"
