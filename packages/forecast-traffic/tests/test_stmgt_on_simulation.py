"""What `traffic/stmgt` does where the truth is known: calibrated, and better for knowing the weather."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.evaluation.losses import origin_losses
from forecast_core.evaluation.significance import diebold_mariano
from forecast_core.metrics import score_metrics
from forecast_traffic import GraphPanel, simulate_network
from forecast_traffic.models.stmgt import STMGT

OPTIONS: dict[str, Any] = {
    "max_epochs": 10,
    "windows_per_epoch": 4096,
    "batch_size": 64,
    "learning_rate": 4e-3,
    "dropout": 0.3,
    "ema": 0.99,
}
STRIDE = 2


def trained(panel: GraphPanel) -> tuple[Any, Any]:
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.1, 0.2))
    model = fc.create_model("traffic/stmgt", **OPTIONS).fit(train, validation=valid, seed=0)
    return model, panel.windows(horizon=12, origins=test.timestamps[11:-12:STRIDE])


@pytest.mark.slow
def test_it_is_calibrated_near_the_truth_and_the_weather_is_worth_it() -> None:
    network = simulate_network(10, 28, seed=5)
    panel = network.panel
    assert panel.weather is not None
    model, windows = trained(panel)
    prediction = model.predict_windows(windows)
    targets, observed = windows.targets()
    for coverage in (0.5, 0.8, 0.9):
        lower, upper = prediction.interval(coverage)
        inside = ((lower <= targets) & (targets <= upper))[observed].mean()
        assert inside == pytest.approx(coverage, abs=0.03)
    crps = {
        name: score_metrics(p, targets, observed, ["crps"]).overall["crps"]
        for name, p in (
            ("model", prediction),
            ("truth", network.conditional(windows)),
            (
                "naive",
                fc.create_model("traffic/last-value").predict_windows(
                    windows.without(frozenset({"future_covariates"}))
                ),
            ),
        )
    }
    assert crps["truth"] < crps["model"] < 1.15 * crps["truth"] < crps["naive"]

    blind, blind_windows = trained(panel.without(frozenset({"future_covariates"})))
    without = blind.predict_windows(blind_windows)
    rows = np.unique(windows.rows)
    wet = np.array([panel.weather[row + 1 : row + 13, 1].max() > 0 for row in rows])
    with_weather, without_weather = (
        np.where(wet, origin_losses(p, windows, "mae"), np.nan) for p in (prediction, without)
    )
    test = diebold_mariano(with_weather, without_weather, horizon=12 // STRIDE, alternative="less")
    assert test.p_value < 0.05

    assert isinstance(model, STMGT)
    looked = model.weather_weights(windows).sum(1)
    rainy = wet[np.searchsorted(rows, windows.rows)]
    assert looked[rainy].mean() > looked[~rainy].mean() + 0.05
