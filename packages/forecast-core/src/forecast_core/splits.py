"""Splits that do not leak, and the checker that proves it.

`time_split` cuts data along its timeline. The splitters below it yield index arrays into windows, on
scikit-learn underneath; splits over time work on origins, so windows of one origin stay together, and a
training window whose horizon reaches past the first test origin is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import numpy as np

from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import known_timeline
from forecast_core.errors import InvalidInputError, LeakError, MissingDependencyError, ShapeError
from forecast_core.validation import numbers, whole

__all__ = [
    "GroupSplit",
    "LeakReport",
    "PurgedWalkForward",
    "Split",
    "SplitReport",
    "Splitter",
    "StratifiedGroupSplit",
    "StratifiedSplit",
    "TimeSeriesSplit",
    "check_leaks",
    "group_split",
    "stratified_group_split",
    "stratified_split",
    "time_split",
]

T = TypeVar("T")
Fold = tuple[np.ndarray, np.ndarray]
Over = Literal["time", "groups", "windows"]


class Splitter(Protocol):
    """What `cross_validate` and `tune` take: folds of windows, and over what they may not leak.

    over: as in `check_leaks`; a fold that leaks is refused.
    """

    over: ClassVar[Over]

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold."""
        ...


@dataclass(frozen=True)
class SplitReport:
    """Sizes of train, valid and test; the first row of each in time; groups and strata of each."""

    sizes: tuple[int, int, int]
    starts: tuple[str | None, str | None, str | None]
    dropped: int = 0
    groups: tuple[int, int, int] | None = None
    strata: tuple[dict[str, int], dict[str, int], dict[str, int]] | None = None


@dataclass(frozen=True)
class Split(Generic[T]):
    """Three parts, unpacked as `train, valid, test = split`, and how they came about."""

    train: T
    valid: T
    test: T
    report: SplitReport

    def __iter__(self) -> Iterator[T]:
        return iter((self.train, self.valid, self.test))


D = TypeVar("D", bound=Data)
W = TypeVar("W", bound=Windows)


def time_split(data: D, ratios: Sequence[float] = (0.8, 0.1, 0.1), *, gap: int = 0) -> Split[D]:
    """Train, validation and test parts of `data`, in order of time.

    ratios: three positive shares that sum to 1; a part begins at row floor(share before it * rows).
    gap: rows dropped before validation and before test, so that what is carried over fades. Rows of pure
    future at the end do not count. Raises InvalidInputError for wrong ratios, ShapeError where a part
    would be empty.
    """
    shares, gap = _shares(ratios), whole("gap", gap, least=0)
    if not isinstance(data, Data):
        raise InvalidInputError("data", "follows the Data protocol", got=type(data).__name__)
    timeline = known_timeline(data)
    n = len(timeline)
    first, second = _cuts(n, shares)
    bounds = ((0, first - gap), (first, second - gap), (second, n))
    for name, (low, high) in zip(("train", "valid", "test"), bounds, strict=True):
        if low >= high:
            raise ShapeError(
                "data",
                f"leaves at least one row for {name}",
                got=f"{n} rows, ratios {tuple(ratios)}, gap {gap}",
            )
    starts = [timeline[low] for low, _ in bounds]
    stops = [timeline[high] if high < n else None for _, high in bounds]
    parts = [
        data.between(None if k == 0 else start, stop)
        for k, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]
    report = SplitReport(
        sizes=(bounds[0][1], bounds[1][1] - bounds[1][0], n - second),
        starts=(str(starts[0]), str(starts[1]), str(starts[2])),
        dropped=2 * gap,
    )
    return Split(parts[0], parts[1], parts[2], report)


# splits of windows in three


def group_split(windows: W, ratios: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0) -> Split[W]:
    """Windows in three parts such that every group (vehicle, item, video) lies in one of them.

    Groups are dealt at random; shares are of groups. Raises InvalidInputError without groups or with
    fewer than three.
    """
    groups = _need(windows.groups, "groups")
    return _deal(windows, ratios, unit=np.unique(groups, return_inverse=True)[1], seed=seed)


def stratified_split(windows: W, ratios: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0) -> Split[W]:
    """Windows in three parts with each stratum (class, bin) shared out alike.

    Raises InvalidInputError without strata, or where a stratum has fewer than three windows.
    """
    from_sklearn = _sklearn()
    strata = _need(windows.strata, "strata")
    _check_strata(strata, 3)
    shares = _shares(ratios)
    everything = np.arange(len(windows))
    outer = from_sklearn.StratifiedShuffleSplit(1, test_size=shares[1] + shares[2], random_state=seed)
    train, rest = next(outer.split(everything, strata))
    inner = from_sklearn.StratifiedShuffleSplit(
        1, test_size=shares[2] / (shares[1] + shares[2]), random_state=seed
    )
    try:
        valid, test = next(inner.split(rest, strata[rest]))
    except ValueError as error:
        raise InvalidInputError("strata", f"are large enough to share out ({error})") from error
    return _parts(windows, (np.sort(train), np.sort(rest[valid]), np.sort(rest[test])))


def stratified_group_split(
    windows: W, ratios: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int = 0
) -> Split[W]:
    """Windows in three parts: groups stay whole, strata are shared out as evenly as that allows.

    The parts are folds of scikit-learn's StratifiedGroupKFold put together, so shares are met to a
    twentieth. Raises InvalidInputError without groups or strata, or with too few groups.
    """
    from_sklearn = _sklearn()
    groups, strata = _need(windows.groups, "groups"), _need(windows.strata, "strata")
    shares = _shares(ratios)
    folds = min(20, len(np.unique(groups)))
    if folds < 3:
        raise InvalidInputError("groups", "are at least three", got=folds)
    splitter = from_sklearn.StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(windows), dtype=np.int64)
    for k, (_, held) in enumerate(splitter.split(np.zeros(len(windows)), strata, groups)):
        fold[held] = k
    first, second = _cuts(folds, shares)
    first, second = max(first, 1), min(max(second, first + 1, 2), folds - 1)
    return _parts(
        windows,
        tuple(np.flatnonzero(m) for m in (fold < first, (fold >= first) & (fold < second), fold >= second)),
    )


# splits of windows in folds


@dataclass(frozen=True, kw_only=True)
class TimeSeriesSplit:
    """Folds that test on later origins than they train on; expanding, or sliding with `max_train_size`.

    gap, test_size, max_train_size count origins. purge: leave out training windows whose last target row
    lies after the first test origin.
    """

    over: ClassVar[Over] = "time"

    n_splits: int = 5
    gap: int = 0
    test_size: int | None = None
    max_train_size: int | None = None
    purge: bool = True

    def __post_init__(self) -> None:
        _check_counts(self, n_splits=2, gap=0, test_size=1, max_train_size=1)

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold, test parts in order of time."""
        origins = _need(windows.origins, "origins")
        times, of = np.unique(origins, return_inverse=True)
        splitter = _sklearn().TimeSeriesSplit(
            self.n_splits, gap=self.gap, test_size=self.test_size, max_train_size=self.max_train_size
        )
        try:
            folds = list(splitter.split(times))
        except ValueError as error:
            raise InvalidInputError("windows", f"have enough origins ({error})", got=len(times)) from error
        for early, late in folds:
            train, test = np.flatnonzero(np.isin(of, early)), np.flatnonzero(np.isin(of, late))
            if self.purge and windows.label_ends is not None:
                train = train[windows.label_ends[train] <= times[late[0]]]
            yield _nonempty(train, test)


@dataclass(frozen=True, kw_only=True)
class PurgedWalkForward:
    """Walk-forward folds of one length: train on all before, purged, with an embargo of origins between.

    Training windows whose horizon ends after the first test origin are purged, and `embargo` further
    origins before it dropped. min_train: origins before the first test part; default: as many as a test
    part has. Source: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 7.
    """

    over: ClassVar[Over] = "time"

    n_splits: int = 5
    embargo: int = 0
    min_train: int | None = None

    def __post_init__(self) -> None:
        _check_counts(self, n_splits=1, embargo=0, min_train=1)

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold, test parts in order of time."""
        origins = _need(windows.origins, "origins")
        ends = _need(windows.label_ends, "label_ends")
        times, of = np.unique(origins, return_inverse=True)
        before = self.min_train if self.min_train is not None else max(len(times) // (self.n_splits + 1), 1)
        blocks = np.array_split(np.arange(before, len(times)), self.n_splits)
        if any(not len(block) for block in blocks):
            raise InvalidInputError(
                "windows", f"have at least {self.n_splits + before} origins", got=len(times)
            )
        for block in blocks:
            first = block[0]
            known = ends <= times[first]
            train = np.flatnonzero((of < first - self.embargo) & known)
            yield _nonempty(train, np.flatnonzero((of >= first) & (of <= block[-1])))


@dataclass(frozen=True, kw_only=True)
class GroupSplit:
    """Folds in which every group is tested once and trained on elsewhere; groups shuffled by seed."""

    over: ClassVar[Over] = "groups"

    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, n_splits=2, seed=0)

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold."""
        groups = _need(windows.groups, "groups")
        splitter = _sklearn().GroupKFold(self.n_splits, shuffle=True, random_state=self.seed)
        yield from _folds(splitter, windows, None, groups)


@dataclass(frozen=True, kw_only=True)
class StratifiedSplit:
    """Folds that hold each stratum in its overall share; shuffled by seed."""

    over: ClassVar[Over] = "windows"

    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, n_splits=2, seed=0)

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold."""
        strata = _need(windows.strata, "strata")
        _check_strata(strata, self.n_splits)
        splitter = _sklearn().StratifiedKFold(self.n_splits, shuffle=True, random_state=self.seed)
        yield from _folds(splitter, windows, strata, None)


@dataclass(frozen=True, kw_only=True)
class StratifiedGroupSplit:
    """Folds with whole groups and strata as even as that allows; shuffled by seed."""

    over: ClassVar[Over] = "groups"

    n_splits: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, n_splits=2, seed=0)

    def split(self, windows: Windows) -> Iterator[Fold]:
        """(train, test) index arrays, a pair a fold."""
        groups, strata = _need(windows.groups, "groups"), _need(windows.strata, "strata")
        splitter = _sklearn().StratifiedGroupKFold(self.n_splits, shuffle=True, random_state=self.seed)
        yield from _folds(splitter, windows, strata, groups)


# the leak checker


@dataclass(frozen=True)
class LeakReport:
    """What a train and a test part share that they must not; counts of offending windows."""

    shared_windows: int = 0
    shared_groups: int = 0
    label_overlaps: int = 0
    late_origins: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing leaks."""
        return not (self.shared_windows or self.shared_groups or self.label_overlaps or self.late_origins)

    def raise_if_any(self) -> None:
        """LeakError saying what leaks, if anything does."""
        found = {
            "windows on both sides": self.shared_windows,
            "groups on both sides": self.shared_groups,
            "training windows whose targets end after the first test origin": self.label_overlaps,
            "training windows at or after the first test origin (with its embargo)": self.late_origins,
        }
        told = [f"{count} {what}" for what, count in found.items() if count]
        if told:
            raise LeakError("the split leaks: " + "; ".join(told))


def check_leaks(
    windows: Windows,
    train: np.ndarray,
    test: np.ndarray,
    *,
    over: str = "time",
    embargo: np.timedelta64 | int = 0,
) -> LeakReport:
    """What leaks between two index arrays into `windows`.

    Always: a window that stands on both sides, by index or as a second copy (same group and origin).
    over="time": training origins before the first test origin less `embargo`, no training target after
    it. over="groups": no group on both sides. over="windows": nothing further. Raises InvalidInputError
    where windows lack what is to be checked.
    """
    if over not in ("time", "groups", "windows"):
        raise InvalidInputError("over", "is 'time', 'groups' or 'windows'", got=repr(over))
    train, test = np.asarray(train), np.asarray(test)
    shared = int(np.isin(train, test).sum())
    groups, origins = windows.groups, windows.origins
    if groups is not None and origins is not None:
        label = np.unique(groups, return_inverse=True)[1] * (len(windows) + 1)
        label = label + np.unique(origins, return_inverse=True)[1]
        shared = max(shared, int(np.isin(label[train], label[test]).sum()))
    if over == "groups":
        names = _need(groups, "groups")
        return LeakReport(shared, len(np.intersect1d(names[train], names[test])))
    if over == "windows":
        return LeakReport(shared)
    times, ends = _need(origins, "origins"), _need(windows.label_ends, "label_ends")
    if not len(train) or not len(test):
        return LeakReport(shared)
    first = times[test].min()
    return LeakReport(
        shared,
        label_overlaps=int((ends[train] > first).sum()),
        late_origins=int((times[train] >= first - embargo).sum())
        if embargo
        else int((times[train] >= first).sum()),
    )


def _shares(ratios: Sequence[float]) -> tuple[float, float, float]:
    shares = tuple(numbers("ratios", ratios).tolist())
    if len(shares) != 3 or not all(s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InvalidInputError("ratios", "are three positive shares that sum to 1", got=tuple(ratios))
    return shares[0], shares[1], shares[2]


def _cuts(n: int, shares: tuple[float, float, float]) -> tuple[int, int]:
    # 0.8 + 0.1 is a little less than 0.9 in binary; a row must not depend on that.
    return int(n * shares[0] + 1e-9 * n), int(n * (shares[0] + shares[1]) + 1e-9 * n)


def _deal(windows: W, ratios: Sequence[float], *, unit: np.ndarray, seed: int) -> Split[W]:
    shares, count = _shares(ratios), int(unit.max()) + 1 if len(unit) else 0
    if count < 3:
        raise InvalidInputError("groups", "are at least three", got=count)
    first, second = _cuts(count, shares)
    first = min(max(first, 1), count - 2)
    second = min(max(second, first + 1), count - 1)
    place = np.empty(count, dtype=np.int64)
    place[np.random.default_rng(seed).permutation(count)] = np.arange(count)
    rank = place[unit]
    return _parts(
        windows,
        tuple(np.flatnonzero(m) for m in (rank < first, (rank >= first) & (rank < second), rank >= second)),
    )


def _parts(windows: W, index: Sequence[np.ndarray]) -> Split[W]:
    for name, rows in zip(("train", "valid", "test"), index, strict=True):
        if not len(rows):
            raise ShapeError("windows", f"leave at least one for {name}", got=len(windows))
    groups, strata, origins = windows.groups, windows.strata, windows.origins

    def count(rows: np.ndarray) -> dict[str, int]:
        assert strata is not None
        names, number = np.unique(strata[rows], return_counts=True)
        return {str(name): int(n) for name, n in zip(names.tolist(), number.tolist(), strict=True)}

    train, valid, test = index
    report = SplitReport(
        sizes=(len(train), len(valid), len(test)),
        starts=(None, None, None)
        if origins is None
        else (str(origins[train].min()), str(origins[valid].min()), str(origins[test].min())),
        groups=None
        if groups is None
        else (len(np.unique(groups[train])), len(np.unique(groups[valid])), len(np.unique(groups[test]))),
        strata=None if strata is None else (count(train), count(valid), count(test)),
    )
    return Split(windows.take(train), windows.take(valid), windows.take(test), report)


def _check_counts(splitter: Any, **least: int) -> None:
    """InvalidInputError for a field that is no whole number of at least so many, and not None by default."""
    for name, low in least.items():
        value = getattr(splitter, name)
        if value is not None or getattr(type(splitter), name) is not None:
            whole(name, value, least=low)


def _folds(
    splitter: Any, windows: Windows, strata: np.ndarray | None, groups: np.ndarray | None
) -> Iterator[Fold]:
    try:
        folds = list(splitter.split(np.zeros(len(windows)), strata, groups))
    except ValueError as error:
        raise InvalidInputError("windows", f"can be split so ({error})") from error
    for train, test in folds:
        yield _nonempty(train, test)


def _nonempty(train: np.ndarray, test: np.ndarray) -> Fold:
    if not len(train) or not len(test):
        raise ShapeError(
            "windows",
            "leave windows on both sides of every fold",
            got=f"{len(train)} train, {len(test)} test",
        )
    return train, test


def _need(values: np.ndarray | None, what: str) -> np.ndarray:
    if values is None:
        raise InvalidInputError("windows", f"have {what}")
    return values


def _check_strata(strata: np.ndarray, least: int) -> None:
    names, count = np.unique(strata, return_counts=True)
    if count.min() < least:
        rare = names[count.argmin()]
        raise InvalidInputError(
            "strata", f"hold at least {least} windows each", place=f"stratum {rare}", got=count.min()
        )


def _sklearn() -> Any:
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise MissingDependencyError(
            "scikit-learn", purpose="splitting windows", install="pip install 'forecast-core[evaluate]'"
        ) from error
    return model_selection
