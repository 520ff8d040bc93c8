"""Readers and baselines on public data reproduce published errors of naive forecasts.

The data is not part of the repository: FORECAST_DATA, or `shared/data` beside the repository, holds it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_timeseries import read_long, read_wide, resample

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "timeseries"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="set FORECAST_DATA to the folder of public data sets"),
]


def test_load_balancer_requests_one_step_ahead() -> None:
    path = DATA / "nab" / "realAWSCloudwatch" / "elb_request_count_8c0756.csv"
    panel = read_long(path, timestamp="timestamp", target="value", freq="5min")
    start = panel.timestamps[int(0.8 * len(panel))]
    result = fc.backtest(
        [fc.create_model("series/naive")], panel, start=start, horizon=1, metrics=["rmse", "wape"]
    )
    naive = result["series/naive"].metrics
    assert naive["rmse"] == pytest.approx(76.3, abs=0.2)
    assert naive["wape"] == pytest.approx(0.82, abs=0.01)


def test_web_requests_four_hours_ahead() -> None:
    import polars as pl

    minutes = pl.read_csv(DATA / "web_requests" / "nasa_http_1min.csv.gz")
    table = resample(
        minutes,
        timestamp="minute",
        columns=["count"],
        freq="5min",
        how="sum",
        missing="nan",
        backend="polars",
    )
    panel = fc.Panel.from_frame(table, timestamp="minute", target="count", freq="5min")
    panel = panel.between(None, "1995-07-28T12:05")
    assert len(panel) == 7921
    first = np.linspace(0.7 * len(panel), len(panel) - 48, 40).astype(int)
    windows = panel.windows(horizon=48, origins=panel.timestamps[first - 1])
    for model, mae in (
        (fc.create_model("series/seasonal-naive", seasonality=288), 72.8),
        (fc.create_model("series/naive"), 71.4),
    ):
        assert fc.evaluate(model, windows, metrics=["mae"]).metrics["mae"] == pytest.approx(mae, abs=0.3)


def test_transformer_temperatures_96_hours_ahead() -> None:
    panel = read_wide(DATA / "ett" / "ETTh1.csv.gz", timestamp="date", freq="h")
    train = panel.values[:8640]
    scaled = (panel.values - train.mean(0)) / train.std(0)
    used = fc.Panel(
        values=scaled[:14400], timestamps=panel.timestamps[:14400], item_ids=panel.item_ids, freq="h"
    )
    result = fc.backtest(
        [fc.create_model("series/seasonal-naive", seasonality=24)],
        used,
        start=used.timestamps[8640 + 2880],
        horizon=96,
        metrics=["mse"],
    )
    assert result.scores[0].metrics["mse"] == pytest.approx(0.512, abs=0.002)
