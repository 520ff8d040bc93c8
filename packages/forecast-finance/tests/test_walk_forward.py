"""Walk-forward reports: baselines always stand beside, nothing is claimed without an interval, plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecast_core.errors import InvalidInputError, UnknownIdError
from forecast_finance import Bars, WalkForward, random_walk, walk_forward
from forecast_finance.evaluation.walk_forward import BASELINES, _scored
from forecast_finance.predicting import gaussian_returns

MEMBER = {
    "size": 8,
    "heads": 2,
    "layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
    "batch_size": 32,
    "embedding": "none",
}
ENSEMBLE: dict[str, Any] = {
    "timeformer": {**MEMBER, "feed_forward": 8},
    "tft": {**MEMBER, "embedding_size": 4},
    "veto": {"max_rounds": 10, "threads": 1, "threshold": 0.5},
    "folds": 2,
}


@pytest.fixture(scope="module")
def bars() -> Bars:
    return random_walk(5, symbols=4, rows=600)


@pytest.fixture(scope="module")
def result(bars: Bars) -> WalkForward:
    return walk_forward(
        bars,
        train_end=bars.timeline[350],
        valid_end=bars.timeline[430],
        models={
            "both": ("finance/ensemble", ENSEMBLE),
            "tft": ("finance/tft-xl", {**MEMBER, "embedding_size": 4}),
        },
        seeds=(0, 1),
    )


def test_baselines_stand_beside_every_model(result: WalkForward) -> None:
    assert result.labels == (*BASELINES, "both", "tft")
    assert [r.seed for r in result.of("both")] == [0, 1]
    assert len(result.of("finance/always-up")) == 1  # nothing to fit: one run says it all
    frame = result.to_frame()
    assert len(frame) == len(result.results)
    assert {"accuracy", "accuracy_lower", "always_up", "sharpe_upper", "max_drawdown"} <= set(frame.columns)
    first = result.results[0]
    assert first.directions[0]["above_always_up"].value == 0.0
    with pytest.raises(InvalidInputError, match="label"):
        result.of("nobody")


def test_no_edge_is_claimed_in_a_random_walk(result: WalkForward) -> None:
    for label in result.labels:
        assert not result.has_edge(label)
        assert "an edge" not in result.verdict(label)
    deflated, overfitted = result.overfitting()
    assert deflated < 0.99
    assert 0 <= overfitted <= 1


def test_an_edge_is_seen_where_there_is_one(result: WalkForward) -> None:
    """Predictions that know part of the future are told from always-up's."""
    windows = result.windows
    returns = windows.targets()[0][..., 0]
    noise = np.random.default_rng(0).standard_normal(returns.shape) * returns.std(axis=0)
    peeking = gaussian_returns(windows, 0.5 * returns + 0.5 * noise, np.abs(returns) + 0.01)
    scored = _scored("peek", 0, peeking, windows, decision=0, cost_bp=5.0, base=result.results[0].account)
    assert scored.directions[0].has_edge
    assert scored.advantage is not None
    assert scored.advantage.upper < 0  # of losses: the model's are lower
    seen = WalkForward(
        (result.results[0], scored), result.market, windows, 0, 5.0, result.train_end, result.valid_end
    )
    assert seen.has_edge("peek")
    assert seen.verdict("peek").startswith("an edge")


def test_the_report_holds_tables_plots_and_the_same_figures(result: WalkForward, tmp_path: Path) -> None:
    path = result.report(tmp_path / "report.html", title="Random walk")
    html = path.read_text()
    for expected in (
        "Verdicts",
        "Direction over 3 bars",
        "Direction over 10 bars",
        "Accounts after 5 bp a side",
        "deflated Sharpe ratio",
        "without costs",
        "reliability of the veto",
        "inputs of the veto",
        "attention over the lookback",
        "returns</figcaption>",
        "no edge",
    ):
        assert expected in html, expected
    assert html.count("<svg") >= 6
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    told = json.loads((tmp_path / "report.json").read_text())
    assert {row["model"] for row in told["results"]} == set(result.labels)
    value, lower, upper = told["results"][0]["horizons"]["3"]["accuracy"]
    assert lower <= value <= upper
    assert told["market"]["trades"] > 0
    assert told["bars_a_year"] == 252
    assert "A year has 252 bars" in html


def test_wrong_arguments_are_refused_before_anything_is_fitted(bars: Bars) -> None:
    ends = {"train_end": bars.timeline[350], "valid_end": bars.timeline[430]}
    with pytest.raises(UnknownIdError, match="nothing/here"):
        walk_forward(bars, models={"x": ("nothing/here", {})}, **ends)
    with pytest.raises(InvalidInputError, match="seeds"):
        walk_forward(bars, seeds=(), **ends)
    with pytest.raises(InvalidInputError, match="decision_horizon"):
        walk_forward(bars, decision_horizon=4, **ends)


WRONG: dict[str, dict[str, Any]] = {
    r"models at 'x': give an id and its options": {"models": {"x": "finance/ridge"}},
    r"models at 'y': give an id and its options, .* got \('finance/ridge',\)": {
        "models": {"x": ("finance/ridge", {}), "y": ("finance/ridge",)}
    },
    r"models at 'x': give options by their names": {"models": {"x": ("finance/ridge", [1])}},
    r"models at 'x': are of the task 'bars', got 'series'": {"models": {"x": ("series/naive", {})}},
    r"RidgeConfig.foo: is not a field": {"models": {"x": ("finance/ridge", {"foo": 1})}},
    r"seeds: are at least one, got 3": {"seeds": 3},
    r"seeds: is a whole number of at least 0, got -1": {"seeds": (0, -1)},
    r"cost_bp: is at least 0": {"cost_bp": -1.0},
    r"bars_a_year: is above 0": {"bars_a_year": 0},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_cannot_be_tried_is_refused_before_anything_is_fitted(
    bars: Bars, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*given: Any, **options: Any) -> Any:
        raise AssertionError("began to work")

    monkeypatch.setattr("forecast_finance.evaluation.walk_forward.with_features", worked)
    with pytest.raises(InvalidInputError, match=message):
        walk_forward(bars, train_end=bars.timeline[350], valid_end=bars.timeline[430], **WRONG[message])


def test_seeds_may_come_from_anywhere(result: WalkForward, bars: Bars) -> None:
    ends = {"train_end": bars.timeline[350], "valid_end": bars.timeline[430]}
    again = walk_forward(bars, seeds=(seed for seed in (1, 0)), bars_a_year=365, **ends)
    assert [r.seed for r in again.of("finance/ridge")] == [1, 0]
    assert again.bars_a_year == 365
    assert {r.account.bars_a_year for r in again.results} == {365}
    for ours, theirs in zip(again.of("finance/ridge"), result.of("finance/ridge")[::-1], strict=True):
        scale = np.sqrt(365 / 252)
        assert ours.sharpe.value == pytest.approx(scale * theirs.sharpe.value)
        assert ours.sharpe.lower == pytest.approx(scale * theirs.sharpe.lower)
