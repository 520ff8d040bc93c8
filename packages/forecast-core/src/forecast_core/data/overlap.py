"""That validation data is not what a model is fitted on."""

from __future__ import annotations

from typing import Any

from forecast_core.data.protocols import Data
from forecast_core.data.reading import known_timeline, source_of
from forecast_core.errors import LeakError

__all__ = ["refuse_overlap", "shares_series"]


def refuse_overlap(data: Any, validation: Any, *, same: bool) -> None:
    """LeakError where `validation` is the `same` data, or rows of its series that end within it.

    Rows of `data` at its beginning, as context of those after, are no leak. Windows are left alone: which
    of a panel's rows they score is theirs to say.
    """
    if not isinstance(data, Data) or not isinstance(validation, Data):
        return
    rule = "what is fitted on says nothing of how it will do; give validation rows of its own"
    if same:
        raise LeakError(f"validation is the data that is fitted on; {rule}")
    if not shares_series(data, validation):
        return
    fitted, held = known_timeline(data), known_timeline(validation)
    if len(fitted) and len(held) and fitted[0] <= held[-1] <= fitted[-1]:
        raise LeakError(
            f"validation ends at {held[-1]}, within the data that is fitted on, which is from {fitted[0]} to "
            f"{fitted[-1]}; {rule}"
        )


def shares_series(data: Any, validation: Any) -> bool:
    """Whether both, or the data behind windows, hold rows of one series; False for data on no time grid."""
    return bool(_series(data) & _series(validation))


def _series(data: Any) -> set[Any]:
    source = source_of(data)
    ids = getattr(source, "item_ids", getattr(source, "node_ids", ()))
    return set(ids) if hasattr(source, "timestamps") else set()
