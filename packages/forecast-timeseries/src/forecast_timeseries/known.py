"""What a model knows from training and asks of later data: its items, columns and frequency."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from forecast_core.arrays import covered
from forecast_core.data import Freq, Panel, PanelWindows
from forecast_core.data.overlap import unseen
from forecast_core.data.protocols import Windows
from forecast_core.errors import (
    DataError,
    FrequencyError,
    InvalidInputError,
    MissingFutureError,
    ShapeError,
)

__all__ = [
    "Known",
    "channels_of",
    "check_history",
    "held_out",
    "spanned",
    "steps_within",
    "training_windows",
    "validation_windows",
]

_HELD_OUT = 0.2  # share of the last origins that set what has to be told out of sample
_COLUMNS = ("target_names", "past_covariate_names", "future_covariate_names", "static_covariate_names")


@dataclass(frozen=True)
class Known:
    """Ids of the items of training, names of its columns by their sort, and its frequency."""

    items: tuple[int | str, ...]
    columns: Mapping[str, tuple[str, ...]]
    freq: str

    @classmethod
    def of(cls, panel: Panel) -> Self:
        """What a panel shows."""
        columns = {name: getattr(panel, name) for name in _COLUMNS}
        return cls(items=panel.item_ids, columns=columns, freq=str(panel.freq))

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets."""
        return self.columns["target_names"]

    def check(self, panel: Panel, *, argument: str = "data") -> None:
        """FrequencyError, DataError or MissingFutureError unless a panel has these columns and this
        frequency.
        """
        if str(panel.freq) != self.freq:
            raise FrequencyError(f"{argument}.freq", f"is {self.freq}, as in training", got=str(panel.freq))
        for name, expected in self.columns.items():
            found = getattr(panel, name)
            if found != expected:
                error = MissingFutureError if name == "future_covariate_names" else DataError
                raise error(f"{argument}.{name}", f"is {list(expected)}, as in training", got=list(found))

    def positions(self, panel: Panel, *, argument: str = "data") -> np.ndarray:
        """Position in training of each item of a panel, [item]; DataError for one that was not there."""
        where = {item: k for k, item in enumerate(self.items)}
        unknown = next((item for item in panel.item_ids if item not in where), None)
        if unknown is not None:
            raise DataError(
                f"{argument}.item_ids",
                "were all seen in training",
                got=repr(unknown),
                hint="fit on a panel that holds it",
            )
        return np.array([where[item] for item in panel.item_ids])

    def channels(self, panel: Panel) -> np.ndarray:
        """Position in training of each series, an item's target, of a panel, [item*target]."""
        return channels_of(self.positions(panel), targets=len(self.targets))

    def to_json(self) -> str:
        """A text from which `from_json` makes the same."""
        columns = {name: list(names) for name, names in self.columns.items()}
        return json.dumps({"items": list(self.items), "freq": self.freq, "columns": columns})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Of a text of `to_json`; keys beside its own are passed over."""
        known = json.loads(text)
        columns = {name: tuple(known["columns"][name]) for name in _COLUMNS}
        freq = str(Freq.parse(known["freq"]))  # which may have had another name when it was saved
        return cls(items=tuple(known["items"]), columns=columns, freq=freq)


def channels_of(items: np.ndarray, *, targets: int) -> np.ndarray:
    """Series of items [n], each with all its targets: [n*target]."""
    channels: np.ndarray = (items[:, None] * targets + np.arange(targets)).reshape(-1)
    return channels


def steps_within(horizon: int | None, longest: int) -> int:
    """Steps to predict, `longest` where nothing else is asked; InvalidInputError for more than that."""
    steps = longest if horizon is None else horizon
    if steps > longest:
        raise InvalidInputError(
            "horizon",
            f"is at most {longest}, what the model was fitted for",
            got=steps,
            hint="set horizon= when creating the model",
        )
    return steps


def check_history(argument: str, rows: np.ndarray, *, context: int) -> None:
    """ShapeError for a window that has fewer than `context` rows up to its origin, its row [n]."""
    short = np.flatnonzero(rows + 1 < context)
    if len(short):
        raise ShapeError(
            argument,
            f"has at least context_length = {context} rows up to each origin",
            place=f"window {short[0]}",
            got=f"{rows[short[0]] + 1} rows",
        )


def training_windows(
    argument: str, data: Panel | PanelWindows, *, context: int, horizon: int
) -> PanelWindows:
    """Windows to learn from: all of a panel, or those given, checked for their horizon and context."""
    if not isinstance(data, PanelWindows):
        return data.windows(context_length=context, horizon=horizon)
    if data.horizon != horizon:
        raise InvalidInputError(argument, f"has windows of the horizon {horizon}", got=data.horizon)
    check_history(argument, data.rows, context=context)
    return data


def spanned(windows: PanelWindows, *, context: int) -> np.ndarray:
    """Which rows of which items lie in the context or the horizon of a window: [time, item] up to the last
    of such rows. All that a fit may read of a panel.
    """
    known, items = windows.panel.values.shape[:2]
    rows = windows.items * known + windows.rows  # items one after the other
    inside = covered(rows + 1 - context, rows + windows.horizon, length=items * known)
    until = int(windows.rows.max()) + windows.horizon + 1
    return np.ascontiguousarray(inside.reshape(items, known).T[:until])


def validation_windows(
    data: Panel | PanelWindows, validation: Panel | PanelWindows, *, context: int, horizon: int
) -> PanelWindows:
    """Windows of validation data; where its rows follow those of training, they reach back into them.

    Of a panel, rows that are fitted on, as `data`, are context and never targets; windows are taken as given.
    Items may be some of those of training, in any order. DataError for others and for other columns,
    ShapeError where there is no window.
    """
    train = data.panel if isinstance(data, PanelWindows) else data
    held = validation.panel if isinstance(validation, PanelWindows) else validation
    Known.of(train).positions(held, argument="validation")
    if isinstance(validation, PanelWindows):
        return training_windows("validation", validation, context=context, horizon=horizon)
    follows = train.freq.shift(train.timestamps[train.known_rows - 1], 1) == validation.timestamps[0]
    panel = _following(train, validation) if follows else validation
    windows: Windows = panel.windows(context_length=context, horizon=horizon)
    if follows:
        windows = windows.take(np.flatnonzero(windows.origins >= train.timestamps[train.known_rows - 1]))
    else:
        windows = unseen(windows, data)
    if not len(windows):
        rule = f"has at least horizon = {horizon} rows that are not fitted on"
        raise ShapeError("validation", rule, got=len(validation))
    assert isinstance(windows, PanelWindows)
    return windows


def _following(train: Panel, validation: Panel) -> Panel:
    """The rows of training, of the items of `validation`, and then its own."""
    try:
        return train.select_items(validation.item_ids).extended(validation)
    except (DataError, ShapeError) as error:
        argument = error.argument.replace("later", "validation")
        raise type(error)(argument, error.rule, place=error.place, got=error.got, hint=error.hint) from error


def held_out(rows: np.ndarray, *, context: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Which windows, of origins [n], end before the first origin held out, and which are held out, [n]
    each: those of the last fifth of origins. ShapeError where none ends before.
    """
    first, last = int(rows.min()), int(rows.max())
    begin = last + 1 - max(round((last + 1 - first) * _HELD_OUT), 1)
    early = rows + horizon <= begin
    if not early.any():
        raise ShapeError(
            "data",
            f"leaves windows before those held out (context_length = {context}, horizon = {horizon})",
            got=f"{last + 1 + horizon} rows",
            hint="give more rows, a shorter context_length or horizon, or validation=",
        )
    return early, rows >= begin
