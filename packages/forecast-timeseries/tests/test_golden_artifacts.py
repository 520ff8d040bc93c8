"""Models saved by earlier versions load and predict what they did; these files are never rewritten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.series.sample import sample_panel

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("head", ["quantile", "gaussian"])
def test_the_first_lstm_still_loads_and_predicts_the_same(head: str) -> None:
    model = fc.load_model(GOLDEN / f"lstm-{head}-1")
    found = model.predict(sample_panel(rows=100, items=2, missing=0.1))
    expected = fc.Prediction.from_json((GOLDEN / f"lstm-{head}-1.json").read_text())
    assert isinstance(found, fc.ForecastPrediction)
    assert isinstance(expected, fc.ForecastPrediction)
    assert found.model == expected.model
    # another processor may round otherwise
    np.testing.assert_allclose(found.mean(), expected.mean(), rtol=1e-4)
    np.testing.assert_allclose(found.quantile([0.1, 0.9]), expected.quantile([0.1, 0.9]), rtol=1e-4)
