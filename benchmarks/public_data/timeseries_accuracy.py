"""Accuracy of the time-series models on public data, beside naive forecasts and published figures.

    python benchmarks/public_data/timeseries_accuracy.py DATA [--only nasa|ett] [--seeds 3]

DATA holds `web_requests/nasa_http_1min.csv.gz` and `ett/ETTh1.csv.gz`.

nasa: requests to a web server in five minutes, July 1995; 48 steps from 40 origins spaced evenly over the
last 30 % of 7921 rows. Fitted on the rows before; chosen by MAE from 40 origins in the 15 % before those.
Published: LightGBM on lags 49.4, PatchTST 49.6, a foundation model zero-shot 48.0 (80 % intervals hold .78).

ett: ETTh1, z-scored, 96 hours ahead from 336, the customary 8640 / 2880 / 2880 rows, every origin. Published
mean squared errors: DLinear .375, PatchTST .370.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import forecast_core as fc
from forecast_timeseries import read_wide, resample

HORIZON, ORIGINS, DAY = 48, 40, 288
Make = Callable[[], Any]


def nasa(data: Path, *, seeds: int) -> None:
    minutes = pd.read_csv(data / "web_requests" / "nasa_http_1min.csv.gz", parse_dates=["minute"])
    table = resample(minutes, timestamp="minute", columns=["count"], freq="5min", how="sum", missing="nan")
    panel = fc.Panel.from_frame(table, timestamp="minute", target="count", freq="5min")
    panel = panel.between(None, "1995-07-28T12:05")
    rows = len(panel)
    test, valid = int(0.7 * rows), int(0.55 * rows)
    candidates: dict[str, Make] = {
        "linear, a day": lambda: fc.create_model("timeseries/linear", horizon=HORIZON, context_length=DAY),
        "linear, two days": lambda: fc.create_model(
            "timeseries/linear", horizon=HORIZON, context_length=2 * DAY
        ),
        "gbm": lambda: fc.create_model("timeseries/gbm", horizon=HORIZON),
        "gbm, 24 lags": lambda: fc.create_model("timeseries/gbm", horizon=HORIZON, lags=24),
    }
    on_valid = {
        name: errors_at(make().fit(panel.rows(0, valid)), panel, first=0.55, last=test)["mae"]
        for name, make in candidates.items()
    }
    chosen = min(on_valid, key=lambda name: on_valid[name])
    print(f"nasa, {rows} rows; MAE on validation: {rounded(on_valid)}; chosen: {chosen}")
    for name, naive in (
        ("seasonal naive, daily", fc.create_model("series/seasonal-naive", seasonality=DAY)),
        ("last value", fc.create_model("series/naive")),
    ):
        print(f"  {name:24}{rounded(errors_at(naive, panel, first=0.7, last=rows))}")
    for seed in range(seeds):
        model = candidates[chosen]().fit(panel.rows(0, test), seed=seed)
        print(f"  {chosen + f', seed {seed}':24}{rounded(errors_at(model, panel, first=0.7, last=rows))}")


def errors_at(model: Any, panel: fc.Panel, *, first: float, last: int) -> dict[str, float | None]:
    """Scores from the origins spaced evenly from a share of the panel's rows on to `last`."""
    begins = np.linspace(first * len(panel), last - HORIZON, ORIGINS).astype(int)
    windows = panel.windows(horizon=HORIZON, origins=panel.timestamps[begins - 1])
    metrics = ["mae", "rmse", "wape", "crps", "coverage@0.8"]
    return dict(fc.evaluate(model, windows, metrics=metrics).metrics)


def ett(data: Path, *, seeds: int) -> None:
    panel = read_wide(data / "ett" / "ETTh1.csv.gz", timestamp="date", freq="h")
    train = panel.values[:8640]
    panel = replace(panel.rows(0, 14400), values=((panel.values - train.mean(0)) / train.std(0))[:14400])
    fitted = {
        "timeseries/linear": fc.create_model(
            "timeseries/linear", horizon=96, context_length=336, normalisation="decompose"
        )
    }
    patches = {"context_length": 336, "patch_length": 32, "patch_stride": 16, "dropout": 0.4, "ema": 0.995}
    training = {"max_epochs": 8, "learning_rate": 1e-3, "batch_size": 128, "weight_decay": 0.05}
    for seed in range(seeds):
        fitted[f"timeseries/patch-transformer, seed {seed}"] = fc.create_model(
            "timeseries/patch-transformer",
            horizon=96,
            head="point",
            point_loss="squared",
            **patches,
            **training,
        )
    for seed, (name, model) in enumerate(fitted.items()):
        model.fit(panel.rows(0, 8640), validation=panel.rows(8640, 11520), seed=max(seed - 1, 0))
        result = fc.backtest(
            [model, fc.create_model("series/seasonal-naive", seasonality=24)],
            panel,
            start=panel.timestamps[11520],
            horizon=96,
            metrics=["mse", "mae"],
        )
        naive = result["series/seasonal-naive"].metrics
        print(f"  {name:36}{rounded(result[model.spec.id].metrics)}  naive {rounded(naive)}", flush=True)


def rounded(metrics: Any) -> str:
    return "  ".join(f"{k} {v:.4g}" for k, v in metrics.items() if v is not None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the public data")
    parser.add_argument("--only", choices=("nasa", "ett"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, run in (("nasa", nasa), ("ett", ett)):
        if options.only in (None, name):
            run(options.data, seeds=options.seeds)


if __name__ == "__main__":
    main()
