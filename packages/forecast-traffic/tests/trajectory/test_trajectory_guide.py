"""The guide is true: its Python runs as written, on files laid out as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_traffic.trajectory import Tracks, protocol, sample_tracks

GUIDE = Path(__file__).parents[4] / "docs" / "trajectory.md"


def eth_ucy_file(path: Path, data: Tracks) -> None:
    path.parent.mkdir(parents=True)
    rows = np.column_stack([data.frames * 10, data.track_of_row, data.xy])
    np.savetxt(path, rows, fmt=["%d", "%d", "%.4f", "%.4f"], delimiter="\t")


def test_the_python_of_the_guide_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        eth_ucy_file(tmp_path / "eth_ucy" / "zara1" / part / "square.txt", sample_tracks(seed))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for block in blocks:
        exec(compile(block, GUIDE.name, "exec"), names)
    assert blocks
    assert names["p"].mean().shape == (len(names["windows"]), 12, 2)
    assert names["calibrated"].config.method == "adaptive"


def test_tracks_are_fitted_predicted_scored_and_tuned_in_few_lines(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    for seed, part in enumerate(("train", "test")):
        eth_ucy_file(tmp_path / part / "square.txt", sample_tracks(seed))
    train_tracks, data = (Tracks.read_eth_ucy(tmp_path / part) for part in ("train", "test"))
    w = protocol("eth-ucy/sgan").windows(data)
    m = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=12, dt=0.4).fit(
        train_tracks
    )
    p = m.predict_windows(w)
    assert p.mean().shape == (len(w), 12, 2)
    assert p.sample(3, seed=0).shape == (3, len(w), 12, 2)
    lower, upper = p.interval(0.9)
    assert (lower < upper).all()
    assert p.modes()[1].shape == (len(w), 1, 12, 2)  # type: ignore[attr-defined]
    names = ["ade", "fde", "minade@20", "nll", "coverage@0.9"]
    found = fc.evaluate(m, w, metrics=names).metrics
    assert all(found[name] is not None for name in names)
    assert fc.tune("trajectory/polynomial", train_tracks, objective="ade", n_trials=2).best_value is not None
