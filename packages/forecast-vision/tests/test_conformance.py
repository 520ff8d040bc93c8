"""Every registered model of this package passes every check of the conformance kit."""

from __future__ import annotations

import pytest

import forecast_core as fc


@pytest.mark.parametrize(
    "model_id", ["vision/prior", "vision/logistic", "vision/roadwork", "vision/roadwork-ensemble"]
)
def test_models_conform(model_id: str) -> None:
    report = fc.check_predictor(model_id)
    assert report.ok, report.summary()
