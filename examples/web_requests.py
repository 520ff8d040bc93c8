"""Requests to a web service, from raw counts to a served model: one step ahead, by five minutes and by hour.

    python examples/web_requests.py
    python examples/web_requests.py --csv elb_request_count_8c0756.csv

The file has columns `timestamp` and `value`, one row a count; without one, two weeks are simulated. The
last 20 % of the time is scored once. Before it, models are fitted on the first 55 %, stopped by the next
10 % and chosen by RMSE on the 15 % after those; then they are fitted again on 70 %, stopped by 10 %.

By hour there are few rows, but sixty minutes may begin at any five: twelve hourly series, each shifted by
five minutes against the last, teach one model. Only the full hours are scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import forecast_core as fc
from forecast_timeseries import PredictionHistory, RealTimePredictor, StreamBuffer, resample

SHARES = {"choose": (0.55, 0.65, 0.8), "final": (0.7, 0.8, 1.0)}
SEASON = {"5min": 288, "h": 24}
Make = Callable[[], Any]


def simulated_log(seed: int = 0) -> pd.DataFrame:
    """Two weeks of requests a minute: a daily cycle, quieter weekends, and bursts."""
    rng = np.random.default_rng(seed)
    minutes = np.arange(14 * 1440)
    day, burst = minutes / 1440, np.zeros(len(minutes))
    for start in rng.choice(len(minutes), 60, replace=False):
        burst[start : start + int(rng.integers(5, 60))] += rng.exponential(1.0)
    rate = 4.0 * (1.2 - np.cos(2.0 * np.pi * day)) * np.where(day % 7 < 5, 1.0, 0.6) * (1.0 + burst)
    times = pd.Timestamp("2026-03-02") + pd.to_timedelta(minutes, unit="min")
    return pd.DataFrame({"timestamp": times, "value": rng.poisson(rate)})


def counts(log: pd.DataFrame, freq: str) -> fc.Panel:
    """One series of requests a period; a period without rows is missing, not zero."""
    table = resample(log, timestamp="timestamp", columns=["value"], freq=freq, how="sum", missing="nan")
    return fc.Panel.from_frame(table, timestamp="timestamp", target="value", freq=freq)


def shifted_hours(log: pd.DataFrame) -> fc.Panel:
    """Twelve hourly series: series k counts the hours that end 5k minutes early; 0 is the plain one."""
    parts = []
    for k in range(12):
        later = log.assign(timestamp=log["timestamp"] + pd.Timedelta(minutes=5 * k))
        table = resample(later, timestamp="timestamp", columns=["value"], freq="h", how="sum", missing="nan")
        whole = table.iloc[1:] if k else table  # the first hour of a shifted series is not complete
        parts.append(whole.assign(series=k))
    hours = counts(log, "h")
    panel = fc.Panel.from_frame(
        pd.concat(parts), timestamp="timestamp", target="value", item_id="series", freq="h"
    )
    return panel.rows(0, len(hours))  # shifted series would go on into the hour after


def lstm(**options: Any) -> Any:
    return fc.create_model("timeseries/lstm", preset="web-requests", **options)


def candidates(freq: str) -> dict[str, Make]:
    """What is chosen from, beside the LSTM as it is."""
    gbm = {"horizon": 1, "quantile_levels": (0.05, 0.25, 0.5, 0.75, 0.95)}
    made: dict[str, Make] = {
        "linear": lambda: fc.create_model("timeseries/linear", horizon=1),
        "gbm": lambda: fc.create_model("timeseries/gbm", **gbm),
        "gbm, 24 lags": lambda: fc.create_model("timeseries/gbm", lags=24, **gbm),
    }
    quantiles = {"head": "quantile", "quantile_levels": gbm["quantile_levels"]}
    if freq == "h":
        quantiles |= {"max_epochs": 20}
        made["lstm of quantiles"] = lambda: lstm(**quantiles)
        made["mean of lstm and gbms"] = lambda: fc.create_ensemble(
            [lstm(**quantiles), *(made[name]() for name in ("gbm", "gbm, 24 lags"))]
        )
    return made


def fitted(model: Any, panel: fc.Panel, stage: str, *, seed: int = 0) -> Any:
    train, valid, _ = (int(share * len(panel)) for share in SHARES[stage])
    return model.fit(panel.rows(0, train), validation=panel.rows(train, valid), seed=seed)


def scores(models: dict[str, Any], panel: fc.Panel, stage: str, *, season: int) -> fc.Backtest:
    """Each model on the rows after those it was fitted and stopped on, one step ahead."""
    _, begin, end = (int(share * len(panel)) for share in SHARES[stage])
    models = {**models, "seasonal naive": fc.create_model("series/seasonal-naive", seasonality=season)}
    metrics = ["rmse", "mae", "wape", "mape", f"mase@{season}", "crps", "coverage@0.9"]
    data = panel.rows(0, end).select_items(panel.item_ids[:1])
    return fc.backtest(models, data, start=panel.timestamps[begin], horizon=1, metrics=metrics)


def tell(result: fc.Backtest) -> None:
    for each in result.scores:
        values = "  ".join(f"{k} {'-' if v is None else f'{v:.3f}':>8}" for k, v in each.metrics.items())
        skill = each.skill["rmse"]
        print(f"  {each.label:32}{values}  skill {100 * (skill or 0.0):5.1f} %")


def compared(log: pd.DataFrame, freq: str, *, seeds: int) -> Any:
    """Print every model's scores on the test part; the model that validation chose."""
    rich, season = shifted_hours(log) if freq == "h" else counts(log, freq), SEASON[freq]
    plain = rich.select_items(rich.item_ids[:1])
    found = scores(
        {name: fitted(make(), rich, "choose") for name, make in candidates(freq).items()},
        rich,
        "choose",
        season=season,
    )
    ranked = [each.label for each in found.scores if each.label in candidates(freq)]
    # An epoch of hours is seven steps: too few for the preset's patience to mean anything.
    patience = {"patience": None} if freq == "h" else {}
    plains = [fitted(lstm(**patience), plain, "final", seed=seed) for seed in range(seeds)]
    held = plain.rows(int(0.7 * len(plain)) - 12, int(0.8 * len(plain)))
    shown = {f"lstm, seed {seed}": model for seed, model in enumerate(plains)}
    shown["lstm, calibrated"] = fc.conformalize(plains[0], held)
    best = fitted(candidates(freq)[ranked[0]](), rich, "final")
    shown[f"{ranked[0]} (chosen)"] = best
    print(f"{freq}: {len(plain)} rows; validation chose '{ranked[0]}' of {len(ranked)}")
    result = scores(shown, plain, "final", season=season)
    tell(result)
    error = np.mean([result[f"lstm, seed {seed}"].metrics["rmse"] for seed in range(seeds)])
    chosen = result[f"{ranked[0]} (chosen)"].metrics["rmse"]
    print(f"  RMSE of the LSTM {error:.1f} over {seeds} seeds, of the chosen model {chosen:.1f}\n")
    return best


def live(model: Any, panel: fc.Panel, out: Path) -> None:
    """Save a model, then predict the last day as it came in, step by step."""
    model.save(out)
    predictor, history = RealTimePredictor(out, margin=5.0), PredictionHistory()
    begin = len(panel) - SEASON["5min"]
    buffer = StreamBuffer.from_panel(panel.rows(0, begin), context_length=3 * SEASON["5min"])
    for row in range(begin, len(panel)):
        history.record(predictor.predict(buffer))
        buffer.append(panel.timestamps[row], panel.values[row])
        history.observe(
            panel.timestamps[row], panel.values[row, :, 0][None], item_ids=panel.item_ids, target="value"
        )
    now = history.scores()
    print(f"live, the last day: MAE {now.mae:.1f}, coverage {now.coverage:.3f}, drift {history.drift}")
    print(f"serve it with: forecast serve {out} --port 8000")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", type=Path, help="columns timestamp and value; default: a simulated log")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/web-requests"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    log = simulated_log() if options.csv is None else pd.read_csv(options.csv, parse_dates=["timestamp"])
    best = compared(log, "5min", seeds=options.seeds)
    compared(log, "h", seeds=options.seeds)
    live(best, counts(log, "5min"), options.out)


if __name__ == "__main__":
    main()
