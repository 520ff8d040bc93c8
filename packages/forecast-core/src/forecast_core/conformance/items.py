"""Checks of items: their order carries no meaning where they are exchangeable."""

from __future__ import annotations

import numpy as np

from forecast_core.conformance.check import check, skip
from forecast_core.conformance.comparing import TOLERANCE, need_same
from forecast_core.conformance.subject import Subject

__all__ = ["item_permutation"]


@check(needs=("shapes", "repeatable"))
def item_permutation(subject: Subject) -> None:
    """Items in another order give the same predictions in that order."""
    if not subject.declares("exchangeable_items"):
        skip("the model does not declare exchangeable_items")
    data = subject.data()
    if not hasattr(data, "select_items"):
        skip(f"data of task {subject.task.id!r} has no select_items to reorder them")
    if len(data.item_ids) < 2:
        skip("sample data holds one item")
    order = np.roll(np.arange(len(data.item_ids))[::-1], 1)
    model, expected = subject.fitted(), subject.predict()
    moved = subject.to_predict(data.select_items([data.item_ids[k] for k in order.tolist()]))
    need_same(
        model.predict(moved, horizon=subject.horizon),
        expected.take(order),
        what="items reordered",
        tolerance=TOLERANCE,
    )
