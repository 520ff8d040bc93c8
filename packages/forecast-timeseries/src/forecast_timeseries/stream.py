"""`StreamBuffer`: the latest rows of a live series, and the window a model predicts from."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from forecast_core.data import Panel
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.series.stream import Appended, Stream
from forecast_core.validation import numbers, whole

__all__ = ["StreamBuffer"]


class StreamBuffer(Stream):
    """A bounded buffer of rows as they arrive, on the grid of its frequency; `window()` is what to predict
    from.

    The rules of arrival: rows may come in any order, in one call or many. A time left out is a missing
    row until it comes (a gap). A row older than the buffer is counted as late and ignored. A row that is
    held already is counted as repeated and ignored if its values are equal, fills what was missing, and
    raises ConflictError if it contradicts. Times without a zone are UTC; times with one, such as those of
    a clock that is set back, are turned into UTC, so that no hour happens twice or never.

    context_length: rows that `window()` gives and `ready` waits for.
    """

    def __init__(self, *, context_length: int, capacity: int | None = None, **series: Any) -> None:
        self.context_length = whole("context_length", context_length)
        capacity = max(1024, 4 * self.context_length) if capacity is None else whole("capacity", capacity)
        if capacity < self.context_length:
            rule = f"is at least context_length = {self.context_length}"
            raise ShapeError("capacity", rule, got=capacity)
        super().__init__(capacity=capacity, **series)

    @classmethod
    def from_panel(cls, panel: Panel, *, context_length: int, capacity: int | None = None) -> Self:
        """A buffer of a panel's series that holds the last of its known rows; InvalidInputError for another
        kind of data.
        """
        if not isinstance(panel, Panel):
            hint = "make one by Panel.from_frame"
            raise InvalidInputError("panel", "is a Panel", got=type(panel).__name__, hint=hint)
        buffer = cls(
            context_length=context_length,
            capacity=capacity,
            item_ids=panel.item_ids,
            freq=panel.freq,
            target_names=panel.target_names,
            past_covariate_names=panel.past_covariate_names,
            future_covariate_names=panel.future_covariate_names,
            static_covariates=panel.static_covariates,
            static_covariate_names=panel.static_covariate_names,
            tz=panel.tz,
        )
        known = panel.known_rows
        if known:
            recent = panel.rows(max(known - buffer.capacity, 0), known)
            Stream.append(
                buffer,
                recent.timestamps,
                recent.values,
                past_covariates=recent.past_covariates,
                future_covariates=recent.future_covariates,
            )
        return buffer

    def append(
        self,
        timestamps: Any,
        values: Any,
        *,
        past_covariates: Any = None,
        future_covariates: Any = None,
    ) -> Appended:
        """Take one row or several: a time with values [item, target] (or a number, where there is one item
        and target), or times [row] with values [row, item, target]; covariates likewise.

        Raises ShapeError, FrequencyError for a time off the grid, DataError for a time given twice or too
        far ahead, ConflictError for values other than those held.
        """
        values = numbers("values", values)
        past_covariates, future_covariates = (
            None if array is None else numbers(name, array)
            for name, array in (
                ("past_covariates", past_covariates),
                ("future_covariates", future_covariates),
            )
        )
        if np.ndim(timestamps) == 0:
            timestamps = [timestamps]
            values, past_covariates, future_covariates = (
                None if array is None else array[None]
                for array in (values, past_covariates, future_covariates)
            )
        rows, items = len(timestamps), len(self.item_ids)
        if values.shape == (rows,) and items == len(self.target_names) == 1:
            values = values[:, None, None]
        return super().append(
            timestamps, values, past_covariates=past_covariates, future_covariates=future_covariates
        )

    @property
    def ready(self) -> bool:
        """Whether the buffer spans the rows of a window."""
        return len(self) >= self.context_length

    def window(self, *, future_covariates: Any = None) -> Panel:
        """The last `context_length` rows, with missing values for rows that did not come.

        future_covariates: [steps ahead, item, column], for models that need them. Raises ShapeError
        before the buffer is `ready`.
        """
        if not self.ready:
            rule = f"holds context_length = {self.context_length} rows"
            raise ShapeError("stream", rule, got=f"{len(self)} rows")
        return self.panel(future_covariates=future_covariates, rows=self.context_length)
