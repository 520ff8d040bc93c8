"""What core asks of data it has never heard of.

`Data` and `Windows` are all that evaluation, splits and conformance need. The small protocols below
them are optional: core uses them where data offers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

__all__ = [
    "Data",
    "Described",
    "Extendable",
    "Grouped",
    "HasHistory",
    "HasLengths",
    "HasScale",
    "Restrictable",
    "Separable",
    "Windows",
]


@runtime_checkable
class Windows(Protocol):
    """Rolling windows or plain samples, by index; nothing is copied until asked for.

    Windows also show the data they were cut from, as `.panel` or `.data`, for lineage and so that windows
    of another task's data can be refused.

    origins [n]: time of the last known row of each window, None for plain samples.
    label_ends [n]: time of the last target row of each window, None for plain samples.
    groups [n]: vehicle, item or video each window belongs to; strata [n]: class or bin; None where there
    are none.
    """

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray) -> Self:
        """The windows at some positions."""
        ...

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Values [n, ...] and a boolean mask of what was observed, same shape."""
        ...

    @property
    def origins(self) -> np.ndarray | None:
        """Time of each window's last known row, [n]."""
        ...

    @property
    def label_ends(self) -> np.ndarray | None:
        """Time of each window's last target row, [n]."""
        ...

    @property
    def groups(self) -> np.ndarray | None:
        """What each window belongs to, [n]."""
        ...

    @property
    def strata(self) -> np.ndarray | None:
        """Class or bin of each window, [n]."""
        ...


@runtime_checkable
class Data(Protocol):
    """A data set: panel, graph, tracks, photos.

    timeline: the sorted axis that `between` cuts: timestamps of rows, or 0..n-1 for plain samples.
    """

    @property
    def timeline(self) -> np.ndarray:
        """The sorted axis that `between` cuts."""
        ...

    def windows(
        self,
        *,
        context_length: int | None = None,
        horizon: int | None = None,
        origins: np.ndarray | None = None,
        stride: int = 1,
    ) -> Windows:
        """Windows to predict. A window's context may start before the first origin."""
        ...

    def between(self, start: Any, stop: Any) -> Self:
        """Rows from `start` up to and without `stop`, in the unit of `timeline`; None is an open end."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of the content, for lineage."""
        ...


@runtime_checkable
class Described(Protocol):
    """Data that says what it holds, in the words of `Capabilities`."""

    def traits(self) -> frozenset[str]:
        """Such as {"past_covariates", "missing_values", "multi_item"}."""
        ...


@runtime_checkable
class Restrictable(Protocol):
    """Data or windows that can leave out what a model does not take."""

    def without(self, traits: frozenset[str]) -> Self:
        """The same rows without, say, its past covariates."""
        ...


@runtime_checkable
class Extendable(Protocol):
    """Data to which rows can be added at the end."""

    def extended(self, later: Self) -> Self:
        """This data followed by `later`, whose first row comes right after this one's last."""
        ...


@runtime_checkable
class Grouped(Protocol):
    """Data that can be cut by group as well as by time."""

    def of_groups(self, groups: np.ndarray) -> Self:
        """The data of some groups, each named as in `Windows.groups`, in the order given."""
        ...


@runtime_checkable
class HasHistory(Protocol):
    """Windows that can show what was known when each was to be predicted."""

    def histories(self) -> Iterator[tuple[np.ndarray, Any, np.ndarray]]:
        """For each origin: positions of its windows, the data as known then, and which rows of a
        prediction of that data belong to those windows.
        """
        ...


@runtime_checkable
class HasLengths(Protocol):
    """Windows of items that begin at times of their own, so that some are too young for a model."""

    @property
    def lengths(self) -> np.ndarray:
        """Rows of history each window has, [n]."""
        ...


@runtime_checkable
class Separable(Protocol):
    """Windows on no common grid of time, which tell by themselves what they share with other data."""

    def apart_from(self, data: Any) -> Self:
        """The windows none of whose targets is a row of `data`, or of its windows where it is windows."""
        ...

    def within(self, data: Any) -> np.ndarray:
        """Whether all targets of each window are rows of `data`, or of its windows, [n]."""
        ...


@runtime_checkable
class HasScale(Protocol):
    """Windows that know how large a naive error is, for scaled metrics."""

    def naive_scale(
        self, seasonality: int | None, *, before: Any = None, squared: bool = False
    ) -> np.ndarray:
        """Mean absolute (or squared) seasonal difference of each window's item on rows before `before`
        (default: up to the first origin), [n, target]; NaN where it cannot be told.
        """
        ...
