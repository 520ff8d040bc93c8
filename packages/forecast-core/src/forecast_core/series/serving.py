"""Bodies of REST requests for models of task `series`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from forecast_core.data import Panel
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.series.columns import (
    check_span,
    column_names,
    freq_of,
    item_ids_of,
    rows_of,
    steps_asked,
    target_names_of,
    times,
    zone_of,
)
from forecast_core.serving.request import ForecastRequest, ItemId, Name, Number, TensorSpec, Time

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["Columns", "KnownColumns", "SeriesRequest", "StaticColumns", "as_targets", "static_of"]

_Row = Annotated[list[Number | None], Field(min_length=1, max_length=100_000)]
_KnownRow = Annotated[list[Number], Field(min_length=1, max_length=110_000)]
Columns = dict[Name, Annotated[list[_Row], Field(min_length=1, max_length=10_000)]]
KnownColumns = dict[Name, Annotated[list[_KnownRow], Field(min_length=1, max_length=10_000)]]
StaticColumns = dict[Name, Annotated[list[Number], Field(min_length=1, max_length=10_000)]]


class SeriesRequest(ForecastRequest):
    """The history of one or several series on one time grid, and what is known of their future.

    context: target name -> [item][time], null where missing; a model with one target also takes it under
    the name "target". timestamps: [time], increasing, one step of `freq` apart; without a zone they are
    UTC. item_ids: default is the target's name for one series, 0, 1, ... for several. past_covariates:
    name -> [item][time], null where missing. future_covariates: name -> [item][time + steps ahead].
    static_covariates: name -> [item]. freq: default is that of the model's training, else inferred. tz:
    the zone whose clock calendar features follow; default is that of training.
    """

    data_fields: ClassVar[Mapping[str, str]] = {
        "data": "context",
        "values": "context",
        "target_names": "context",
        "future": "future_covariates",
    }

    context: Annotated[Columns, Field(min_length=1, max_length=1_000)]
    timestamps: Annotated[list[Time], Field(min_length=1, max_length=100_000)]
    item_ids: Annotated[list[ItemId], Field(min_length=1, max_length=10_000)] | None = None
    past_covariates: Columns = Field(default_factory=dict, max_length=1_000)
    future_covariates: KnownColumns = Field(default_factory=dict, max_length=1_000)
    static_covariates: StaticColumns = Field(default_factory=dict, max_length=1_000)
    freq: Annotated[str, Field(min_length=1, max_length=30)] | None = None
    tz: Annotated[str, Field(min_length=1, max_length=100)] | None = None

    def to_data(self, info: ModelInfo) -> Panel:
        """The panel of this request; columns in the model's order.

        Raises InvalidInputError, or one of its kinds, naming the field that does not fit.
        """
        stamps = times("timestamps", self.timestamps)
        freq = freq_of(self.freq, info, stamps)
        rows, context = len(stamps), as_targets(self.context, info)
        targets = column_names("context", list(context), info, kind="target_names")
        items = len(context[targets[0]])
        values = rows_of("context", context, targets, items=items, rows=rows)
        past = column_names("past_covariates", list(self.past_covariates), info, kind="past_covariates")
        future = column_names(
            "future_covariates", list(self.future_covariates), info, kind="future_covariates"
        )
        ahead = 0
        if future:
            ahead = len(self.future_covariates[future[0]][0]) - rows
            if ahead < 0:
                raise ShapeError(
                    f"future_covariates.{future[0]}.0", f"has the {rows} times of context and those ahead"
                )
            unknown = np.full((ahead, *values.shape[1:]), np.nan)
            values = np.concatenate([values, unknown])  # [time + ahead, item, target]
            stamps = np.concatenate([stamps, freq.shift(freq.range(stamps[-1], ahead), 1)])
        check_span("timestamps", stamps[-1], freq, steps=steps_asked(self.horizon, info))
        return Panel(
            values=values,
            timestamps=stamps,
            item_ids=item_ids_of(self.item_ids, count=items, targets=targets),
            freq=freq,
            target_names=targets,
            past_covariates=self._past(past, items=items, rows=rows, ahead=ahead),
            past_covariate_names=past,
            future_covariates=(
                rows_of("future_covariates", self.future_covariates, future, items=items, rows=rows + ahead)
                if future
                else None
            ),
            future_covariate_names=future,
            **static_of(self.static_covariates, info, items=items),
            tz=zone_of(self.tz, info),
            known=rows if future else None,
        )

    def _past(self, names: tuple[str, ...], *, items: int, rows: int, ahead: int) -> np.ndarray | None:
        if not names:
            return None
        known = rows_of("past_covariates", self.past_covariates, names, items=items, rows=rows)
        return np.concatenate([known, np.full((ahead, *known.shape[1:]), np.nan)])

    @classmethod
    def tensors(cls, info: ModelInfo) -> tuple[TensorSpec, ...]:
        """Targets and covariates of the model, [item, time], and the timestamps."""
        signature: Mapping[str, Any] = info.data
        found = [
            TensorSpec(f"context.{name}", "FP64", (-1, -1)) for name in target_names_of(info) or ("target",)
        ]
        for kind in ("past_covariates", "future_covariates"):
            found += [TensorSpec(f"{kind}.{name}", "FP64", (-1, -1)) for name in signature.get(kind, ())]
        found += [
            TensorSpec(f"static_covariates.{name}", "FP64", (-1,))
            for name in signature.get("static_covariates", ())
        ]
        return (*found, TensorSpec("timestamps", "BYTES", (-1,)), TensorSpec("item_ids", "BYTES", (-1,)))

    @classmethod
    def example(cls, info: ModelInfo, *, rows: int) -> dict[str, Any] | None:
        """Waves within the range of training, up to where that ended; of the model's first two items."""
        from forecast_core.series.example import example_body

        return example_body(info, rows=rows)


def as_targets(context: Columns, info: ModelInfo) -> Columns:
    """Columns of targets under the model's own name, where it has one target and the column is "target"."""
    known = target_names_of(info)
    if known is not None and len(known) == 1 and list(context) == ["target"]:
        return {known[0]: context["target"]}
    return context


def static_of(columns: StaticColumns, info: ModelInfo, *, items: int) -> dict[str, Any]:
    """A panel's `static_covariates` [item, name] and their names; empty where there are none."""
    names = column_names("static_covariates", list(columns), info, kind="static_covariates")
    for name in names:
        if len(columns[name]) != items:
            rule = f"has one value an item ({items})"
            raise InvalidInputError(f"static_covariates.{name}", rule, got=len(columns[name]))
    if not names:
        return {}
    return {
        "static_covariates": np.array([columns[name] for name in names], dtype=np.float64).T,
        "static_covariate_names": names,
    }
