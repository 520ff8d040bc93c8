"""That validation data is not what a model is fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.data.protocols import Data, Intersecting, Windows
from forecast_core.data.reading import known_timeline, source_of
from forecast_core.errors import LeakError

__all__ = ["refuse_overlap", "shares_series", "unseen"]


def refuse_overlap(data: Any, validation: Any, *, same: bool) -> None:
    """LeakError where `validation` is the `same` data, holds samples of it, or ends within its rows.

    Rows of `data` at its beginning, as context of those after, are no leak. Windows are left alone: which
    of a panel's rows they score is theirs to say.
    """
    if not isinstance(data, Data) or not isinstance(validation, Data):
        return
    rule = "what is fitted on says nothing of how it will do; give validation rows of its own"
    if same:
        raise LeakError(f"validation is the data that is fitted on; {rule}")
    if isinstance(data, Intersecting) and isinstance(validation, type(data)) and data.intersects(validation):
        raise LeakError(f"validation holds some of the data that is fitted on; {rule}")
    if not shares_series(data, validation):
        return
    fitted, held = known_timeline(data), known_timeline(validation)
    if len(fitted) and len(held) and fitted[0] <= held[-1] <= fitted[-1]:
        raise LeakError(
            f"validation ends at {held[-1]}, within the data that is fitted on, which is from {fitted[0]} to "
            f"{fitted[-1]}; {rule}"
        )


def unseen(windows: Windows, data: Any) -> Windows:
    """The windows whose targets all lie before or after the rows of `data`, of which they share a series.

    Rows that validation has in common with what is fitted on serve as context only. Windows of other series,
    and of data on no time grid, are all kept.
    """
    origins, ends = windows.origins, windows.label_ends
    if origins is None or ends is None or not shares_series(data, windows):
        return windows
    if isinstance(data, Data):
        fitted = known_timeline(data)
        first, last = fitted[0], fitted[-1]
    elif data.origins is not None and data.label_ends is not None:  # rows after its first origin are learned
        first, last = data.origins.min(), data.label_ends.max()
    else:
        return windows
    return windows.take(np.flatnonzero((origins >= last) | (ends < first)))


def shares_series(data: Any, validation: Any) -> bool:
    """Whether both, or the data behind windows, hold rows of one series; False for data on no time grid."""
    return bool(_series(data) & _series(validation))


def _series(data: Any) -> set[Any]:
    source = source_of(data)
    ids = getattr(source, "item_ids", getattr(source, "node_ids", ()))
    return set(ids) if hasattr(source, "timestamps") else set()
