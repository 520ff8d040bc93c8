"""Each model keeps to the rules of every model, and predicts what it should."""

from __future__ import annotations

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_hello.sky import sample_sky


class TestMean(PredictorConformance):
    model_id = "hello/mean"


class TestFrequency(PredictorConformance):
    model_id = "hello/sky-frequency"


class TestMarkov(PredictorConformance):
    model_id = "hello/sky-markov"


def test_markov_knows_that_the_sky_tends_to_stay() -> None:
    log = sample_sky(days=2000)
    train, test = log.between(None, log.dates[1500]), log.between(log.dates[1500], None)
    found = fc.evaluate(fc.create_model("hello/sky-markov").fit(train), test, metrics=["surprise"])
    # Staying: 0.5 + 0.5 p; leaving for a sky: 0.5 p. The entropy of that is what nobody can beat.
    p = np.array([0.5, 0.3, 0.2])
    chain = 0.5 * np.eye(3) + 0.5 * p
    best = -(p[:, None] * chain * np.log2(chain)).sum()
    assert found.metrics["surprise"] == pytest.approx(best, abs=0.06)
    assert found.skill["surprise"] is not None
    assert found.skill["surprise"] > 0.1


def test_mean_repeats_a_season_that_never_changes() -> None:
    hours = np.arange(96)
    panel = fc.Panel(
        values=np.sin(2 * np.pi * hours / 24)[:, None, None],
        timestamps=np.datetime64("2024-01-01T00", "us") + hours * np.timedelta64(1, "h"),
        item_ids=("a",),
        freq=fc.Freq.parse("h"),
    )
    prediction = fc.create_model("hello/mean", seasonality=24).fit(panel).predict(panel, horizon=30)
    np.testing.assert_allclose(
        prediction.mean()[0, :, 0], np.sin(2 * np.pi * np.arange(96, 126) / 24), atol=1e-12
    )
