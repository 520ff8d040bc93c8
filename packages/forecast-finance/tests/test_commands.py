"""`forecast finance` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import forecast_core as fc
from forecast_core.cli.app import run
from forecast_finance import Bars, features, open_dataset, random_walk

MEMBER = {
    "size": 8,
    "heads": 2,
    "layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
    "batch_size": 32,
    "embedding": "none",
}


@pytest.fixture(scope="module")
def bars() -> Bars:
    return random_walk(rows=420)


@pytest.fixture
def table(bars: Bars, tmp_path: Path) -> str:
    frame = pd.DataFrame(bars.values, columns=["open", "high", "low", "close", "volume"])
    frame.insert(0, "timestamp", bars.timestamps)
    frame.insert(0, "symbol", [bars.symbols[k] for k in bars.symbol_of_row])
    frame.to_csv(tmp_path / "bars.csv", index=False)
    return str(tmp_path / "bars.csv")


def test_features_are_written_with_their_masks(table: str, bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    assert run(["finance", "features", str(out), "--data", table, "--symbols", "S0,S2"]) == 0
    written = pd.read_parquet(out)
    assert len(written) == 840
    assert set(written["symbol"]) == {"S0", "S2"}
    assert set(features.names()) <= set(written.columns)


def test_a_data_set_is_written(table: str, bars: Bars, tmp_path: Path) -> None:
    out = tmp_path / "ds"
    assert run(["finance", "dataset", str(out), "--data", table]) == 0
    assert len(open_dataset(out).bars) == len(bars)


def test_a_backtest_prints_models_beside_baselines(
    table: str, bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = ["--train-end", str(bars.timeline[300])[:10], "--valid-end", str(bars.timeline[350])[:10]]
    model = "finance/momentum:context_length=30"
    report = tmp_path / "r.html"
    command = ["finance", "backtest", model, *ends, "--data", table, "--report", str(report), "--json"]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in told["results"]][-1] == model
    assert report.is_file()
    assert run(["finance", "backtest", "finance/momentum", *ends, "--data", table]) == 0
    printed = capsys.readouterr().out
    assert "no edge over always-up" in printed
    assert "252 bars a year" in " ".join(printed.split())


def test_a_report_that_could_not_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = ["--train-end", "2011-01-01", "--valid-end", "2011-03-01", "--data", str(tmp_path / "no.csv")]
    assert run(["finance", "backtest", "finance/momentum", *ends, "--report", "out.txt"]) == 2
    assert capsys.readouterr().err.strip().endswith("--report: ends in .html, got out.txt")


def test_signals_are_told_by_a_saved_ensemble(
    table: str, bars: Bars, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fc.create_model(
        "finance/ensemble",
        timeformer={**MEMBER, "feed_forward": 8},
        tft={**MEMBER, "embedding_size": 4},
        veto={"max_rounds": 10, "threads": 1},
        folds=1,
    )
    model.fit(bars).save(tmp_path / "model")
    assert run(["finance", "signal", str(tmp_path / "model"), "--data", table, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["symbol"] for each in told] == ["S0", "S1", "S2"]
    assert {each["action"] for each in told} <= {"BUY", "SELL", "HOLD"}
    assert run(["finance", "signal", str(tmp_path / "model"), "--data", table]) == 0
    assert run(["finance", "signal", "finance/momentum", "--data", table]) == 1
    assert "gives no signals" in capsys.readouterr().err


def test_wrong_usage_is_told_in_one_line(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["finance", "features", "out.txt", "--data", table]) == 2
    assert capsys.readouterr().err.strip().endswith("ends in .csv or .parquet, got out.txt")
    assert run(["finance", "features", str(tmp_path / "f.csv"), "--data", table, "--symbols", "X"]) == 1
    assert "are among the bars'" in capsys.readouterr().err
