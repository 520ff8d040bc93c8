"""Named columns of a request put into the arrays of a panel, in the order the model knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast_core.data import Freq, Panel
from forecast_core.data.instants import instants
from forecast_core.errors import DataError, InvalidInputError, ShapeError, near_misses

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = [
    "check_span",
    "column_names",
    "freq_of",
    "item_ids_of",
    "rows_of",
    "series_panel",
    "steps_asked",
    "target_names_of",
    "times",
    "zone_of",
]

# What time stamps in nanoseconds can hold, which some libraries below models use.
_EARLIEST, _LATEST = np.datetime64("1678-01-01", "us"), np.datetime64("2262-01-01", "us")


def times(argument: str, texts: Sequence[str]) -> np.ndarray:
    """Times [n] in UTC of texts in ISO 8601; DataError for one outside the years 1678 to 2261."""
    utc = all(text.endswith("Z") for text in texts)  # numpy reads these quickly without their zone
    stamps = instants(argument, [text[:-1] for text in texts] if utc else list(texts))
    outside = np.flatnonzero((stamps < _EARLIEST) | (stamps >= _LATEST))
    if len(outside):
        place = f"row {outside[0]}"
        raise DataError(argument, "lie in the years 1678 to 2261", place=place, got=stamps[outside[0]])
    return stamps


def check_span(argument: str, start: np.datetime64, freq: Freq, *, steps: int) -> None:
    """DataError where `steps` steps after `start` lie past the year 2261."""
    year = np.timedelta64(366, "D").astype("timedelta64[us]").astype(int)
    step = int(freq.delta.astype(int)) if freq.is_fixed else freq.n * int(year)
    if int(start.astype(np.int64)) + steps * step >= int(_LATEST.astype(np.int64)):
        raise DataError(argument, "ends before the year 2262", got=f"{steps} steps of {freq} after {start}")


def steps_asked(horizon: int | None, info: ModelInfo) -> int:
    """Steps a model will answer: those of the request, else its own, else a hundred."""
    own = info.config.get("horizon")
    return horizon or (own if isinstance(own, int) else 100)


def freq_of(given: str | None, info: ModelInfo, stamps: np.ndarray) -> Freq:
    """The frequency given, else that of the model's training, else the one the times show."""
    known = info.data.get("freq")
    if given is not None:
        return Freq.parse(given)
    return Freq.parse(known) if isinstance(known, str) else Freq.infer(np.unique(stamps))


def target_names_of(info: ModelInfo) -> tuple[str, ...] | None:
    """The targets a model was fitted on; None where it was not fitted."""
    return _known(info, "target_names")


def column_names(argument: str, given: Sequence[str], info: ModelInfo, *, kind: str) -> tuple[str, ...]:
    """Names of columns in the model's order; in the order given where it was not fitted.

    kind: "target_names", "past_covariates", ..., as in a model's data signature. InvalidInputError where
    the names are not those of the model.
    """
    known = _known(info, kind)
    if known is None:
        return tuple(given)
    if set(given) != set(known):
        hint = near_misses(next((n for n in given if n not in known), ""), known) if given else None
        raise InvalidInputError(
            argument, f"holds the model's {list(known)}", got=str(list(given))[:200], hint=hint
        )
    return known


def item_ids_of(
    given: Sequence[int | str] | None, *, count: int, targets: Sequence[str]
) -> tuple[int | str, ...]:
    """The ids given; else the first target's name for one item, as `Panel.from_frame` calls a single
    series, and 0, 1, ... for several. ShapeError where there are not as many as items.
    """
    if given is None:
        return (targets[0],) if count == 1 else tuple(range(count))
    if len(given) != count:
        raise ShapeError("item_ids", f"has one id an item ({count})", got=len(given))
    return tuple(given)


def rows_of(
    argument: str,
    columns: Mapping[str, Sequence[Sequence[float | None]]],
    names: Sequence[str],
    *,
    items: int,
    rows: int,
) -> np.ndarray:
    """Columns {name: [item][time]} as an array [time, item, name], NaN where null.

    ShapeError naming the column and the item that has another length.
    """
    out = np.empty((len(names), items, rows))
    for k, name in enumerate(names):
        column = columns[name]
        if len(column) != items:
            raise ShapeError(f"{argument}.{name}", f"has one list an item ({items})", got=len(column))
        short = next((i for i, row in enumerate(column) if len(row) != rows), None)
        if short is not None:
            rule = f"has one value a time ({rows})"
            raise ShapeError(f"{argument}.{name}.{short}", rule, got=len(column[short]))
        out[k] = np.array(column, dtype=np.float64)  # None becomes NaN
    return out.transpose(2, 1, 0)


def series_panel(
    values: np.ndarray,
    *,
    start: str,
    freq: str,
    item_ids: tuple[int | str, ...],
    info: ModelInfo,
    horizon: int,
) -> Panel:
    """Values [time, item, target] from `start` on, as a panel with the model's names of targets."""
    targets = values.shape[-1]
    names = target_names_of(info) or (
        ("target",) if targets == 1 else tuple(f"target_{k}" for k in range(targets))
    )
    if len(names) != targets:
        raise ShapeError("series", f"has the model's targets {list(names)}", got=targets)
    grid, begins = Freq.parse(freq), times("start_timestamp", [start])[0]
    check_span("start_timestamp", begins, grid, steps=len(values) + horizon)
    return Panel(
        values=values,
        timestamps=grid.range(begins, len(values)),
        item_ids=item_ids,
        freq=grid,
        target_names=names,
        tz=zone_of(None, info),
    )


def zone_of(given: str | None, info: ModelInfo) -> str | None:
    """The zone given, else that of the model's training."""
    known = info.data.get("tz")
    return given if given is not None else (known if isinstance(known, str) else None)


def _known(info: ModelInfo, kind: str) -> tuple[str, ...] | None:
    names: Any = info.data.get(kind)
    return tuple(map(str, names)) if isinstance(names, list) else None
