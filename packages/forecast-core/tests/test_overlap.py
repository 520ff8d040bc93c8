"""What validation has in common with what is fitted on, against comparing every target with every other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.data import Panel, PanelWindows
from forecast_core.data.overlap import refuse_overlap, seen, unseen
from forecast_core.errors import LeakError
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


@given(
    low=st.integers(0, 20),
    high=st.integers(28, 40),
    items=st.lists(st.sampled_from(PANEL.item_ids), min_size=1, unique=True),
    horizon=st.integers(1, 4),
    whole=st.booleans(),
    data=st.data(),
)
@settings(max_examples=150, deadline=None)
def test_windows_are_refused_of_which_every_target_is_fitted_on(
    low: int, high: int, items: list[str], horizon: int, whole: bool, data: st.DataObject
) -> None:
    held = PANEL.rows(low, high).select_items(items).windows(context_length=2, horizon=horizon)
    known = PANEL.select_items(data.draw(st.permutations(PANEL.item_ids), label="items")[:3])
    fitted: Panel | PanelWindows
    if whole:
        begin = data.draw(st.integers(0, 39), label="first row")
        end = data.draw(st.integers(begin + 1, 40), label="last row")
        fitted = known.rows(begin, end)
        learned = {(item, row) for item in known.item_ids for row in range(begin, end)}
    else:
        fitted = known.windows(context_length=3, horizon=data.draw(st.integers(1, 4), label="of training"))
        share = data.draw(st.sampled_from([0.1, 0.5, 0.9]), label="share")
        fitted = fitted.take(np.random.default_rng(low).random(len(fitted)) < share)
        pairs = zip(fitted.item_ids, fitted.rows.tolist(), strict=True)
        learned = {(item, row + step) for item, row in pairs for step in range(1, fitted.horizon + 1)}
    leaking = [
        all((item, row + step) in learned for step in range(1, horizon + 1))
        for item, row in zip(held.item_ids, (held.rows + low).tolist(), strict=True)
    ]
    np.testing.assert_array_equal(seen(held, fitted), leaking)
    if any(leaking):
        first = leaking.index(True)
        with pytest.raises(
            LeakError, match=f"validation: all targets of window {first}, of '{held.item_ids[first]}'"
        ):
            refuse_overlap(fitted, held, same=False)
        held = held.take(~np.array(leaking))
    refuse_overlap(fitted, held, same=False)
