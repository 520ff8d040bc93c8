"""What puts series on one scale: rows that are fitted on and no others, whatever the series' unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import DataError
from forecast_core.series.sample import sample_panel
from forecast_timeseries.channels import ChannelScaling
from forecast_timeseries.known import spanned
from forecast_timeseries.nn.scaling import PanelScaling

NETWORK = {"horizon": 4, "context_length": 24, "max_epochs": 1, "hidden_size": 8, "num_layers": 1}
MODELS: dict[str, dict[str, Any]] = {
    "timeseries/linear": {"horizon": 4, "context_length": 24},
    "timeseries/gbm": {"horizon": 4, "num_trees": 20, "min_leaf": 5, "seasons": (24,)},
    "timeseries/lstm": NETWORK,
    "timeseries/patch-transformer": {
        **{name: NETWORK[name] for name in ("horizon", "context_length", "max_epochs")},
        "patch_length": 8,
        "patch_stride": 8,
    },
}


def new(model: str, **options: Any) -> Any:
    return fc.create_model(model, **{**MODELS[model], **options})


def quantiles(model: Any, panel: fc.Panel) -> np.ndarray:
    found: np.ndarray = model.predict(panel).quantile([0.05, 0.5, 0.95])
    return found


@given(
    rows=st.lists(st.integers(3, 24), min_size=1, max_size=5),
    items=st.lists(st.integers(0, 2), min_size=5, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_spans_are_contexts_and_horizons(rows: list[int], items: list[int]) -> None:
    windows = sample_panel(rows=30, items=3).windows(horizon=5, context_length=4)
    windows = replace(windows, rows=np.array(rows), items=np.array(items[: len(rows)]))
    expected = np.zeros((max(rows) + 6, 3), dtype=bool)
    for row, item in zip(windows.rows.tolist(), windows.items.tolist(), strict=True):
        expected[row - 3 : row + 6, item] = True
    np.testing.assert_array_equal(spanned(windows, context=4), expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_fit_on_windows_reads_nothing_but_their_rows(model: str) -> None:
    panel = sample_panel(rows=400, items=3)
    windows = panel.windows(horizon=4, context_length=24)
    within = (windows.items != 1) & (windows.rows < 200)
    values = panel.values.copy()
    values[:, 1] = 50.0 * values[:, 1] + 7.0
    values[204:] *= 50.0
    fitted = [
        new(model).fit(replace(windows, panel=each).take(within))
        for each in (panel, replace(panel, values=values))
    ]
    early = panel.rows(0, 150)
    np.testing.assert_array_equal(*(quantiles(each, early) for each in fitted))


@pytest.mark.parametrize("how", ["standard", "minmax"])
@given(factor=st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_the_scale_of_a_constant_series_follows_its_unit(how: Any, factor: float) -> None:
    panel = sample_panel(rows=60, items=3)
    values = panel.values.copy()
    values[:, 1] = 20.0
    spans = np.ones((60, 3), dtype=bool)
    found = []
    for unit in (1.0, factor):
        values[:, 1] = 20.0 * unit
        part = replace(panel, values=values.copy())
        scaling = PanelScaling.fit(part, spans=spans, how=how)
        found.append([scaling.scale["targets"][1, 0], ChannelScaling.fit(part.values, spans=spans).scale[1]])
    np.testing.assert_allclose(found[1], np.array(found[0]) * factor)
    assert (np.array(found[0]) > 0.0).all()
    assert (np.array(found[0]) <= 20.0).all()


def test_series_that_say_nothing_of_their_scale_have_that_of_the_others() -> None:
    panel = sample_panel(rows=60, items=4)
    values = panel.values.copy()
    values[:, 1], values[:, 2] = np.nan, 0.0
    spans = np.ones((60, 4), dtype=bool)
    networks = PanelScaling.fit(replace(panel, values=values), spans=spans)
    channels = ChannelScaling.fit(values, spans=spans)
    for shift, scale in (
        (networks.shift["targets"][:, 0], networks.scale["targets"][:, 0]),
        (channels.mean, channels.scale),
    ):
        assert shift[1] == pytest.approx(shift[[0, 2, 3]].mean())
        assert scale[1] == pytest.approx(scale[[0, 2, 3]].mean())
        assert scale[2] == pytest.approx(scale[[0, 3]].mean())
    alone = ChannelScaling.fit(np.zeros((60, 1, 1)), spans=np.ones((60, 1), dtype=bool))
    assert alone.scale[0] == 1.0


@pytest.mark.parametrize("model", MODELS)
def test_a_constant_series_has_an_interval_of_its_own_size(model: str) -> None:
    panel = sample_panel(rows=300, items=2)
    values = panel.values.copy()
    values[:, 1] = 0.002
    steady = replace(panel, values=values)
    lower, _, upper = np.moveaxis(quantiles(new(model).fit(steady), steady)[1], -1, 0)
    assert (upper - lower).max() < 0.02


def test_an_item_never_observed_is_expected_among_the_others() -> None:
    panel = sample_panel(rows=300, items=3)
    values = panel.values + 1000.0
    values[:, 1] = np.nan
    gappy = replace(panel, values=values)
    for model in MODELS:
        assert np.abs(new(model).fit(gappy).predict(gappy).median()[1] - 1000.0).max() < 200.0


@pytest.mark.parametrize("model", [*MODELS, "timeseries/drift"])
def test_a_value_too_large_to_be_squared_is_named(model: str) -> None:
    values = sample_panel(rows=100, items=2).values.copy()
    values[40, 1] = -1e200
    huge = replace(sample_panel(rows=100, items=2), values=values)
    options = MODELS.get(model, {"horizon": 4})
    with pytest.raises(DataError, match=r"data\.values at index \(40, 1, 0\): lie within"):
        fc.create_model(model, **options).fit(huge).predict(huge)


@pytest.mark.parametrize("sort", ["past", "future", "static"])
def test_a_covariate_that_never_changed_in_training_changes_no_forecast(sort: str) -> None:
    panel = sample_panel(rows=304, items=1, past_covariates=1, future_covariates=1, static_covariates=1)
    name = f"{sort}_covariates"
    constant = replace(panel, **{name: np.full_like(getattr(panel, name), 10_000.0)})
    model = new("timeseries/lstm").fit(constant.rows(0, 300))
    forecasts = []
    for price in (10_000.0, 12_000.0):
        later = replace(constant, **{name: np.full_like(getattr(panel, name), price)})
        blank = replace(later.rows(300, 304), values=np.full((4, 1, 1), np.nan))
        forecasts.append(model.predict(later.rows(0, 300), future=blank).median())
    np.testing.assert_array_equal(*forecasts)
