"""Backtests of models that learn as they go: the same as refitting or updating by hand at every step."""

from __future__ import annotations

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=160, items=2, drift=1.0)
START = PANEL.timestamps[110]
SEASONAL = {"id": "series/seasonal-naive", "params": {"seasonality": 12, "horizon": 4}}


def adaptive() -> fc.Predictor[fc.Panel]:
    return fc.create_model("compose/conformal", model=SEASONAL, method="adaptive", coverage=(0.8,))


@pytest.mark.parametrize(("rows", "every"), [(None, 3), (80, 5), (None, 100)])
def test_refitting_equals_fitting_afresh_on_what_is_known(rows: int | None, every: int) -> None:
    policy = fc.RefitPolicy(refit=every, rows=rows)
    result = fc.backtest(
        [adaptive()], PANEL, start=START, horizon=4, stride=2, metrics=["crps"], refit=policy
    )
    made = result.predictions["compose/conformal"]
    assert isinstance(made, fc.QuantilePrediction)
    model = adaptive().fit(PANEL.between(None, START), seed=0)
    for k, row in enumerate(range(109, 160 - 4, 2)):
        if k and k % every == 0:
            model = adaptive().fit(PANEL.rows(max(0, row + 1 - rows) if rows else 0, row + 1), seed=0)
        now = model.predict(PANEL.rows(0, row + 1))
        assert isinstance(now, fc.QuantilePrediction)
        np.testing.assert_allclose(made.values[2 * k : 2 * k + 2], now.values, rtol=1e-9)


def test_a_refit_may_hold_back_validation_rows() -> None:
    naive = fc.create_model("series/naive", horizon=4)
    members = [naive, fc.create_model("series/seasonal-naive", horizon=4, seasonality=12)]
    ensemble = fc.create_ensemble(members, weights="fit")
    ensemble.fit(PANEL.rows(0, 90), validation=PANEL.between(PANEL.timestamps[90], START))
    policy = fc.RefitPolicy(refit=4, validation=0.2)
    result = fc.backtest([ensemble], PANEL, start=START, horizon=4, stride=4, metrics=["crps"], refit=policy)
    made = result.predictions["compose/ensemble"]
    assert isinstance(made, fc.MixturePrediction)
    row = 109 + 4 * 4  # the first origin after the second fit
    cut = int((row + 1) * 0.8)
    again = fc.create_ensemble(members, weights="fit").fit(
        PANEL.rows(0, cut), validation=PANEL.rows(cut, row + 1)
    )
    now = again.predict(PANEL.rows(0, row + 1), horizon=4)
    assert isinstance(now, fc.MixturePrediction)
    np.testing.assert_allclose(made.mean()[8:10], now.mean(), rtol=1e-9)


def test_updating_equals_updating_by_hand_and_leaves_the_model_as_it_was() -> None:
    model = adaptive().fit(PANEL.between(None, START))
    before = model.predict(PANEL)
    policy = fc.RefitPolicy(update=2)
    result = fc.backtest([model], PANEL, start=START, horizon=4, metrics=["crps"], refit=policy)
    assert model.predict(PANEL) == before
    made = result.predictions["compose/conformal"]
    assert isinstance(made, fc.QuantilePrediction)
    for k, row in enumerate(range(109, 160 - 4)):
        if k and k % 2 == 0:
            model.update(PANEL.rows(0, row + 1))
        now = model.predict(PANEL.rows(0, row + 1))
        assert isinstance(now, fc.QuantilePrediction)
        np.testing.assert_allclose(made.values[2 * k : 2 * k + 2], now.values, rtol=1e-9)


def test_policies_that_cannot_be_followed_are_refused() -> None:
    for wrong in (
        {"refit": 0},
        {"update": -1},
        {"refit": 2, "update": 2},
        {"rows": 5},
        {"validation": 0.1},
        {"refit": 2, "validation": 1.0},
        {"refit": 2, "validation": "x"},
    ):
        with pytest.raises(InvalidInputError):
            fc.RefitPolicy(**wrong)
    split = fc.create_model("compose/conformal", model=SEASONAL)
    with pytest.raises(CapabilityError, match="does not learn online"):
        fc.backtest([split], PANEL, start=START, horizon=4, refit=fc.RefitPolicy(update=1))
    assert not split.is_fitted


def test_a_model_that_needs_no_fitting_is_the_same_under_every_policy() -> None:
    naive = fc.create_model("series/naive")
    results = [
        fc.backtest([naive], PANEL, start=START, horizon=4, metrics=["crps"], refit=policy)[
            "series/naive"
        ].metrics
        for policy in (None, 1, fc.RefitPolicy(update=3))
    ]
    assert results[0] == results[1] == results[2]
