"""Metrics by item equal utilsforecast's on random data, where both define them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings, strategies as st
from utilsforecast import losses

import forecast_core as fc
from forecast_core.metrics import MetricContext
from forecast_core.metrics.scoring import by_item

ITEMS, STEPS, TRAIN, SEASON = 3, 5, 40, 4
IDS = tuple(f"item-{k}" for k in range(ITEMS))
LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])


def long_frame(columns: dict[str, np.ndarray], *, first: int) -> pd.DataFrame:
    """Arrays [item, time] as a long frame of utilsforecast's column names."""
    steps = next(iter(columns.values())).shape[1]
    frame = pd.DataFrame(
        {"unique_id": np.repeat(IDS, steps), "ds": np.tile(np.arange(first, first + steps), ITEMS)}
    )
    return frame.assign(**{name: array.reshape(-1) for name, array in columns.items()})


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 100.0))
def test_metrics_of_items_equal_those_of_utilsforecast(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    history = rng.normal(5, 1, (ITEMS, TRAIN)) * scale
    truth = rng.normal(5, 1, (ITEMS, STEPS)) * scale
    values = np.sort(rng.normal(5, 1, (ITEMS, STEPS, len(LEVELS))), -1) * scale
    point = fc.PointPrediction(item_ids=IDS, values=values[..., 2:3])
    quantiles = fc.QuantilePrediction(item_ids=IDS, levels=LEVELS, values=values[:, :, None])
    frame = long_frame(
        {"y": truth, "m": values[..., 2], "low": values[..., 0], "high": values[..., 4]}, first=TRAIN
    )
    for k, level in enumerate(LEVELS):
        frame[f"m-{level}"] = values[..., k].reshape(-1)
    past = long_frame({"y": history}, first=0)

    def naive(season: int | None, power: int) -> np.ndarray:
        assert season is not None
        return (np.abs(history[:, season:] - history[:, :-season]) ** power).mean(1)[:, None]

    context = MetricContext(scale=lambda s: naive(s, 1), squared_scale=lambda s: naive(s, 2))

    def mine(prediction: fc.Prediction, metric: str) -> np.ndarray:
        found = by_item(prediction, truth[..., None], None, [metric], context=context)
        return np.array(list(found[next(iter(found))].values()))

    def theirs(result: pd.DataFrame, column: str = "m") -> np.ndarray:
        return result.set_index("unique_id").loc[list(IDS), column].to_numpy()

    pairs = {
        "mae": theirs(losses.mae(frame, ["m"])),
        "mse": theirs(losses.mse(frame, ["m"])),
        "rmse": theirs(losses.rmse(frame, ["m"])),
        "mape": theirs(losses.mape(frame, ["m"])),
        "smape": theirs(losses.smape(frame, ["m"])),
        "wape": theirs(losses.wape(frame, ["m"])),
        f"mase@{SEASON}": theirs(losses.mase(frame, ["m"], SEASON, past)),
        f"rmsse@{SEASON}": theirs(losses.rmsse(frame, ["m"], SEASON, past)),
        "me": theirs(losses.bias(frame, ["m"])),
    }
    for name, wanted in pairs.items():
        np.testing.assert_allclose(mine(point, name), wanted, rtol=1e-6, err_msg=name)
    for level in LEVELS:
        wanted = theirs(losses.quantile_loss(frame, {"m": f"m-{level}"}, q=float(level)))
        np.testing.assert_allclose(mine(quantiles, f"pinball@{level}"), wanted, rtol=1e-6)
    inside = ((truth >= values[..., 0]) & (truth <= values[..., 4])).mean(1)
    np.testing.assert_allclose(mine(quantiles, "coverage@0.8"), inside, rtol=1e-6)
    winkler = theirs(
        losses.winkler_score(frame.rename(columns={"low": "m-lo-80", "high": "m-hi-80"}), ["m"], level=80)
    )
    np.testing.assert_allclose(mine(quantiles, "interval_score@0.8"), winkler, rtol=1e-6)
