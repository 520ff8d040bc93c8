"""Every model of this package passes the conformance kit with each of its test configurations."""

from __future__ import annotations

import pytest

import forecast_core as fc

MODELS = [model for model in fc.available_models() if model.startswith("finance/")]


@pytest.mark.parametrize("model", MODELS)
def test_model_conforms(model: str) -> None:
    report = fc.check_predictor(model)
    assert report.ok, report.summary()


def test_listed_models() -> None:
    assert {"finance/always-up", "finance/momentum"} <= set(MODELS)
