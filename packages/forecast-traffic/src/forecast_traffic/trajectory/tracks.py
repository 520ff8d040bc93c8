"""`Tracks`: where road users were, as flat arrays; the data of task `trajectory`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from os import PathLike
from typing import Any, Literal

import numpy as np

from forecast_core.arrays import frozen, positions
from forecast_core.data import Freq
from forecast_core.data.content import fingerprint, same_content
from forecast_core.data.instants import instant
from forecast_core.errors import DataError, InvalidInputError, ShapeError, near_misses
from forecast_core.validation import numbers
from forecast_traffic.trajectory.checks import is_number, step_seconds, whole_numbers
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["Gaps", "Singles", "TrackId", "Tracks"]

TrackId = int | str
Gaps = Literal["refuse", "keep"]
Singles = Literal["refuse", "drop"]

_OF_FRAMES = ("track_id", "scene", "frame", "seconds", "timestamp", "x", "y")  # columns of `to_frame`


@dataclass(frozen=True, eq=False, kw_only=True)
class Tracks:
    """Tracks of uneven length, one after the other; rows of a track in order of time.

    xy [row, 2]: metres. frames [row]: whole steps of `dt` seconds, strictly increasing within a track; where
    they jump there is a gap, and no window reaches across it. offsets [track + 1]: track k holds rows
    offsets[k] to offsets[k + 1]. item_ids: a name a track, distinct. scenes [track]: position in
    `scene_ids` of the recording it is from; only tracks of one scene meet. start: clock time (UTC) of
    frame 0; None: recordings without a clock, each counted from its own beginning. classes and
    scenarios: a label a track ("car", "merging"). columns: name -> [row], further numbers of each row, such
    as "lane", "speed" (m/s), "heading" (radians) or weather; NaN where missing. Their names are none of
    `to_frame`'s own.

    Build tracks by `from_rows`, `from_frame` or a reader: these also refuse gaps, single points and units
    mixed up. Here DataError or ShapeError name what breaks the rules above.
    """

    xy: np.ndarray
    frames: np.ndarray
    offsets: np.ndarray
    item_ids: tuple[TrackId, ...]
    dt: float
    scenes: np.ndarray | None = None
    scene_ids: tuple[str, ...] = ("scene",)
    start: np.datetime64 | None = None
    classes: tuple[str, ...] | None = None
    scenarios: tuple[str, ...] | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.item_ids)
        self._put("xy", frozen(numbers("xy", self.xy)))
        self._put("frames", whole_numbers("frames", self.frames))
        self._put("offsets", whole_numbers("offsets", self.offsets))
        scenes = np.zeros(count, dtype=np.int64) if self.scenes is None else self.scenes
        self._put("scenes", whole_numbers("scenes", scenes))
        self._put("item_ids", tuple(i.item() if isinstance(i, np.generic) else i for i in self.item_ids))
        self._put("scene_ids", tuple(self.scene_ids))
        if self.start is not None:
            self._put("start", instant("start", self.start))
        columns = {n: frozen(numbers(f"columns[{n!r}]", c)) for n, c in sorted(self.columns.items())}
        self._put("columns", columns)
        self._check()

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or not len(self.xy):
            raise ShapeError("xy", "is [row, 2] with at least one row", got=self.xy.shape)
        rows, count = len(self.xy), len(self.item_ids)
        self._put("dt", step_seconds("dt", self.dt))
        ends = self.offsets
        if ends.shape != (count + 1,) or ends[0] != 0 or ends[-1] != rows or (np.diff(ends) < 1).any():
            raise ShapeError("offsets", f"rise from 0 to {rows}, one a track and the end", got=ends.shape)
        shapes: dict[str, tuple[Any, int]] = {"frames": (self.frames, rows), "scenes": (self.scenes, count)}
        shapes |= {f"columns[{n!r}]": (column, rows) for n, column in self.columns.items()}
        shapes |= {n: (v, count) for n in ("classes", "scenarios") if (v := getattr(self, n)) is not None}
        for name, (values, expected) in shapes.items():
            if np.shape(values) != (expected,):
                raise ShapeError(name, f"has {expected} entries", got=np.shape(values))
        for k, item in enumerate(self.item_ids):
            if isinstance(item, bool) or not isinstance(item, int | str):
                raise DataError("item_ids", "are texts or whole numbers", place=f"track {k}", got=repr(item))
        names = tuple(map(str, self.item_ids))  # as files, scores and groups name them
        if len(set(names)) != count:
            twice = next(name for k, name in enumerate(names) if name in names[:k])
            raise DataError("item_ids", "are distinct", got=f"{twice!r} twice")
        taken = next((name for name in self.columns if name in _OF_FRAMES), None)
        if taken is not None:
            hint = f"call it otherwise, as by columns={{'own_{taken}': '{taken}'}}"
            raise DataError(
                "columns", f"have names that are none of {_OF_FRAMES}", got=repr(taken), hint=hint
            )
        scenes = np.asarray(self.scenes)
        if not ((scenes >= 0) & (scenes < len(self.scene_ids))).all():
            raise DataError("scenes", f"are positions in scene_ids {self.scene_ids}")
        self._check_rows()

    def _check_rows(self) -> None:
        wrong = np.flatnonzero(~np.isfinite(self.xy).all(1))
        if len(wrong):
            raise DataError("xy", "is finite", place=self._place(int(wrong[0])), got=self.xy[wrong[0]])
        step = np.diff(self.frames)
        wrong = np.flatnonzero((step <= 0) & (self.track_of_row[1:] == self.track_of_row[:-1]))
        if len(wrong):
            row = int(wrong[0]) + 1
            what = "a duplicate" if step[row - 1] == 0 else f"after frame {self.frames[row - 1]}"
            raise DataError("frames", "increase strictly within a track", place=self._place(row), got=what)

    def _place(self, row: int) -> str:
        return f"track {self.item_ids[self.track_of_row[row]]!r}, frame {self.frames[row]}"

    # construction

    @classmethod
    def from_rows(
        cls,
        *,
        track_ids: Sequence[TrackId] | np.ndarray,
        frames: np.ndarray,
        x: np.ndarray,
        y: np.ndarray,
        dt: float,
        scenes: Sequence[str] | None = None,
        start: Any = None,
        classes: Sequence[str] | None = None,
        scenarios: Sequence[str] | None = None,
        columns: Mapping[str, np.ndarray] | None = None,
        gaps: Gaps = "refuse",
        singles: Singles = "refuse",
        max_speed: float | None = 100.0,
    ) -> Tracks:
        """From one entry a row in each argument; rows of different tracks may alternate.

        A track is an id within a scene; with `scenes` its name becomes "scene/id". Rows of a track stand in
        order of time. gaps: "keep" lets frames be missing inside a track. singles: "drop" leaves out tracks
        of one point. max_speed (m/s): faster steps are taken for a mix-up of units; None: any speed.
        Raises DataError naming track and frame.
        """
        from forecast_traffic.trajectory.rows import tracks_from_rows

        return tracks_from_rows(
            track_ids=track_ids,
            frames=frames,
            x=x,
            y=y,
            dt=dt,
            scenes=scenes,
            start=start,
            classes=classes,
            scenarios=scenarios,
            columns=columns,
            gaps=gaps,
            singles=singles,
            max_speed=max_speed,
        )

    @classmethod
    def from_array(cls, xy: np.ndarray, *, dt: float, item_ids: Sequence[TrackId] | None = None) -> Tracks:
        """Tracks of equal length without gaps: xy [track, time, 2] in metres, from frame 0 on.

        item_ids: a name a track; default: 0, 1, ... Raises ShapeError or DataError.
        """
        xy = numbers("xy", xy)
        if xy.ndim != 3 or xy.shape[2] != 2:
            raise ShapeError("xy", "is [track, time, 2]", got=xy.shape)
        tracks, points, _ = xy.shape
        return cls(
            xy=xy.reshape(-1, 2),
            frames=np.tile(np.arange(points), tracks),
            offsets=np.arange(tracks + 1) * points,
            item_ids=tuple(range(tracks)) if item_ids is None else tuple(item_ids),
            dt=dt,
        )

    @classmethod
    def from_frame(cls, frame: Any, **options: Any) -> Tracks:
        """From a frame of pandas, polars or pyarrow, a row a point; see `tables.tracks_from_frame`."""
        from forecast_traffic.trajectory.tables import tracks_from_frame

        return tracks_from_frame(frame, **options)

    @classmethod
    def read_table(cls, path: str | PathLike[str], **options: Any) -> Tracks:
        """From a csv (also gzipped) or parquet file; options as for `tables.tracks_from_frame`."""
        from forecast_traffic.trajectory.tables import read_table

        return read_table(path, **options)

    @classmethod
    def read_eth_ucy(cls, path: Any, **options: Any) -> Tracks:
        """From ETH/UCY text files; see `readers.read_eth_ucy`."""
        from forecast_traffic.trajectory.readers import read_eth_ucy

        return read_eth_ucy(path, **options)

    @classmethod
    def read_kitti(cls, path: Any, **options: Any) -> Tracks:
        """From KITTI tracking labels; see `readers.read_kitti`."""
        from forecast_traffic.trajectory.readers import read_kitti

        return read_kitti(path, **options)

    @classmethod
    def read_ngsim(cls, path: str | PathLike[str], **options: Any) -> Tracks:
        """From an NGSIM csv; see `readers.read_ngsim`."""
        from forecast_traffic.trajectory.readers import read_ngsim

        return read_ngsim(path, **options)

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A long frame, a row a point; see `tables.tracks_to_frame`."""
        from forecast_traffic.trajectory.tables import tracks_to_frame

        return tracks_to_frame(self, backend=backend)

    # rows

    def __len__(self) -> int:
        """Tracks."""
        return len(self.item_ids)

    @property
    def target_names(self) -> tuple[str, str]:
        """What is predicted."""
        return ("x", "y")

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each track [track]."""
        return np.diff(self.offsets)

    @property
    def track_of_row(self) -> np.ndarray:
        """Position of each row's track [row]."""
        return self._known("track", lambda: np.repeat(np.arange(len(self)), self.lengths))

    @property
    def scene_of_row(self) -> np.ndarray:
        """Position of each row's scene [row]."""
        return self._known("scene", lambda: np.asarray(self.scenes)[self.track_of_row])

    @property
    def run_of_row(self) -> tuple[np.ndarray, np.ndarray]:
        """First and last row [row] of the stretch without gaps that each row lies in."""
        return self._known("first", lambda: self._runs()[0]), self._known("last", lambda: self._runs()[1])

    def _runs(self) -> tuple[np.ndarray, np.ndarray]:
        begins = np.ones(len(self.xy), dtype=np.bool_)
        same = self.track_of_row[1:] == self.track_of_row[:-1]
        begins[1:] = ~(same & (np.diff(self.frames) == 1))
        first = np.flatnonzero(begins)
        run = np.cumsum(begins) - 1
        last = np.append(first[1:], len(begins)) - 1
        return first[run], last[run]

    def _known(self, name: str, make: Any) -> np.ndarray:
        """An array worked out once; nothing of a frozen object changes under it."""
        kept = self.__dict__.setdefault("_derived", {})
        if name not in kept:
            kept[name] = frozen(np.asarray(make()))
        array: np.ndarray = kept[name]
        return array

    def times(self, frames: np.ndarray) -> np.ndarray:
        """Frames of any shape as clock times, or as they are where there is no clock."""
        if self.start is None:
            return np.asarray(frames)
        return self.start + np.round(np.asarray(frames) * (self.dt * 1e6)).astype("timedelta64[us]")

    def steps(self, argument: str, span: int | float | timedelta) -> int:
        """A span as whole steps of `dt`: steps as they are, a timedelta turned into them.

        InvalidInputError for what is no whole number of steps, or below 1.
        """
        if isinstance(span, timedelta):
            steps = span.total_seconds() / self.dt
            if abs(steps - round(steps)) > 1e-6 * max(steps, 1.0) or round(steps) < 1:
                raise InvalidInputError(argument, f"is a whole number of steps of {self.dt:g} s", got=span)
            return round(steps)
        if isinstance(span, bool) or not isinstance(span, int | np.integer) or span < 1:
            rule = "is a whole number of steps of at least 1, or a timedelta"
            raise InvalidInputError(argument, rule, got=repr(span))
        return int(span)

    # the Data protocol

    @property
    def timeline(self) -> np.ndarray:
        """Distinct frames, sorted: as clock times where there is a clock."""
        return self._known("timeline", lambda: self.times(np.unique(self.frames)))

    @property
    def freq(self) -> Freq | None:
        """`dt` as a frequency; None where it is no whole number of milliseconds."""
        milliseconds = self.dt * 1e3
        whole = round(milliseconds)
        return Freq(whole, "ms") if whole >= 1 and abs(milliseconds - whole) < 1e-6 else None

    def windows(
        self,
        *,
        context_length: int | timedelta | None = None,
        horizon: int | timedelta | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
        min_context: int | timedelta | None = None,
    ) -> TrackWindows:
        """One window for each (track, origin) with room for history and horizon on one stretch without gaps.

        An origin is the last known row. context_length: rows of history at most, the origin among them; None:
        all. min_context: rows of history at least; default `context_length`, or 1. horizon: rows to predict,
        always needed; all in steps or as timedelta. origins: times as in `timeline`; default: every
        `stride`-th frame. Raises InvalidInputError for lengths below 1, ShapeError where nothing fits or for
        an origin before or after all rows.
        """
        return TrackWindows.rolling(
            self,
            context_length=context_length,
            horizon=horizon,
            origins=origins,
            stride=stride,
            min_context=min_context,
        )

    def between(self, start: Any, stop: Any) -> Tracks:
        """Rows with start <= time < stop, in the unit of `timeline`; tracks without any are left out.

        ShapeError if none are left.
        """
        low: float = -np.inf if start is None else self._frame("start", start)
        high = np.inf if stop is None else self._frame("stop", stop)
        keep = (self.frames >= low) & (self.frames < high)
        if not keep.any():
            rule = f"holds at least one row of {self.timeline[0]}..{self.timeline[-1]}"
            raise ShapeError("between", rule, got=f"[{start}, {stop})")
        return self._of_rows(np.flatnonzero(keep))

    def _frame(self, argument: str, time: Any) -> int:
        """The first frame not before a time."""
        if self.start is not None:
            at = np.searchsorted(self.timeline, instant(argument, time))
            frames = np.unique(self.frames)
            return int(frames[at]) if at < len(frames) else int(frames[-1]) + 1
        if not (is_number(time) and np.isfinite(time)):
            raise InvalidInputError(argument, "is a frame: these tracks have no clock", got=repr(time))
        return int(np.ceil(time))

    def fingerprint(self) -> str:
        """SHA-256 of everything the tracks hold."""
        return fingerprint(self)

    def signature(self) -> Mapping[str, Any]:
        """What a manifest tells of the tracks, as JSON values."""
        return {
            "type": "tracks",
            "dt": self.dt,
            "tracks": len(self),
            "rows": len(self.xy),
            "scenes": len(self.scene_ids),
            "columns": list(self.columns),
            "start": str(self.timeline[0]),
            "end": str(self.timeline[-1]),
        }

    # what the optional protocols ask

    def extended(self, later: Tracks) -> Tracks:
        """These tracks followed by later rows of the same tracks and by new ones, matched by id.

        Both have one `dt`, clock and columns. Raises DataError where a row of `later` does not come after
        the last of its track, or where something else does not fit.
        """
        for name in ("dt", "start"):
            if getattr(self, name) != getattr(later, name):
                raise DataError(f"later.{name}", f"is {getattr(self, name)}", got=getattr(later, name))
        if self.columns.keys() != later.columns.keys():
            raise DataError("later.columns", f"are {list(self.columns)}", got=list(later.columns))
        for name in ("classes", "scenarios"):
            if (getattr(self, name) is None) != (getattr(later, name) is None):
                raise DataError(f"later.{name}", "are given where the earlier tracks have them")
        scene_ids = tuple(dict.fromkeys((*self.scene_ids, *later.scene_ids)))
        item_ids = tuple(dict.fromkeys((*self.item_ids, *later.item_ids)))
        where = {item: k for k, item in enumerate(item_ids)}
        followed = np.array([where[item] for item in later.item_ids], dtype=np.int64)
        track = np.concatenate([self.track_of_row, followed[later.track_of_row]])
        order = np.argsort(track, kind="stable")  # rows of a track: the earlier ones first
        counts = np.bincount(track, minlength=len(item_ids))
        known = dict(zip(later.item_ids, range(len(later)), strict=True)) | {
            item: -1 - k for k, item in enumerate(self.item_ids)
        }
        source = [known[item] for item in item_ids]  # below 0: of the earlier tracks

        def of_track(name: str) -> list[Any]:
            mine, theirs = getattr(self, name), getattr(later, name)
            return [mine[-1 - k] if k < 0 else theirs[k] for k in source]

        of_scene = {scene: k for k, scene in enumerate(scene_ids)}
        scenes = [
            of_scene[self.scene_ids[s]] if k < 0 else of_scene[later.scene_ids[s]]
            for k, s in zip(source, of_track("scenes"), strict=True)
        ]
        return replace(
            self,
            xy=np.concatenate([self.xy, later.xy])[order],
            frames=np.concatenate([self.frames, later.frames])[order],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            item_ids=item_ids,
            scenes=np.array(scenes),
            scene_ids=scene_ids,
            classes=None if self.classes is None else tuple(of_track("classes")),
            scenarios=None if self.scenarios is None else tuple(of_track("scenarios")),
            columns={n: np.concatenate([c, later.columns[n]])[order] for n, c in self.columns.items()},
        )

    def select_items(self, item_ids: Sequence[TrackId]) -> Tracks:
        """Some tracks, in the order given; InvalidInputError for an unknown one."""
        where = {item: k for k, item in enumerate(self.item_ids)}
        missing = next((item for item in item_ids if item not in where), None)
        if missing is not None:
            hint = near_misses(str(missing), map(str, where))
            raise InvalidInputError("item_ids", "are ids of tracks", got=repr(missing), hint=hint)
        return self.of_groups(np.array([where[item] for item in item_ids], dtype=np.int64))

    def of_groups(self, groups: np.ndarray) -> Tracks:
        """The tracks at some positions, or of some scenes, as `TrackWindows.groups` names them."""
        named = positions("groups", groups, length=len(self) + len(self.scene_ids))
        of_scene = np.flatnonzero(np.isin(np.asarray(self.scenes) + len(self), named))
        index = np.concatenate([named[named < len(self)], of_scene])
        counts = self.lengths[index]
        rows = np.repeat(self.offsets[index] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        return self._of_rows(rows + np.arange(len(rows)), tracks=index)

    def of_class(self, *names: str) -> Tracks:
        """The tracks of some classes; InvalidInputError where there is none."""
        keep = np.flatnonzero(np.isin(self.classes or (), names))
        if not len(keep):
            known = sorted(set(self.classes or ()))
            raise InvalidInputError("names", f"are classes of these tracks: {known}", got=names)
        return self.of_groups(keep)

    def _of_rows(self, rows: np.ndarray, *, tracks: np.ndarray | None = None) -> Tracks:
        """Some rows; tracks [k]: which they are, in order, each with a row (default: as they come)."""
        track = self.track_of_row[rows]
        if tracks is None:
            tracks = np.unique(track)
        counts = np.bincount(track, minlength=len(self))[tracks]
        chosen = tracks.tolist()
        return replace(
            self,
            xy=self.xy[rows],
            frames=self.frames[rows],
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            item_ids=tuple(self.item_ids[k] for k in chosen),
            scenes=np.asarray(self.scenes)[tracks],
            classes=None if self.classes is None else tuple(self.classes[k] for k in chosen),
            scenarios=None if self.scenarios is None else tuple(self.scenarios[k] for k in chosen),
            columns={name: column[rows] for name, column in self.columns.items()},
        )

    def without_clock(self) -> Tracks:
        """The same tracks on frame numbers alone.

        Scoring a model on times that it was fitted on is refused as a leak; that does not hold for vehicles
        or scenes left out of training, which their clock times need not keep apart.
        """
        return replace(self, start=None)

    def thinned(self, every: int) -> Tracks:
        """Every n-th frame alone, with `dt` that much longer: 10 Hz to 5 Hz by every=2."""
        every = self.steps("every", every)
        kept = self._of_rows(np.flatnonzero(self.frames % every == 0))
        return replace(kept, frames=kept.frames // every, dt=self.dt * every)

    def __eq__(self, other: object) -> bool:
        return same_content(self, other) if isinstance(other, Tracks) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"Tracks({len(self)} tracks, {len(self.xy)} rows, {len(self.scene_ids)} scenes, "
            f"dt {self.dt:g} s, {self.timeline[0]}..{self.timeline[-1]})"
        )
