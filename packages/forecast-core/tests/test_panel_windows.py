"""Windows of a panel: equal to a plain loop over rows, and blind to what comes after their origin."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.protocols import HasHistory, HasScale, Restrictable, Windows
from forecast_core.errors import DataError, FrequencyError, InvalidInputError, ShapeError
from forecast_core.strategies import panels

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01T00", "us")


def series(rows: int = 10, items: int = 2, **changes: Any) -> fc.Panel:
    values = np.arange(rows * items, dtype=np.float64).reshape(rows, items, 1)
    return fc.Panel(
        values=changes.pop("values", values),
        timestamps=START + np.arange(rows) * HOUR,
        item_ids=tuple(range(items)),
        freq="h",  # type: ignore[arg-type]
        **changes,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[fc.Panel, int, int, int]:
    """A panel with a context, a horizon and a stride of which at least one window fits."""
    panel = draw(panels(rows=(3, 25)))
    assume(panel.known_rows >= 2)
    context = draw(st.integers(1, panel.known_rows - 1))
    horizon = draw(st.integers(1, panel.known_rows - context))
    return panel, context, horizon, draw(st.integers(1, 5))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_windows_are_those_of_a_plain_loop(case: tuple[fc.Panel, int, int, int]) -> None:
    panel, context, horizon, stride = case
    windows = panel.windows(context_length=context, horizon=horizon, stride=stride)
    for protocol in (Windows, HasHistory, HasScale, Restrictable):
        assert isinstance(windows, protocol)
    values, observed = windows.targets()
    contexts, padded = windows.contexts(), windows.contexts(context + 3)
    times, n = windows.timestamps(), 0
    for row in range(context - 1, panel.known_rows - horizon, stride):
        for item, name in enumerate(panel.item_ids):
            ahead = panel.values[row + 1 : row + 1 + horizon, item]
            np.testing.assert_array_equal(values[n], ahead)
            np.testing.assert_array_equal(observed[n], ~np.isnan(ahead))
            np.testing.assert_array_equal(contexts[n], panel.values[row + 1 - context : row + 1, item])
            before = panel.values[max(row - context - 2, 0) : row + 1, item]
            np.testing.assert_array_equal(padded[n, -len(before) :], before)
            assert np.isnan(padded[n, : -len(before)]).all()
            np.testing.assert_array_equal(times[n], panel.timestamps[row + 1 : row + 1 + horizon])
            assert windows.origins[n] == panel.timestamps[row]
            assert windows.label_ends[n] == panel.timestamps[row + horizon]
            assert windows.item_ids[n] == name
            assert windows.groups[n] == item
            n += 1
    assert len(windows) == n
    assert windows.strata is None


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_origins_choose_windows(case: tuple[fc.Panel, int, int, int], data: st.DataObject) -> None:
    panel, context, horizon, _ = case
    every = panel.windows(context_length=context, horizon=horizon)
    some = data.draw(st.lists(st.sampled_from(np.unique(every.origins).tolist()), max_size=4, unique=True))
    windows = panel.windows(context_length=context, horizon=horizon, origins=np.array(some, "datetime64[us]"))
    assert len(windows) == len(some) * len(panel.item_ids)
    assert windows.origins.tolist() == [t for t in some for _ in panel.item_ids]
    whole = panel.windows(horizon=horizon, origins=np.array(some, "datetime64[us]"))
    np.testing.assert_array_equal(whole.targets()[0], windows.targets()[0])
    assert whole.contexts().shape[1] == len(panel)


@settings(max_examples=80, deadline=None)
@given(cases(), st.data())
def test_taking_windows_is_taking_rows_of_all_they_show(
    case: tuple[fc.Panel, int, int, int], data: st.DataObject
) -> None:
    panel, context, horizon, stride = case
    windows = panel.windows(context_length=context, horizon=horizon, stride=stride)
    index = np.array(data.draw(st.lists(st.integers(-len(windows), len(windows) - 1), max_size=8)), dtype=int)
    taken = windows.take(index)
    np.testing.assert_array_equal(taken.targets()[0], windows.targets()[0][index])
    np.testing.assert_array_equal(taken.contexts(), windows.contexts()[index])
    for name in ("origins", "label_ends", "groups"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(windows, name)[index])
    mask = np.isin(np.arange(len(windows)), index % len(windows))
    np.testing.assert_array_equal(windows.take(mask).rows, windows.rows[np.unique(index % len(windows))])
    again = data.draw(st.permutations(range(len(index))))
    np.testing.assert_array_equal(taken.take(again).rows, windows.take(index[list(again)]).rows)


def test_positions_that_are_not_there_are_refused() -> None:
    windows = series().windows(context_length=1, horizon=1)
    assert len(windows.take([])) == 0  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="index at entry 1"):
        windows.take(np.array([0, 99]))
    with pytest.raises(ShapeError, match="mask"):
        windows.take(np.array([True]))


@settings(max_examples=100, deadline=None)
@given(cases(), st.randoms())
def test_histories_know_the_past_and_the_calendar_and_no_more(
    case: tuple[fc.Panel, int, int, int], random: Any
) -> None:
    panel, context, horizon, stride = case
    windows = panel.windows(context_length=context, horizon=horizon, stride=stride)
    windows = windows.take(np.array(random.sample(range(len(windows)), len(windows))))
    seen = np.zeros(len(windows), dtype=int)
    for at, known, items in windows.histories():
        seen[at] += 1
        row = int(windows.rows[at[0]])
        assert (windows.rows[at] == row).all()
        np.testing.assert_array_equal(windows.items[at], items)
        assert known.known_rows == row + 1
        np.testing.assert_array_equal(known.values[: row + 1], panel.values[: row + 1])
        assert np.isnan(known.values[row + 1 :]).all()
        assert known.item_ids == panel.item_ids
        if panel.past_covariates is not None:
            assert known.past_covariates is not None
            np.testing.assert_array_equal(known.past_covariates[: row + 1], panel.past_covariates[: row + 1])
            assert np.isnan(known.past_covariates[row + 1 :]).all()
        if panel.future_covariates is None:
            assert len(known) == row + 1
        else:
            assert len(known) == row + 1 + horizon
            ahead = panel.future_covariates[row + 1 : row + 1 + horizon]
            np.testing.assert_array_equal(known.future_values(horizon), ahead)
        np.testing.assert_array_equal(known.future_timestamps(horizon), windows.timestamps()[at[0]])
    assert (seen == 1).all()


@settings(max_examples=60, deadline=None)
@given(cases())
def test_no_change_after_an_origin_shows_in_its_history(case: tuple[fc.Panel, int, int, int]) -> None:
    panel, context, horizon, _ = case
    row = panel.known_rows - horizon - 1
    later = panel.values.copy()
    later[row + 1 : panel.known_rows] = np.nan_to_num(later[row + 1 : panel.known_rows]) + 1e3
    past = panel.past_covariates
    if past is not None:
        past = past.copy()
        past[row + 1 :] = 1e3
    other = replace(panel, values=later, past_covariates=past, known=None)
    origin = panel.timestamps[[row]]
    (_, mine, _), (_, theirs, _) = (
        next(iter(p.windows(context_length=context, horizon=horizon, origins=origin).histories()))
        for p in (panel, other)
    )
    assert mine == theirs
    assert mine.fingerprint() == theirs.fingerprint()


def test_a_silent_origin_keeps_its_place_among_future_covariates() -> None:
    values = np.arange(6.0).reshape(6, 1, 1)
    values[2:4] = np.nan  # nothing observed at the origin itself
    panel = series(6, 1, values=values, future_covariates=np.ones((6, 1, 1)))
    windows = panel.windows(horizon=2, origins=panel.timestamps[3:4])
    _, known, _ = next(iter(windows.histories()))
    assert known.known_rows == 4
    np.testing.assert_array_equal(known.future_timestamps(2), windows.timestamps()[0])


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(1, 4), st.booleans(), st.booleans(), st.data())
def test_naive_scale_is_that_of_a_plain_loop(
    case: tuple[fc.Panel, int, int, int], lag: int, cut: bool, squared: bool, data: st.DataObject
) -> None:
    panel, context, horizon, stride = case
    windows = panel.windows(context_length=context, horizon=horizon, stride=stride)
    stop = data.draw(st.integers(0, len(panel) - 1)) if cut else int(windows.rows.min()) + 1
    scale = windows.naive_scale(lag, before=panel.timestamps[stop] if cut else None, squared=squared)
    assert scale.shape == (len(windows), panel.values.shape[2])
    for n, item in enumerate(windows.items[:8]):
        for target in range(panel.values.shape[2]):
            one = panel.values[:stop, item, target].astype(np.float64)
            steps = [abs(one[k] - one[k - lag]) ** (2 if squared else 1) for k in range(lag, stop)]
            steps = [s for s in steps if not np.isnan(s)]
            expected = np.mean(steps) if len(steps) >= lag else np.nan
            np.testing.assert_allclose(scale[n, target], expected, rtol=1e-9)


def test_naive_scale_takes_the_season_of_the_frequency() -> None:
    windows = series(60).windows(horizon=1, origins=START + np.array([50]) * HOUR)
    np.testing.assert_allclose(windows.naive_scale(None), 48.0)  # 24 rows of two items apart
    assert np.isnan(windows.naive_scale(52)).all()
    assert windows.take(np.arange(0)).naive_scale(None).shape == (0, 1)
    with pytest.raises(InvalidInputError, match="seasonality"):
        windows.naive_scale(0)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, InvalidInputError, "horizon: is needed"),
        ({"context_length": 2}, InvalidInputError, "horizon: is needed"),
        ({"horizon": 0}, InvalidInputError, "horizon: is a whole number of at least 1, got 0"),
        ({"horizon": -3}, InvalidInputError, "horizon"),
        ({"horizon": 1.5}, InvalidInputError, "horizon"),
        ({"horizon": True}, InvalidInputError, "horizon"),
        ({"horizon": 1, "stride": 0}, InvalidInputError, "stride"),
        ({"horizon": 1, "context_length": 0}, InvalidInputError, "context_length"),
        ({"horizon": 4, "context_length": 7}, ShapeError, r"context_length \+ horizon = 7 \+ 4 rows, got 10"),
        ({"horizon": 10}, ShapeError, "got 10 rows"),
        ({"horizon": 1, "origins": [START - HOUR]}, ShapeError, "origins at origin 0"),
        ({"horizon": 1, "origins": [START, START + 9 * HOUR]}, ShapeError, "origins at origin 1"),
        ({"horizon": 1, "origins": [START + np.timedelta64(30, "m")]}, FrequencyError, "row 0"),
        ({"horizon": 1, "origins": [np.datetime64("NaT")]}, DataError, "missing"),
        ({"horizon": 1, "origins": [3]}, DataError, "are times"),
    ],
)
def test_windows_that_cannot_be_are_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        series().windows(**options)


def test_lengths_of_contexts_are_checked() -> None:
    windows = series().windows(context_length=3, horizon=2)
    assert windows.contexts().shape == (12, 3, 1)
    assert windows.contexts(5).shape == (12, 5, 1)
    with pytest.raises(InvalidInputError, match="length"):
        windows.contexts(0)


def test_windows_lose_the_covariates_their_panel_loses() -> None:
    panel = series(8, past_covariates=np.ones((8, 2, 1)), future_covariates=np.ones((8, 2, 1)))
    windows = panel.windows(horizon=2)
    bare = windows.without(frozenset({"past_covariates", "future_covariates"}))
    assert windows.traits() - bare.traits() == {"past_covariates", "future_covariates"}
    np.testing.assert_array_equal(bare.targets()[0], windows.targets()[0])
    np.testing.assert_array_equal(bare.origins, windows.origins)


def test_a_million_windows_take_no_python_loop() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60_000, 21, 1))
    began = time.perf_counter()
    panel = series(60_000, 21, values=values)
    windows = panel.windows(context_length=168, horizon=24)
    assert len(windows) == (60_000 - 168 - 24 + 1) * 21
    taken = windows.take(rng.integers(0, len(windows), 100_000))
    assert taken.targets()[0].shape == (100_000, 24, 1)
    assert np.isfinite(windows.naive_scale(24)).all()
    assert time.perf_counter() - began < 3.0  # a loop over windows takes far longer
