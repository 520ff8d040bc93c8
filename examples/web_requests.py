"""Requests to a web service, from raw counts to a served model: one step ahead, by five minutes and by hour.

    python examples/web_requests.py
    python examples/web_requests.py --csv elb_request_count_8c0756.csv

The file has columns `timestamp` and `value`, one row a count; without one, two weeks are simulated. The
last 20 % of the time is scored once. Models are chosen by RMSE before it: by five minutes on the rows after
the first 65 %, by hour, where there are few rows, on those after the first 24 %, fitted afresh every day on
all before. Then they are fitted on the first 80 %, of which the last eighth chooses a network's epoch.

By hour sixty minutes may begin at any five: twelve hourly series, each shifted by five minutes against the
last, teach trees and linear models; networks learn from the full hours. Only these are scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import forecast_core as fc
from forecast_timeseries import PredictionHistory, RealTimePredictor, StreamBuffer, resample

TEST = 0.8  # share of the rows before the test part
HELD = 0.125  # of the rows a network is fitted on, for choosing its epoch
SEASON = {"5min": 288, "h": 24}
Fit = Callable[[fc.Panel, int], Any]  # rows known so far, series 0 first, and a seed -> a fitted model


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


def first(panel: fc.Panel) -> fc.Panel:
    """The series of full hours, or the only one."""
    return panel.select_items(panel.item_ids[:1])


def lstm(known: fc.Panel, seed: int, **options: Any) -> Any:
    """The preset's network, fitted on the first series."""
    one, train = first(known), round((1.0 - HELD) * len(known))
    if known.freq.unit == "h":  # an epoch is seven steps: too few for the preset's patience to mean anything
        options["patience"] = None
    model = fc.create_model("timeseries/lstm", preset="web-requests", **options)
    return model.fit(one.rows(0, train), validation=one.rows(train, len(one)), seed=seed)


def gbm(known: fc.Panel, seed: int, **options: Any) -> Any:
    """Boosted trees, fitted on all series."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    return fc.create_model("timeseries/gbm", horizon=1, quantile_levels=levels, **options).fit(
        known, seed=seed
    )


def linear(known: fc.Panel, seed: int) -> Any:
    return fc.create_model("timeseries/linear", horizon=1).fit(known, seed=seed)


def lstm_and_gbm(known: fc.Panel, seed: int) -> Any:
    return fc.create_ensemble([lstm(known, seed, head="gaussian"), gbm(known, seed)])


CANDIDATES: dict[str, Fit] = {
    "linear": linear,
    "gbm": gbm,
    "gbm, 24 lags": partial(gbm, lags=24),
    "gaussian lstm": partial(lstm, head="gaussian"),
    "gaussian lstm and gbm": lstm_and_gbm,
}


def chosen(panel: fc.Panel, *, begin: int, every: int) -> str:
    """The candidate with the least RMSE from row `begin` on, fitted every so many rows on all before."""
    errors = dict.fromkeys(CANDIDATES, 0.0)
    for row in range(begin, len(panel), every):
        models = {name: fit(panel.rows(0, row), 0) for name, fit in CANDIDATES.items()}
        seen = first(panel).rows(0, min(row + every, len(panel)))
        found = fc.backtest(models, seen, start=panel.timestamps[row], horizon=1, metrics=["mse"])
        for name in errors:
            errors[name] += found[name].metrics["mse"] * (len(seen) - row)
    for name, error in errors.items():
        print(f"  validation: {name:24} RMSE {np.sqrt(error / (len(panel) - begin)):7.1f}")
    return min(errors, key=errors.__getitem__)


def compared(log: pd.DataFrame, freq: str, *, seeds: int) -> Any:
    """Print every model's scores on the test part; the model that validation chose."""
    rich, season = shifted_hours(log) if freq == "h" else counts(log, freq), SEASON[freq]
    plain, test = first(rich), int(TEST * len(rich))
    known = rich.rows(0, test)
    print(f"{freq}: {len(rich)} rows, of which {len(rich) - test} are scored")
    begin, every = (int(0.3 * test), 24) if freq == "h" else (int(0.65 * len(rich)), len(rich))
    name = chosen(known, begin=begin, every=every)
    plains, best = ([fit(known, seed) for seed in range(seeds)] for fit in (lstm, CANDIDATES[name]))
    shown = {f"lstm, seed {seed}": model for seed, model in enumerate(plains)}
    held = plain.rows(round((1.0 - HELD) * test) - 12, test)
    shown["lstm, calibrated"] = fc.conformalize(plains[0], held)
    shown |= {f"{name} (chosen), seed {seed}": model for seed, model in enumerate(best)}
    shown["seasonal naive"] = fc.create_model("series/seasonal-naive", seasonality=season)
    metrics = ["rmse", "mae", "wape", "mape", f"mase@{season}", "crps", "coverage@0.9"]
    result = fc.backtest(shown, plain, start=plain.timestamps[test], horizon=1, metrics=metrics)
    tell(result)
    labels = ("lstm", f"{name} (chosen)")
    rmse = [np.mean([result[f"{label}, seed {k}"].metrics["rmse"] for k in range(seeds)]) for label in labels]
    print(f"  RMSE over {seeds} seeds: lstm {rmse[0]:.1f}, chosen {rmse[1]:.1f}\n")
    return best[0]


def tell(result: fc.Backtest) -> None:
    for each in result.scores:
        values = "  ".join(f"{k} {'-' if v is None else f'{v:.3f}':>8}" for k, v in each.metrics.items())
        skill = each.skill["rmse"]
        print(f"  {each.label:40}{values}  skill {100 * (skill or 0.0):5.1f} %")


def live(model: Any, panel: fc.Panel, out: Path) -> None:
    """Save a model, then predict the last day as it came in, step by step."""
    model.save(out)
    predictor, history = RealTimePredictor(out, margin=5.0), PredictionHistory()
    begin = len(panel) - SEASON["5min"]
    buffer = StreamBuffer.from_panel(panel.rows(0, begin), context_length=predictor.reach() or begin)
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
