"""Models saved by earlier versions load and predict what they did; these files are never rewritten."""

from __future__ import annotations

from pathlib import Path

import forecast_core as fc
from forecast_core.series.sample import sample_panel

GOLDEN = Path(__file__).parent / "golden"


def test_the_first_seasonal_naive_still_loads() -> None:
    model = fc.load_model(GOLDEN / "seasonal-naive-1")
    assert model.config.seasonality == 24
    expected = fc.Prediction.from_json((GOLDEN / "seasonal-naive-1.json").read_text())
    assert model.predict(sample_panel(rows=100, items=2)) == expected
