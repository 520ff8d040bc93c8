"""Every model on 31 Dow names, walked forward once: what it says, and what it would have earned.

    python benchmarks/public_data/dow_walk_forward.py DATA [--report report.html]

DATA holds `djia30_daily`, a csv a name. Training to 2013, validation in 2014 and 2015, test in 2016 and 2017,
costs of 5 bp a side, three seeds, networks of a size that trains on a CPU. About half an hour on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from forecast_finance import read_bars, walk_forward

TRAINING: dict[str, Any] = {"max_epochs": 5, "windows_per_epoch": 4096, "batch_size": 256, "patience": 3}
TIMEFORMER = {**TRAINING, "size": 64, "heads": 4, "layers": 2, "feed_forward": 128}
TFT = {**TRAINING, "size": 32, "heads": 4, "layers": 1, "embedding_size": 8}
MODELS = {
    "timeformer-xl": ("finance/timeformer-xl", TIMEFORMER),
    "tft-xl": ("finance/tft-xl", TFT),
    "ensemble": (
        "finance/ensemble",
        {"timeformer": TIMEFORMER, "tft": TFT, "folds": 2, "veto": {"threads": 1}},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", type=Path, default=Path("reports/dow.html"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    bars = read_bars(options.data / "djia30_daily", symbol="Name", timestamp="Date", invalid="drop")
    result = walk_forward(
        bars,
        train_end="2014-01-01",
        valid_end="2016-01-01",
        models=MODELS,
        seeds=tuple(options.seeds),
        cost_bp=5,
    )
    print(f"report: {result.report(options.report, title='Dow names, 2016 and 2017')}")


if __name__ == "__main__":
    main()
