"""`timeseries/lstm` beside the LSTMs of neuralforecast and darts: a training step, and one prediction.

The three have the same hidden size, layers, context, horizon, batch and Adam with squared error, read one
hourly series without covariates, and answer all steps from one dense map of what the LSTM says. A step is
the slope of the time of whole fits over their number of steps, so that no library pays for its set-up.
Predicting is one call of a fitted model with a new context, as a user makes it. One thread; every round
times all three in turn, ratios are medians over rounds. Exit status 1 where predicting is not 12 times
faster than either, or a step is slower than the faster of the two.

The peers want an environment of their own, from the root of this repository:

    python -m venv .venv-peers
    .venv-peers/bin/python -m pip install -c constraints.txt packages/forecast-core[torch] \\
      packages/forecast-timeseries neuralforecast darts
    .venv-peers/bin/python benchmarks/peers/lstm.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import logging
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch

import forecast_core as fc

ROWS, CONTEXT, HORIZON, HIDDEN, LAYERS, BATCH = 2_000, 48, 12, 64, 2, 32
FEW, MANY = 50, 250  # steps of the two fits of a slope
CALLS = 30  # predictions a round
SILENT = {
    "enable_progress_bar": False, "enable_checkpointing": False,
    "enable_model_summary": False, "logger": False,
}  # fmt: skip

Fit = Callable[[int], Any]  # fits for so many steps
Predict = Callable[[], Any]


def series() -> tuple[pd.DatetimeIndex, np.ndarray]:
    """Hours and load [row] of a service: a day, a week, noise."""
    hours = np.arange(ROWS)
    rng = np.random.default_rng(0)
    load = 100 + 30 * np.sin(hours * 2 * np.pi / 24) + 10 * np.sin(hours * 2 * np.pi / 168)
    return pd.date_range("2024-01-01", periods=ROWS, freq="h"), load + rng.normal(0, 5, ROWS)


def forecast() -> tuple[Fit, Predict]:
    hours, load = series()
    panel = fc.Panel.from_frame(
        pd.DataFrame({"item": "web", "time": hours, "load": load}),
        item_id="item",
        timestamp="time",
        target="load",
        freq="1h",
    )

    def fit(steps: int) -> Any:
        model = fc.create_model(
            "timeseries/lstm", context_length=CONTEXT, horizon=HORIZON, hidden_size=HIDDEN, num_layers=LAYERS,
            head_size=0, head="point", point_loss="squared", calendar=(), item_embedding=0, dropout=0.0,
            normalisation="item", max_epochs=steps // FEW, windows_per_epoch=FEW * BATCH, batch_size=BATCH,
            learning_rate=1e-3, schedule="constant", gradient_clip=None,
        )  # fmt: skip
        return model.fit(panel, seed=0)

    model = fit(FEW)
    return fit, lambda: model.predict(panel)


def neuralforecast() -> tuple[Fit, Predict]:
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MSE
    from neuralforecast.models import LSTM

    hours, load = series()
    table = pd.DataFrame({"unique_id": "web", "ds": hours, "y": load})

    def fit(steps: int) -> Any:
        model = LSTM(
            h=HORIZON, input_size=CONTEXT, encoder_n_layers=LAYERS, encoder_hidden_size=HIDDEN,
            decoder_layers=1, decoder_hidden_size=HIDDEN, recurrent=False, loss=MSE(), max_steps=steps,
            learning_rate=1e-3, batch_size=1, windows_batch_size=BATCH, scaler_type="identity",
            accelerator="cpu", devices=1, **SILENT,
        )  # fmt: skip
        whole = NeuralForecast(models=[model], freq="h")
        whole.fit(table)
        return whole

    model = fit(FEW)
    return fit, lambda: model.predict(df=table)


def darts() -> tuple[Fit, Predict]:
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    hours, load = series()
    table = TimeSeries.from_times_and_values(hours, load.astype(np.float32))

    def fit(steps: int) -> Any:
        model = BlockRNNModel(
            CONTEXT, HORIZON, model="LSTM", hidden_dim=HIDDEN, n_rnn_layers=LAYERS, batch_size=BATCH,
            n_epochs=1, optimizer_kwargs={"lr": 1e-3}, random_state=0,
            pl_trainer_kwargs={"accelerator": "cpu", "devices": 1, "limit_train_batches": steps, **SILENT},
        )  # fmt: skip
        return model.fit(repeated(table, steps), verbose=False)

    model = fit(FEW)
    return fit, lambda: model.predict(HORIZON, series=table, verbose=False)


def repeated(series: Any, steps: int) -> list[Any]:
    """The series often enough for an epoch of so many batches."""
    windows = ROWS - CONTEXT - HORIZON + 1
    return [series] * -(-steps * BATCH // windows)


def milliseconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    logging.disable(logging.WARNING)
    libraries = {"forecast": forecast, "neuralforecast": neuralforecast, "darts": darts}
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "neuralforecast", "darts"))
    print(f"{names}, Python {platform.python_version()}, one thread, {rounds} rounds")
    made = {name: make() for name, make in libraries.items()}
    steps: dict[str, list[float]] = {name: [] for name in made}
    calls: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(rounds + 1):  # one round to warm up
        for name in list(made)[:: 1 if turn % 2 else -1]:
            fit, predict = made[name]
            few, many = milliseconds(lambda f=fit: f(FEW)), milliseconds(lambda f=fit: f(MANY))  # type: ignore[misc]
            one = statistics.median(milliseconds(predict) for _ in range(CALLS))
            if turn:
                steps[name].append((many - few) / (MANY - FEW))
                calls[name].append(one)
    print(f"\n{'':16}{'a step':>10}{'ours is':>10}{'predict one':>14}{'ours is':>10}")
    slowest_step, least_gain = 0.0, float("inf")
    for name in made:
        step = statistics.median(a / b for a, b in zip(steps["forecast"], steps[name], strict=True))
        gain = statistics.median(b / a for a, b in zip(calls["forecast"], calls[name], strict=True))
        if name != "forecast":
            slowest_step, least_gain = max(slowest_step, step), min(least_gain, gain)
        print(
            f"{name:16}{statistics.median(steps[name]):7.2f} ms{step:9.2f}x"
            f"{statistics.median(calls[name]):11.2f} ms{gain:9.1f}x"
        )
    return int(slowest_step > 1.0 or least_gain < 12.0)


if __name__ == "__main__":
    sys.exit(main())
