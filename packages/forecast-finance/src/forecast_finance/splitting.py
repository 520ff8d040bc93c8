"""Combinatorial purged cross-validation, by date for all symbols at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forecast_core.data.protocols import Windows
from forecast_core.errors import InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.splits import Over

__all__ = ["CombinatorialPurgedSplit"]


@dataclass(frozen=True, kw_only=True)
class CombinatorialPurgedSplit:
    """Every choice of `n_test_folds` out of `n_folds` blocks of dates is tested once, the others trained on.

    Training windows are purged whose origin lies within a test block, whose last return is earned after a
    block began and whose origin lies before it ended, or whose origin lies among the `embargo` dates after a
    block and the reach of its labels: of all of them, since those of a symbol that misses bars reach far.
    The choices are those of skfolio's CombinatorialPurgedCV. Training dates may come after tested ones, so no
    walk-forward claim follows from it; it serves to tell how often the configuration that looked best is not
    (`probability_of_overfitting`).

    Source: Lopez de Prado, Advances in Financial Machine Learning (2018), ch. 12.
    """

    over: ClassVar[Over] = "windows"

    n_folds: int = 6
    n_test_folds: int = 2
    embargo: int = 5

    def split(self, windows: Windows) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(train, test) index arrays, a pair a choice of blocks; MissingDependencyError without skfolio."""
        try:
            from skfolio.model_selection import CombinatorialPurgedCV
        except ImportError as error:
            raise MissingDependencyError(
                "skfolio",
                purpose="combinatorial purged cross-validation",
                install="pip install 'forecast-finance[splits]'",
            ) from error
        origins, ends = windows.origins, windows.label_ends
        if origins is None or ends is None:
            raise InvalidInputError("windows", "have origins and label ends in time")
        times, of = np.unique(origins, return_inverse=True)
        if self.embargo < 0 or len(times) < self.n_folds:
            rule = f"have at least {self.n_folds} origins, and an embargo of 0 or more"
            raise InvalidInputError("windows", rule, got=f"{len(times)} origins, embargo {self.embargo}")
        try:
            splitter = CombinatorialPurgedCV(n_folds=self.n_folds, n_test_folds=self.n_test_folds)
            choices = [blocks for _, blocks in splitter.split(np.zeros((len(times), 1)))]
        except ValueError as error:
            raise InvalidInputError("CombinatorialPurgedSplit", f"fits the data ({error})") from error
        for blocks in choices:
            tested = np.zeros(len(times), dtype=np.bool_)
            trained = np.ones(len(origins), dtype=np.bool_)
            for block in _runs(np.sort(np.concatenate(blocks))):
                tested[block] = True
                begin, end = times[block[0]], ends[np.isin(of, block)].max()
                after = min(int(np.searchsorted(times, end, side="right")) + self.embargo, len(times)) - 1
                trained &= (ends <= begin) | (of > after)
            train, test = np.flatnonzero(trained & ~tested[of]), np.flatnonzero(tested[of])
            if not len(train):
                raise ShapeError("windows", "leave something to train on", got=f"{len(times)} origins")
            yield train, test


def _runs(index: np.ndarray) -> list[np.ndarray]:
    """Sorted positions in runs of neighbours."""
    return np.split(index, np.flatnonzero(np.diff(index) != 1) + 1)
