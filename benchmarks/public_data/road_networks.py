"""Los-loop and ten detectors of METR-LA: every model of a road network, with seeds and their spread.

los: 207 detectors, one week; errors over the last 20 % of the rows, all nodes and the first 3, 6, 9 and 12
steps of 5 minutes from 12, in mph. 70 % train and the next 10 % choose the epoch. Published: T-GCN, RMSE
5.13, 6.06, 6.71, 7.27 (its best epoch was chosen on the test part). metr: METR-LA's first ten detectors, the
first 80 % of its months, zeros missing; 70 / 15 / 15, errors 15, 30 and 60 minutes ahead. Memorial Day, the
only federal holiday of these months, is told, and is a Sunday to all models that read the calendar.

Options are chosen by errors on the validation part, which `--part validation` prints. DM is the
Diebold-Mariano statistic of STMGT's absolute errors by origin against STID's (below 0: STMGT is better), of
single models averaged over seeds, and of the seeds mixed.

    python benchmarks/public_data/road_networks.py DATA/traffic [--only los|metr] [--seeds 3] [--models DIR]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import forecast_core as fc
from forecast_core.evaluation.losses import origin_losses
from forecast_core.evaluation.significance import diebold_mariano
from forecast_core.metrics import score_metrics
from forecast_traffic import GraphPanel, GraphWindows, read_network

STEPS = 12
NAIVE: dict[str, dict[str, Any]] = {
    "traffic/last-value": {},
    "traffic/seasonal-naive": {"period": "day"},
    "traffic/historical-average": {"period": "weekpart"},
}

LARGE_BATCHES = {"batch_size": 64, "learning_rate": 3e-3}


@dataclass(frozen=True)
class Case:
    """shares: of rows to train, validate and test on. trained: options of models by id."""

    values: str
    adjacency: str
    reading: dict[str, Any]
    shares: tuple[float, float, float]
    metrics: tuple[str, ...]
    trained: dict[str, dict[str, Any]]

    def panel(self, data: Path) -> GraphPanel:
        """Of the files in a folder."""
        return read_network(data / self.values, adjacency=data / self.adjacency, **self.reading)


CASES = {
    "los": Case(
        values="los_loop/los_speed.csv.gz",
        adjacency="los_loop/los_adj.csv.gz",
        reading={"start": "2012-03-01"},
        shares=(0.7, 0.1, 0.2),
        metrics=("rmse@1-3", "rmse@1-6", "rmse@1-9", "rmse@1-12", "mae", "crps", "coverage@0.9"),
        trained={
            "traffic/stid": {"max_epochs": 20, "weekdays": False},
            "traffic/stmgt": {"max_epochs": 7, "calendar": ("day",)},
        },
    ),
    "metr": Case(
        values="metr_la_10/metr_la_10_first80.npz",
        adjacency="metr_la_10/metr_la_10_first80.npz",
        reading={"missing_value": 0, "holidays": ("2012-05-28",)},
        shares=(0.7, 0.15, 0.15),
        metrics=("mae@3", "mae@6", "mae@12", "mae", "rmse", "mape", "crps", "coverage@0.9"),
        trained={
            "traffic/stid": {"max_epochs": 12, "dropout": 0.3, **LARGE_BATCHES},
            "traffic/stmgt": {"max_epochs": 12, "dropout": 0.4, **LARGE_BATCHES},
        },
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of the public traffic data")
    parser.add_argument("--only", choices=tuple(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--models", type=Path, help="where trained models are kept, and found again")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, case in CASES.items():
        if given.only in (None, name):
            kept = None if given.models is None else given.models / name
            run(name, case, case.panel(given.data), seeds=given.seeds, part=given.part, kept=kept)


def run(name: str, case: Case, panel: GraphPanel, *, seeds: int, part: str, kept: Path | None) -> None:
    """Prints a table of the case in markdown."""
    train, valid, test = fc.splits.time_split(panel, case.shares)
    scored = valid if part == "validation" else test
    seen = panel.between(None, test.timestamps[0]) if part == "validation" else panel
    windows = seen.windows(horizon=STEPS, origins=scored.timestamps[: -STEPS + 1] - panel.freq.delta)
    print(f"\n{name}: {panel}\n{part} part, {len(windows)} windows, {seeds} seeds\n")
    print(f"| | {' | '.join(case.metrics)} | seconds |\n|---|{'---|' * (len(case.metrics) + 1)}")
    for model_id, options in NAIVE.items():
        model = fc.create_model(model_id, **options)
        if model.spec.capabilities.needs_fit:
            model.fit(train)
        row(model_id, [scores(model, windows, case)], [0.0])
    losses, mixed = {}, {}
    for model_id, options in case.trained.items():
        models, found, seconds, by_origin = [], [], [], []
        for seed in range(seeds):
            place = None if kept is None else kept / f"{model_id.rpartition('/')[2]}-{seed}"
            model, took = trained(model_id, options, train, valid, seed=seed, place=place)
            models.append(model)
            seconds.append(took)
            found.append(scores(model, windows, case))
            by_origin.append(origin_losses(model.predict_windows(windows), windows, "mae"))
        row(model_id, found, seconds)
        losses[model_id] = np.mean(by_origin, axis=0)
        if seeds > 1:
            mix = fc.create_ensemble(models)
            row(f"{model_id}, the seeds mixed", [scores(mix, windows, case)], [0.0])
            mixed[model_id] = origin_losses(mix.predict_windows(windows), windows, "mae")
    for what, by_model in (("single models", losses), ("the seeds mixed", mixed)):
        if by_model:
            told = diebold_mariano(by_model["traffic/stmgt"], by_model["traffic/stid"], horizon=STEPS)
            print(f"\nDM, {what}: {told.statistic:+.2f}, p {told.p_value:.2g}")


def trained(
    model_id: str, options: dict[str, Any], train: Any, valid: Any, *, seed: int, place: Path | None
) -> tuple[Any, float]:
    """A model found where it is kept, or fitted; and seconds of processor time that took."""
    if place is not None and place.is_dir():
        return fc.load_model(place), 0.0
    model, began = fc.create_model(model_id, **options), time.process_time()
    model.fit(train, validation=valid, seed=seed)
    seconds = time.process_time() - began
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        model.save(place)
    return model, seconds


def scores(model: Any, windows: GraphWindows, case: Case) -> list[float]:
    targets, observed = windows.targets()
    found = score_metrics(model.predict_windows(windows), targets, observed, list(case.metrics)).overall
    return [float("nan") if value is None else float(value) for value in found.values()]


def row(name: str, found: list[list[float]], seconds: list[float]) -> None:
    mean, table = np.mean(found, axis=0), np.array(found)
    cells = [f"{value:.3f}" for value in mean]
    if len(found) > 1:
        cells = [f"{cell} ± {each:.3f}" for cell, each in zip(cells, table.std(0, ddof=1), strict=True)]
    print(f"| {name} | {' | '.join(cells)} | {np.mean(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    main()
