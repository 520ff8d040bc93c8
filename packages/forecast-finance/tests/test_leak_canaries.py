"""Where there is nothing to predict, no model seems to; where the future is read, it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import LeakError
from forecast_finance import Bars, random_walk, score_directions
from forecast_finance.bar_windows import BarWindows
from forecast_finance.predicting import direction_probability

MODELS: dict[str, dict[str, Any]] = {
    "finance/ridge": {"context_length": 60},
    "finance/lightgbm": {"context_length": 60, "max_rounds": 60, "threads": 1},
}


@dataclass(frozen=True, eq=False)
class ShuffledWindows(BarWindows):
    """Windows whose targets are those of others."""

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        values, observed = super().targets()
        return np.random.default_rng(0).permutation(values), observed


def parts(bars: Bars) -> tuple[BarWindows, BarWindows]:
    """Training windows and later test windows, purged."""
    cut = bars.timeline[int(0.6 * len(bars.timeline))]
    return bars.between(None, cut).windows(context_length=60), bars.between(cut, None).windows(
        context_length=60
    )


def auc(model: Any, test: BarWindows, step: int = 0) -> Any:
    told = direction_probability(model.predict_windows(test))[:, step]
    return score_directions(test, told, step=step)["auc"]


@pytest.mark.parametrize("model", MODELS)
def test_labels_in_random_order_cannot_be_learnt(model: str) -> None:
    train, test = parts(random_walk(1, symbols=8, rows=900, drift=0.0004))
    shuffled = ShuffledWindows(train.data, train.rows, train.horizon)
    fitted = fc.create_model(model, **MODELS[model]).fit(shuffled)
    found = auc(fitted, test)
    assert found.lower <= 0.5 <= found.upper


@pytest.mark.parametrize("model", MODELS)
def test_a_random_walk_cannot_be_predicted(model: str) -> None:
    train, test = parts(random_walk(2, symbols=8, rows=900))
    fitted = fc.create_model(model, **MODELS[model]).fit(train)
    for step in range(3):
        found = auc(fitted, test, step)
        assert found.lower <= 0.5 <= found.upper


def test_a_model_that_reads_the_future_is_seen_to() -> None:
    _, test = parts(random_walk(2, symbols=8, rows=900))
    peeked = test.data.close[test.rows + 1] > test.data.close[test.rows]
    found = score_directions(test, np.where(peeked, 0.7, 0.3))["auc"]
    assert found.lower > 0.6  # so these canaries can die


def test_core_refuses_to_score_what_was_trained_on() -> None:
    bars = random_walk(rows=300)
    model = fc.create_model("finance/ridge", context_length=60).fit(bars)
    with pytest.raises(LeakError):
        fc.evaluate(model, bars)


def test_the_same_predictability_is_found_where_it_is() -> None:
    """Bars whose returns do depend on what came before: the canaries above do not sing by weakness alone."""
    walk = random_walk(4, symbols=8, rows=900)
    log = np.log(walk.values[:, :4])
    trend = np.zeros(len(walk))
    steps = np.diff(log[:, 3], prepend=log[0, 3])
    for k in range(8):
        part = slice(walk.offsets[k], walk.offsets[k + 1])
        for t in range(part.start + 1, part.stop):
            trend[t] = 0.6 * (trend[t - 1] + steps[t - 1])
    moved = Bars(
        symbols=walk.symbols,
        offsets=walk.offsets,
        timestamps=walk.timestamps,
        values=np.column_stack([np.exp(log + np.cumsum(0.5 * trend)[:, None] * 0.3), walk.values[:, 4]]),
        interval=walk.interval,
    )
    train, test = parts(moved)
    fitted = fc.create_model("finance/ridge", context_length=60).fit(train)
    assert auc(fitted, test).lower > 0.5
