"""Windows of tracks: index arrays into flat rows; numbers are gathered only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from forecast_core.arrays import positions
from forecast_core.data.instants import instants
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.validation import whole
from forecast_traffic.trajectory.checks import whole_numbers

if TYPE_CHECKING:
    from forecast_traffic.trajectory.tracks import Tracks

__all__ = ["Grouping", "TrackWindows"]

Grouping = Literal["track", "scene"]


@dataclass(frozen=True, eq=False)
class TrackWindows:
    """n windows: `rows` [n] are positions of origins (last known rows) in the flat rows of `data`.

    context_length: rows of history at most, None for all there are; histories are as long as the stretch
    without gaps allows. grouping: what `groups` names, and folds keep whole: tracks or scenes.
    """

    data: Tracks
    rows: np.ndarray
    context_length: int | None
    horizon: int
    grouping: Grouping = "track"

    @classmethod
    def rolling(
        cls,
        data: Tracks,
        *,
        context_length: int | timedelta | None,
        horizon: int | timedelta | None,
        origins: np.ndarray | None,
        stride: int,
        min_context: int | timedelta | None,
    ) -> TrackWindows:
        """See `Tracks.windows`."""
        if horizon is None:
            raise InvalidInputError("horizon", "is needed", hint="give the steps to predict, or a timedelta")
        ahead = data.steps("horizon", horizon)
        longest = None if context_length is None else data.steps("context_length", context_length)
        least = longest or 1
        if min_context is not None:
            least = data.steps("min_context", min_context)
            if longest is not None and least > longest:
                rule = f"is at most context_length = {longest}"
                raise InvalidInputError("min_context", rule, got=least)
        stride = whole("stride", stride)
        first, last = data.run_of_row
        row = np.arange(len(data.xy))
        fits = (row - first + 1 >= least) & (last - row >= ahead)
        if not fits.any():
            raise ShapeError(
                "data",
                f"holds a track of at least context + horizon = {least} + {ahead} points without a gap",
                got=f"{int((last - first).max()) + 1} points at most",
            )
        if origins is None:
            fits &= (data.frames - data.frames.min()) % stride == 0
        else:
            fits &= np.isin(data.times(data.frames), _checked_origins(data, origins))
        if not fits.any():
            points = f"{least} points of a track up to it and {ahead} after it, without a gap"
            if origins is None:
                raise ShapeError("stride", f"meets a frame with {points}", got=stride)
            raise ShapeError(
                "origins", f"hold one with {points}", got=f"{len(np.atleast_1d(origins))} without"
            )
        return cls(data, np.flatnonzero(fits), longest, ahead)

    @classmethod
    def at_ends(cls, data: Tracks, *, context_length: int | None, horizon: int) -> TrackWindows:
        """A window for each track, in their order, at its last row: what comes after it is not known yet."""
        return cls(data, data.offsets[1:] - 1, context_length, horizon)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> TrackWindows:
        """The windows at some positions (whole numbers or a boolean mask), in the order given."""
        return replace(self, rows=self.rows[positions("index", index, length=len(self))])

    def by(self, grouping: Grouping) -> TrackWindows:
        """The same windows with groups of another sort: "scene" leaves whole recordings out of training."""
        if grouping not in ("track", "scene"):
            raise InvalidInputError("grouping", "is 'track' or 'scene'", got=repr(grouping))
        return replace(self, grouping=grouping)

    def apart_from(self, data: Tracks | TrackWindows) -> TrackWindows:
        """The windows none of whose targets is a point of `data`, or of what its windows span."""
        from forecast_traffic.trajectory.overlap import apart

        return apart(self, data)

    def within(self, data: Tracks | TrackWindows) -> np.ndarray:
        """Whether all targets of each window are points of `data`, or of what its windows span, [n]."""
        from forecast_traffic.trajectory.overlap import within

        return within(self, data)

    # numbers

    @property
    def lengths(self) -> np.ndarray:
        """Rows of history of each window [n], at most `context_length`."""
        available: np.ndarray = self.rows - self.data.run_of_row[0][self.rows] + 1
        return available if self.context_length is None else np.minimum(available, self.context_length)

    def contexts(self, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Positions [n, length, 2] up to the origin, which comes last, and which are known [n, length].

        length: default the longest history. Where a history is shorter its beginning is NaN.
        """
        at, known = self._context_rows(length)
        return np.where(known[..., None], self.data.xy[at], np.nan), known

    def column_contexts(self, name: str, length: int | None = None) -> np.ndarray:
        """A column of the data [n, length] beside `contexts`, NaN where it is missing."""
        at, known = self._context_rows(length)
        if name not in self.data.columns:
            raise InvalidInputError("name", f"is a column: {list(self.data.columns)}", got=repr(name))
        return np.where(known, self.data.columns[name][at], np.nan)

    def _context_rows(self, length: int | None) -> tuple[np.ndarray, np.ndarray]:
        lengths = self.lengths
        longest = int(lengths.max(initial=1)) if length is None else whole("length", length)
        back = np.arange(longest - 1, -1, -1)  # [length]
        at = self.rows[:, None] - back
        known = back < lengths[:, None]
        return np.where(known, at, self.rows[:, None]), known

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions [n, horizon, 2] after the origin, NaN past the end of the track; what was observed."""
        at, known = self._target_rows()
        values = np.where(known[..., None], self.data.xy[at], np.nan)
        return values, np.repeat(known[..., None], 2, axis=2)

    @property
    def complete(self) -> np.ndarray:
        """Whether every step of the horizon was observed [n]."""
        whole: np.ndarray = self.rows + self.horizon <= self.data.run_of_row[1][self.rows]
        return whole

    def column_targets(self, name: str) -> np.ndarray:
        """A column of the data [n, horizon] after the origin, NaN past the end of the track."""
        if name not in self.data.columns:
            raise InvalidInputError("name", f"is a column: {list(self.data.columns)}", got=repr(name))
        at, known = self._target_rows()
        return np.where(known, self.data.columns[name][at], np.nan)

    def _target_rows(self) -> tuple[np.ndarray, np.ndarray]:
        at = self.rows[:, None] + np.arange(1, self.horizon + 1)  # [n, horizon]
        known = at <= self.data.run_of_row[1][self.rows][:, None]
        return np.where(known, at, self.rows[:, None]), known

    # identity

    @property
    def tracks(self) -> np.ndarray:
        """Position of each window's track [n]."""
        of: np.ndarray = self.data.track_of_row[self.rows]
        return of

    @property
    def scenes(self) -> np.ndarray:
        """Position of each window's scene [n]."""
        of: np.ndarray = self.data.scene_of_row[self.rows]
        return of

    @property
    def frames(self) -> np.ndarray:
        """Frame of each window's origin [n]."""
        at: np.ndarray = self.data.frames[self.rows]
        return at

    @property
    def item_ids(self) -> tuple[int | str, ...]:
        """Id of each window's track."""
        ids = self.data.item_ids
        return tuple(ids[k] for k in self.tracks.tolist())

    @property
    def steps(self) -> tuple[float, ...]:
        """Seconds from the origin to each predicted step."""
        return tuple(round(self.data.dt * k, 9) for k in range(1, self.horizon + 1))

    def timestamps(self) -> np.ndarray | None:
        """Clock times of the targets [n, horizon]; None where the data has no clock."""
        if self.data.start is None:
            return None
        return self.data.times(self.frames[:, None] + np.arange(1, self.horizon + 1))

    @property
    def origins(self) -> np.ndarray:
        """Time of each window's last known row, as in the data's timeline."""
        return self.data.times(self.frames)

    @property
    def label_ends(self) -> np.ndarray:
        """Time of each window's last target row."""
        return self.data.times(self.frames + self.horizon)

    @property
    def groups(self) -> np.ndarray:
        """Position of each window's track; or of its scene, numbered on from the last track."""
        return self.tracks if self.grouping == "track" else self.scenes + len(self.data)

    @property
    def strata(self) -> np.ndarray | None:
        """Scenario of each window's track, numbered in alphabetical order; None where there are none."""
        if self.data.scenarios is None:
            return None
        of: np.ndarray = np.unique(self.data.scenarios, return_inverse=True)[1][self.tracks]
        return of


def _checked_origins(data: Tracks, origins: np.ndarray) -> np.ndarray:
    """Origins [k] in the unit of the timeline; ShapeError for one before or after all rows."""
    read = whole_numbers if data.start is None else instants
    times, timeline = np.atleast_1d(read("origins", origins)), data.timeline
    outside = np.flatnonzero((times < timeline[0]) | (times > timeline[-1]))
    if len(outside):
        rule, place = f"lie in {timeline[0]}..{timeline[-1]}", f"origin {outside[0]}"
        raise ShapeError("origins", rule, place=place, got=times[outside[0]])
    return times
