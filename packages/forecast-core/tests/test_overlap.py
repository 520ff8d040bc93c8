"""What validation has in common with what is fitted on, against comparing every target with every other."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from forecast_core.data.overlap import unseen
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=40, items=4)


@given(
    low=st.integers(0, 20),
    high=st.integers(28, 40),
    items=st.lists(st.sampled_from(PANEL.item_ids), min_size=1, unique=True),
    horizon=st.integers(1, 4),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_windows_are_kept_whose_targets_are_not_fitted_on(
    low: int, high: int, items: list[str], horizon: int, data: st.DataObject
) -> None:
    held = PANEL.rows(low, high).select_items(items).windows(context_length=2, horizon=horizon)
    ahead = data.draw(st.integers(1, 4), label="horizon of training")
    known = PANEL.select_items(data.draw(st.permutations(PANEL.item_ids), label="items")[:3])
    fitted = known.windows(context_length=3, horizon=ahead)
    chosen = data.draw(st.lists(st.integers(0, len(fitted) - 1), min_size=1, max_size=20), label="windows")
    fitted = fitted.take(np.array(chosen))
    pairs = zip(fitted.item_ids, fitted.rows.tolist(), strict=True)
    learned = {(item, row + step) for item, row in pairs for step in range(1, ahead + 1)}
    expected = [
        k
        for k, (item, row) in enumerate(zip(held.item_ids, (held.rows + low).tolist(), strict=True))
        if not any((item, row + step) in learned for step in range(1, horizon + 1))
    ]
    kept = unseen(held, fitted)
    np.testing.assert_array_equal(kept.origins, held.take(np.array(expected, dtype=np.int64)).origins)
    assert kept.item_ids == held.take(np.array(expected, dtype=np.int64)).item_ids  # type: ignore[attr-defined]
    begin, end = sorted(data.draw(st.tuples(st.integers(0, 40), st.integers(0, 40)), label="rows"))
    if begin == end:
        return
    rows = known.rows(begin, end)  # of a panel every row is fitted on
    expected = [
        k
        for k, (item, row) in enumerate(zip(held.item_ids, (held.rows + low).tolist(), strict=True))
        if item not in known.item_ids or row + horizon < begin or row >= end - 1
    ]
    assert list(unseen(held, rows).item_ids) == [held.item_ids[k] for k in expected]  # type: ignore[attr-defined]
