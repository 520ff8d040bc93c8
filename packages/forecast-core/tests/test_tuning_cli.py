"""`forecast tune`: best beside default, confirmed on test rows, and a configuration to train from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import forecast_core as fc
from forecast_core.cli.app import run
from forecast_core.series.sample import sample_panel


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Hourly rows with a season of seven, of which the default of 24 knows nothing."""
    panel = sample_panel(rows=200, items=2)
    season = np.sin(2 * np.pi * np.arange(200) / 7)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 0.1, panel.values.shape)
    path = tmp_path / "table.csv"
    wide = fc.Panel(
        values=10 * season + noise,
        timestamps=panel.timestamps,
        item_ids=panel.item_ids,
        freq=panel.freq,
    )
    wide.to_frame(backend="pandas").to_csv(path, index=False)
    (tmp_path / "grid.yaml").write_text("seasonality: [5, 7, 24]\n")
    return path


def tune(capsys: pytest.CaptureFixture[str], table: Path, *more: str, code: int = 0) -> Any:
    arguments = ["tune", "series/seasonal-naive", "--data", str(table), "--item-id", "item_id"]
    arguments += ["--horizon", "6", "--objective", "mae", "--out", str(table.parent / "out"), *more]
    assert run(arguments) == code, capsys.readouterr().err
    return capsys.readouterr()


def test_the_best_is_shown_beside_the_default_and_confirmed_on_test(
    capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    told = tune(capsys, table, "--space", str(table.parent / "grid.yaml"), "--sampler", "grid")
    assert "confirmed on the test part" in told.out
    assert "not confirmed" not in told.out
    assert "mae on validation" in told.out
    assert f"forecast train --config {table.parent / 'out' / 'best.json'}" in told.out.replace("\n", "")
    assert "4/" in told.err  # the bar
    names = sorted(path.name for path in (table.parent / "out").iterdir())
    assert names == ["best.json", "tuning.html", "tuning.json"]


def test_json_holds_what_the_tables_say_and_the_best_can_be_trained(
    capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = ("--space", str(table.parent / "grid.yaml"), "--sampler", "grid")
    told = json.loads(tune(capsys, table, *space, "--jobs", "2", "--json").out)
    assert told["trials"] == {"complete": 4}
    assert told["best"]["params"] == {"seasonality": 7}
    assert told["best"]["value"] < 0.5 < told["default"]["value"]
    assert told["confirmed"] is True
    scores = {s["label"]: s["metrics"]["mae"] for s in told["test"]["scores"]}
    assert scores["best"] < 0.5 < scores["default"]
    study = json.loads((Path(told["folder"]) / "tuning.json").read_text())
    assert study["best"]["params"] == told["best"]["params"]
    monkeypatch.chdir(tmp_path)
    assert run(["train", "--config", str(Path(told["folder"]) / "best.json"), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    mae = {s["model"]: s["metrics"]["mae"] for s in trained["scores"]}
    assert mae["series/seasonal-naive"] == scores["best"]


def test_folds_can_score_instead_and_test_rows_stay_out(
    capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    space = ("--space", str(table.parent / "grid.yaml"), "--sampler", "grid")
    told = json.loads(tune(capsys, table, *space, "--cv", "3", "--json").out)
    panel = fc.Panel.from_frame(pd.read_csv(table), timestamp="timestamp", target="target", item_id="item_id")
    windows = panel.rows(0, 180).windows(context_length=25, horizon=6, stride=6)
    by_hand = fc.cross_validate(
        "series/seasonal-naive",
        windows,
        fc.splits.TimeSeriesSplit(n_splits=3),
        ["mae"],
        params={"horizon": 6, "seasonality": 7},
    )
    assert told["best"]["value"] == pytest.approx(by_hand.mean["mae"])


def test_a_study_in_a_storage_goes_on(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    (table.parent / "range.yaml").write_text("seasonality: {low: 1, high: 30}\n")
    more = ("--space", str(table.parent / "range.yaml"), "--storage", f"sqlite:///{table.parent / 't.db'}")
    first = json.loads(tune(capsys, table, *more, "--trials", "3", "--json").out)
    again = json.loads(tune(capsys, table, *more, "--trials", "6", "--json").out)
    assert (first["trials"], again["trials"]) == ({"complete": 3}, {"complete": 6})
    assert "goes on with the seed" in tune(capsys, table, *more, "--seed", "1", code=2).err


def test_that_nothing_was_better_is_said(capsys: pytest.CaptureFixture[str], table: Path) -> None:
    sample_panel(rows=200, items=2).to_frame(backend="pandas").to_csv(table, index=False)  # a season of 24
    (table.parent / "grid.yaml").write_text("seasonality: [5, 17]\n")
    told = tune(capsys, table, "--space", str(table.parent / "grid.yaml"), "--sampler", "grid")
    assert "no trial was better than the default" in told.out
    assert json.loads((table.parent / "out" / "best.json").read_text())["params"] == {"horizon": 6}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "space: names at least one field of SeasonalNaiveConfig"),
        (("--space", "none.yaml"), "space: is a readable YAML file"),
        (("--seasonalty", "7"), "did you mean '--seasonality'"),
        (("--cv", "one"), "--cv"),
        (("--ratios", "1,2"), "--ratios"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], table: Path, more: tuple[str, ...], message: str
) -> None:
    told = tune(capsys, table, *more, code=2)
    assert message in told.err
    assert not (table.parent / "out").exists()
