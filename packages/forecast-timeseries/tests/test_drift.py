"""`timeseries/drift`: its lines and intervals against the textbook's formulas, gaps and newcomers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError
from forecast_core.series.sample import sample_panel


def panel_of(values: np.ndarray) -> fc.Panel:
    """Of values [time, item]."""
    panel = sample_panel(rows=len(values), items=values.shape[1])
    return replace(panel, values=values[..., None])


@given(
    seed=st.integers(0, 2**16), rows=st.integers(3, 40), level=st.floats(-1e3, 1e3), gaps=st.floats(0.0, 0.6)
)
@settings(max_examples=60, deadline=None)
def test_means_and_variances_are_those_of_the_textbook(
    seed: int, rows: int, level: float, gaps: float
) -> None:
    rng = np.random.default_rng(seed)
    values = level + rng.normal(0.5, 1.0, rows).cumsum()
    keep = rng.random(rows) >= gaps
    keep[[0, rows // 2, -1]] = True
    p = fc.create_model("timeseries/drift").predict(
        panel_of(np.where(keep, values, np.nan)[:, None]), horizon=5
    )
    at = np.flatnonzero(keep)
    span = at[-1] - at[0]
    slope = (values[-1] - values[0]) / span
    lengths, changes = np.diff(at), np.diff(values[at])
    variance = ((changes - slope * lengths) ** 2 / lengths).sum() / (len(at) - 2)
    ahead = np.arange(1, 6)
    np.testing.assert_allclose(p.mean()[0, :, 0], values[-1] + slope * ahead, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        p.variance()[0, :, 0], variance * ahead * (1.0 + ahead / span), rtol=1e-6, atol=1e-8
    )


def test_a_straight_line_goes_on() -> None:
    panel = panel_of(np.outer(np.arange(20.0), [1.0, -2.0]) + 7.0)
    p = fc.create_model("timeseries/drift", horizon=3).predict(panel)
    np.testing.assert_allclose(p.mean()[..., 0], [[27.0, 28.0, 29.0], [-33.0, -35.0, -37.0]])
    assert (p.variance() > 0).all()


def test_rows_missing_at_the_end_count_as_steps_ahead() -> None:
    walk = np.random.default_rng(0).normal(size=(50, 1)).cumsum(axis=0)
    late = walk.copy()
    late[-4:] = np.nan
    model = fc.create_model("timeseries/drift")
    gone = model.predict(panel_of(late), horizon=2)
    before = model.predict(panel_of(walk[:-4]), horizon=6)
    np.testing.assert_allclose(gone.mean(), before.mean()[:, 4:])
    np.testing.assert_allclose(gone.variance(), before.variance()[:, 4:])


def test_intervals_cover_random_walks_with_drift() -> None:
    rng = np.random.default_rng(1)
    walks = rng.normal(0.3, 2.0, (60, 2000)).cumsum(axis=0)
    lower, upper = fc.create_model("timeseries/drift").predict(panel_of(walks[:40]), horizon=20).interval(0.9)
    truth = walks[40:].T[..., None]
    covered = ((truth >= lower) & (truth <= upper)).mean(axis=(0, 2))
    # s^2 is estimated from 39 changes, so normal intervals are a little narrow
    assert (covered > 0.86).all()
    assert (covered < 0.92).all()


def test_windows_and_histories_agree() -> None:
    panel = sample_panel(rows=60, items=3, missing=0.2)
    windows = panel.windows(horizon=4, context_length=20)
    model = fc.create_model("timeseries/drift")
    together = model.predict_windows(windows)
    for at, known, items in windows.histories():
        one = model.predict(known, horizon=4)
        np.testing.assert_allclose(together.mean()[at], one.mean()[items], rtol=1e-9)
        np.testing.assert_allclose(together.variance()[at], one.variance()[items], rtol=1e-9)


def test_newcomers_lean_on_the_others() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3)).cumsum(axis=0)
    values[:, 2] = np.nan
    model = fc.create_model("timeseries/drift")
    p = model.predict(panel_of(values), horizon=2)
    np.testing.assert_allclose(p.mean()[2], p.mean()[:2].mean(axis=0))
    assert (p.variance()[2] > p.variance()[:2].mean(axis=0)).all()
    values[-2:, 2] = [3.0, 4.0]
    two = model.predict(panel_of(values), horizon=2)
    np.testing.assert_allclose(two.mean()[2, :, 0], [5.0, 6.0])
    assert np.isfinite(two.variance()).all()


@pytest.mark.parametrize("model", ["timeseries/drift", "timeseries/ets"])
def test_intervals_of_a_high_level_are_as_wide_as_those_of_a_low_one(model: str) -> None:
    walk = np.cumsum(np.random.default_rng(0).normal(0.0, 10.0, 120))
    low, high = (
        fc.create_model(model, horizon=3).predict(replace(sample_panel(rows=120, items=1), values=values))
        for values in (walk[:, None, None], walk[:, None, None] + 2.0**40)
    )
    wide = [np.diff(p.quantile([0.1, 0.9]), axis=-1) for p in (low, high)]
    np.testing.assert_allclose(wide[1], wide[0], rtol=0.02)


def test_too_few_observations_are_refused() -> None:
    model = fc.create_model("timeseries/drift")
    with pytest.raises(DataError, match="three observations"):
        model.predict(panel_of(np.array([[1.0], [2.0]])), horizon=2)
    with pytest.raises(InvalidInputError, match="horizon"):
        model.predict(panel_of(np.arange(5.0)[:, None]))
