"""Comparisons: a backtest whose differences are tested, with losses that add up to the leaderboard's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import MetricError
from forecast_core.evaluation import diebold_mariano
from forecast_core.evaluation.losses import loss_metric, origin_losses
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=400, items=3, missing=0.02)
START = PANEL.timestamps[200]
MODELS = {
    "day": fc.create_model("series/seasonal-naive", seasonality=24),
    "last": fc.create_model("series/naive"),
    "half": fc.create_model("series/seasonal-naive", seasonality=12),
}


@pytest.fixture(scope="module")
def result() -> fc.Comparison:
    return fc.compare(MODELS, PANEL, start=START, horizon=6, stride=2, metrics=["mae", "rmse", "crps"])


def test_a_comparison_is_a_backtest_with_tests(result: fc.Comparison) -> None:
    same = fc.backtest(MODELS, PANEL, start=START, horizon=6, stride=2, metrics=["mae", "rmse", "crps"])
    assert [s.metrics for s in result.scores] == [s.metrics for s in same.scores]
    assert result.loss == "mae"
    assert set(result.losses) == set(MODELS)
    origins = len(np.unique(result.windows.origins))
    frame = result.significance
    assert len(frame) == 3
    assert list(frame.columns) == [
        "pair", "model_a", "model_b", "mean_difference", "DM", "p", "p_holm", "better",
    ]  # fmt: skip
    assert result.overlap == 3
    for pair in result.tests.pairs:
        by_hand = diebold_mariano(result.losses[pair.model_a], result.losses[pair.model_b], horizon=3)
        assert pair.p == by_hand.p_value
        assert pair.observations == origins
        assert pair.p_holm >= pair.p
    day = next(p for p in result.tests.pairs if {p.model_a, p.model_b} == {"day", "half"})
    assert day.better == "day"
    assert result.confidence_set.included == ("day",)


def test_losses_of_origins_are_those_of_their_windows(result: fc.Comparison) -> None:
    windows = result.windows
    targets, mask = windows.targets()
    prediction = result.predictions["last"]
    assert isinstance(prediction, fc.MixturePrediction)
    for metric, error in (
        ("mae", np.abs(prediction.median() - targets)),
        ("mse", (prediction.mean() - targets) ** 2),
    ):
        found = origin_losses(prediction, windows, metric)
        for k, origin in enumerate(np.unique(windows.origins)):
            at = windows.origins == origin
            assert found[k] == pytest.approx(error[at][mask[at]].mean())


def test_the_loss_tested_is_the_first_that_adds_up() -> None:
    assert loss_metric(("coverage@0.9", "rmse", "mae")) == "mse"
    assert loss_metric(("crps",)) == "crps"
    with pytest.raises(MetricError, match="less is better"):
        loss_metric(("coverage@0.9", "r2"))
    with pytest.raises(MetricError, match="one value"):
        origin_losses(MODELS["day"].predict(PANEL, horizon=2), PANEL.windows(horizon=2), "mae@1,2")


def test_points_take_no_part_in_tests_of_a_loss_they_cannot_answer() -> None:
    panel = PANEL.rows(0, 300)
    result = fc.compare(MODELS, panel, start=START, horizon=6, metrics=["mae", "nll"], loss="nll")
    assert set(result.losses) == set(MODELS)
    points = result.predictions["day"]
    assert isinstance(points, fc.MixturePrediction)
    bare = fc.PointPrediction(item_ids=points.item_ids, values=points.median())
    assert np.isnan(origin_losses(bare, result.windows, "nll")).all()


def test_the_leaderboard_is_told_by_step_and_by_item(result: fc.Comparison) -> None:
    by_step, by_item = result.to_frame(by="horizon"), result.to_frame(by="item")
    assert len(by_step) == 3 * 6
    assert len(by_item) == 3 * 3
    naive = by_step[by_step["model"] == result.baseline]
    assert (naive["skill_mae"] == 0).all()
    row = by_item[(by_item["model"] == "last") & (by_item["item_id"] == "item-1")].iloc[0]
    base = by_item[(by_item["model"] == result.baseline) & (by_item["item_id"] == "item-1")].iloc[0]
    assert row["skill_mae"] == pytest.approx(1 - row["mae"] / base["mae"])
    assert row["mae"] == result["last"].by_item["mae"]["item-1"]


def test_the_report_holds_the_tests_and_the_calibration(result: fc.Comparison, tmp_path: Path) -> None:
    page = result.report(tmp_path / "report.html").read_text()
    for told in ("Significance", "p (Holm)", "integral transform", "Hardest items", "90 % confidence: day"):
        assert told in page
    told = json.loads((tmp_path / "report.json").read_text())
    assert {p["model_a"] for p in told["significance"]} <= set(MODELS)
    assert told["confidence_set"]["included"] == ["day"]


def test_too_few_origins_to_test_are_told_and_break_nothing(tmp_path: Path) -> None:
    result = fc.compare(MODELS, PANEL, start=PANEL.timestamps[394], horizon=6, metrics=["mae"])
    assert result.untested is not None
    assert "origins" in result.untested or "at least" in result.untested
    assert json.loads(result.to_json())["significance"] is None
    assert "Not tested" in result.report(tmp_path / "r.html").read_text()


def test_of_a_metric_at_several_steps_the_first_is_tested() -> None:
    found = fc.compare(
        MODELS, PANEL, start=START, horizon=6, stride=2, metrics=["coverage@0.5,0.9", "mae@3,6"]
    )
    assert found.loss == "mae@3"
    losses = origin_losses(found.predictions["last"], found.windows, "mae@3")
    np.testing.assert_array_equal(found.losses["last"], losses)
    assert found.untested is None
    assert json.loads(found.to_json())["loss"] == "mae@3"


@pytest.mark.parametrize(("loss", "metrics"), [("mae@3,6", None), (None, ["coverage@0.9"])])
def test_a_loss_that_cannot_be_tested_is_refused_before_anything_is_fitted(
    loss: str | None, metrics: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast_core.evaluation.comparing.backtest", lambda *_, **__: pytest.fail("began"))
    with pytest.raises(MetricError):
        fc.compare(MODELS, PANEL, start=START, horizon=6, metrics=metrics, loss=loss)
