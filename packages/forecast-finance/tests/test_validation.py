"""Validation bars are of the kind trained on, or refused before anything is learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import DataError, LeakError, ShapeError
from forecast_finance import Bars, random_walk
from forecast_finance.models.ensemble import Ensemble

MEMBER = {
    "size": 8,
    "heads": 2,
    "layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 32,
    "batch_size": 32,
    "context_length": 60,
    "embedding": "none",
}
MODELS: dict[str, dict[str, Any]] = {
    "finance/ridge": {"context_length": 60},
    "finance/lightgbm": {"context_length": 60, "max_rounds": 5},
    "finance/timeformer-xl": {**MEMBER, "feed_forward": 8},
    "finance/tft-xl": {**MEMBER, "embedding_size": 4},
    "finance/ensemble": {
        "timeformer": {**MEMBER, "feed_forward": 8},
        "tft": {**MEMBER, "embedding_size": 4},
        "folds": 1,
    },
}
OTHER: dict[str, dict[str, Any]] = {
    "longer horizons": {"horizons": (5, 10, 20)},
    "fewer horizons": {"horizons": (3, 5)},
    "hours": {"interval": np.timedelta64(3_600_000_000, "us")},
}


def parts() -> tuple[Bars, Bars]:
    bars = random_walk(rows=260)
    return bars.between(None, bars.timeline[180]), bars.between(bars.timeline[190], None)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("other", OTHER)
def test_validation_on_other_bars_is_refused(model: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*given: Any, **options: Any) -> Any:
        raise AssertionError("learnt before validation was looked at")

    monkeypatch.setattr(Ensemble, "_trained", trained)
    train, valid = parts()
    wrong = replace(valid, **OTHER[other])
    rule = r"validation: has the horizons \[3, 5, 10\] and the interval of training, 1 day"
    for given in (wrong, wrong.windows(context_length=60)):
        with pytest.raises(DataError, match=rule):
            fc.create_model(model, **MODELS[model]).fit(train, validation=given)


@pytest.mark.parametrize("model", ["finance/ridge", "finance/tft-xl"])
def test_errors_of_validation_name_it(model: str) -> None:
    train, valid = parts()
    with pytest.raises(ShapeError, match="validation: has windows of all horizons"):
        fc.create_model(model, **MODELS[model]).fit(train, validation=valid.windows(horizon=1))
    short = random_walk(rows=60)
    early = replace(short, timestamps=short.timestamps + np.timedelta64(520 * 7, "D")).windows()
    with pytest.raises(ShapeError, match=r"validation at window 0 \(S0\): leaves 60 bars up to each origin"):
        fc.create_model(model, **MODELS[model]).fit(train, validation=early)


@pytest.mark.parametrize("model", ["finance/ridge", "finance/lightgbm"])
def test_returns_learned_from_are_not_validated_on(model: str) -> None:
    bars = random_walk(rows=400, symbols=2)
    train, cut = bars.between(None, bars.timeline[250]), bars.timeline[250]
    honest, generous = (
        fc.create_model(model, **MODELS[model]).fit(train, validation=held).predict(bars)
        for held in (bars.between(bars.timeline[249], None), bars)
    )
    np.testing.assert_array_equal(honest.variance(), generous.variance())
    with pytest.raises(ShapeError, match="has a window after"):
        fc.create_model(model, **MODELS[model]).fit(train, validation=bars.between(None, bars.timeline[255]))
    with pytest.raises(LeakError):
        fc.create_model(model, **MODELS[model]).fit(train, validation=bars.between(bars.timeline[100], cut))
