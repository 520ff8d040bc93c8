"""ETH/UCY, leave one scene out: a trained model beside constant velocity, by the protocol eth-ucy/sgan.

Each model is fitted on the training part of the other scenes, keeps the weights of the best epoch on their
validation part, is calibrated on that part too, and is scored on the scene left out, with each seed: paths,
coverage of 90 % ellipses (as fitted, by split and by adaptive calibration), and probabilities of events,
beside those of saying how often they happen: in the scene itself ("here"), or in training ("elsewhere").
Bars: minADE/minFDE of 20 averaged over scenes at most 0.30/0.55; the most probable path's ADE at most
constant velocity's; adaptive ellipses hold 85 to 95 % of every scene.

    python benchmarks/public_data/eth_ucy.py DATA/trajectories/eth_ucy --seeds 0 1 2 --models models/
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

import forecast_core as fc
from forecast_traffic.trajectory import (
    EVENTS,
    Tracks,
    available_protocols,
    calibrate_ellipses,
    event_labels,
    event_scores,
    protocol,
)

SCENES = ("eth", "hotel", "univ", "zara1", "zara2")
PATHS = ("minade@20", "minfde@20", "minade@1", "minfde@1", "collision_rate")
COVERAGE = "ellipse_coverage@0.9"
METHODS: tuple[Literal["as fitted", "split", "adaptive"], ...] = ("as fitted", "split", "adaptive")
Found = dict[str, np.ndarray]  # name -> [scene]


def windows_of(folder: Path, name: str) -> Any:
    return protocol(name).windows(Tracks.read_eth_ucy(folder, singles="drop", gaps="keep"))


def trained(model_id: str, folder: Path, kept: Path | None, *, seed: int, params: dict[str, Any]) -> Any:
    """The model of a scene left out: found among those kept, or fitted."""
    place = None if kept is None else kept / f"{model_id.rpartition('/')[2]}-{folder.name}-{seed}"
    if place is not None and place.is_dir():
        return fc.load_model(place)
    train, valid = (windows_of(folder / part, "eth-ucy/full-tracks") for part in ("train", "val"))
    model = fc.create_model(model_id, **params).fit(train, validation=valid, seed=seed)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        model.save(place)
    return model


def scored(model: Any, folder: Path) -> dict[str, float]:
    """Everything measured of one model on the scene left out."""
    test, valid = (
        windows_of(folder / "test", "eth-ucy/sgan"),
        windows_of(folder / "val", "eth-ucy/full-tracks"),
    )
    found: dict[str, float] = {}
    for method in METHODS:
        chosen = model if method == "as fitted" else calibrate_ellipses(model, valid, method=method)
        metrics = [*(PATHS if method == "as fitted" else ()), COVERAGE, "path_nll"]
        for name, value in fc.evaluate(chosen, test, metrics=metrics).metrics.items():
            key = name if name in PATHS else f"{name}, {method}"
            found[key] = float("nan") if value is None else value
    known = event_labels(windows_of(folder / "train", "eth-ucy/full-tracks"))
    rates = dict(zip(EVENTS, np.nanmean(np.where(np.isnan(known).all(0), 0.0, known), 0), strict=True))
    for event, score in event_scores(model.predict_windows(test), test).items():
        elsewhere = score.base_brier + (score.rate - float(rates[event])) ** 2
        told = {"Brier": score.brier, "here": score.base_brier, "elsewhere": elsewhere, "AUC": score.auc}
        found.update({f"{event}, {name}": value for name, value in told.items()})
    return found


def table(head: str, rows: Iterable[tuple[str, np.ndarray]], scenes: list[str]) -> None:
    """Rows of numbers by scene, with their mean."""
    rows = list(rows)
    if not rows:
        return
    print(f"\n| {head} | {' | '.join(scenes)} | mean |\n|---|{'---|' * (len(scenes) + 1)}")
    for name, values in rows:
        print(f"| {name} | {' | '.join(f'{v:.3f}' for v in (*values, np.mean(values)))} |")


def tell(title: str, found: Found, scenes: list[str]) -> None:
    table(f"{title}: paths", ((name, found[name]) for name in PATHS), scenes)
    for metric in (COVERAGE, "path_nll"):
        table(f"{title}: {metric}", ((m, found[f"{metric}, {m}"]) for m in METHODS), scenes)
    events = [name for name in EVENTS if f"{name}, Brier" in found]
    table(
        f"{title}: events",
        ((f"{e}, {n}", found[f"{e}, {n}"]) for e in events for n in ("Brier", "here", "elsewhere", "AUC")),
        scenes,
    )


def closed_form(data: Path) -> None:
    """Constant velocity under every protocol: exact figures, nothing fitted."""
    print(f"| protocol | {' | '.join(SCENES)} |\n|---|{'---|' * len(SCENES)}")
    for name in available_protocols():
        cells = []
        for scene in SCENES:
            windows = windows_of(data / scene / "test", name)
            model = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=12, dt=0.4)
            m = fc.evaluate(model, windows, metrics=["ade", "fde"]).metrics
            cells.append(f"{m['ade']:.4f}/{m['fde']:.4f} ({len(windows)})")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with a folder of train, val and test a scene")
    parser.add_argument("--model", default="trajectory/interaction-transformer")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=SCENES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--models", type=Path, help="where trained models are kept, and found again")
    given = parser.parse_args()
    closed_form(given.data)

    def gathered(model_id: str, kept: Path | None, *, seed: int, params: dict[str, Any]) -> Found:
        each = []
        for scene in given.scenes:
            began = time.perf_counter()
            model = trained(model_id, given.data / scene, kept, seed=seed, params=params)
            each.append(scored(model, given.data / scene))
            print(f"{model_id}, {scene}, seed {seed}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        return {name: np.array([found[name] for found in each]) for name in each[0]}

    still = gathered("trajectory/constant-velocity", None, seed=0, params={})
    tell("constant velocity", still, given.scenes)
    runs = []
    for seed in given.seeds:
        runs.append(gathered(given.model, given.models, seed=seed, params={"max_epochs": given.epochs}))
        tell(f"{given.model}, seed {seed}", runs[-1], given.scenes)
    print(f"\nmeans over {len(given.scenes)} scenes and {len(runs)} seeds, {given.epochs} epochs")
    for name in runs[0]:
        means = np.array([run[name].mean() for run in runs])
        spread = f" +- {means.std(ddof=1):.3f}" if len(means) > 1 else ""
        beside = f"   constant velocity {np.mean(still[name]):.3f}" if name in still else ""
        print(f"{name:34} {means.mean():.3f}{spread}{beside}")
    held = np.stack([run[f"{COVERAGE}, adaptive"] for run in (still, *runs)])
    print(f"adaptive ellipses hold {held.min():.3f} to {held.max():.3f} of a scene")
    paths = {name: np.mean([run[name] for run in runs]) for name in PATHS}
    good = paths["minade@20"] <= 0.30 and paths["minfde@20"] <= 0.55
    good = good and paths["minade@1"] <= still["minade@1"].mean()
    return 0 if good and held.min() >= 0.85 and held.max() <= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
