"""Evaluation: the same numbers as a loop by hand, the naive baseline beside them, and no leak."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import InvalidInputError, LeakError, MetricError, ShapeError
from forecast_core.evaluation.scores import ScaleWarning, predict_in_batches
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=300, items=3, missing=0.05)
START = PANEL.timestamps[200]


def seasonal(**options: int) -> fc.Predictor[fc.Panel]:
    return fc.create_model("series/seasonal-naive", **{"seasonality": 24, **options})


def test_a_backtest_equals_predicting_origin_by_origin() -> None:
    model, errors, inside = seasonal(), [], []
    for row in range(199, 300 - 12, 5):
        p = model.predict(PANEL.rows(0, row + 1), horizon=12)
        assert isinstance(p, fc.ForecastPrediction)
        truth = PANEL.values[row + 1 : row + 13].transpose(1, 0, 2)
        seen = ~np.isnan(truth)
        errors.append(np.abs(p.median() - truth)[seen])
        lower, upper = p.interval(0.9)
        inside.append(((truth >= lower) & (truth <= upper))[seen])
    result = fc.backtest([model], PANEL, start=START, horizon=12, stride=5, metrics=["mae", "coverage@0.9"])
    assert len(result.windows) == 3 * len(errors)
    assert result.scores[0].metrics["mae"] == pytest.approx(np.concatenate(errors).mean(), rel=1e-12)
    assert result.scores[0].metrics["coverage@0.9"] == pytest.approx(np.concatenate(inside).mean(), rel=1e-12)


def test_the_naive_baseline_always_takes_part_and_skill_is_against_it() -> None:
    alone = fc.backtest(
        [fc.create_model("series/naive")], PANEL, start=START, horizon=6, metrics=["mae", "rmse"]
    )
    assert alone.baseline == "series/seasonal-naive"
    assert [s.label for s in alone.scores] == ["series/seasonal-naive", "series/naive"]
    naive, base = alone["series/naive"], alone["series/seasonal-naive"]
    assert naive.metrics["mae"] is not None
    assert base.metrics["mae"] is not None
    assert naive.skill["mae"] == pytest.approx(1 - naive.metrics["mae"] / base.metrics["mae"])
    assert base.skill["mae"] == 0.0
    mine = fc.backtest([seasonal(seasonality=12)], PANEL, start=START, horizon=6, metrics=["mae"])
    assert [s.label for s in mine.scores] == ["series/seasonal-naive"]


def test_scaled_errors_scale_on_rows_before_the_start() -> None:
    scale = np.nanmean(np.abs(PANEL.values[24:200] - PANEL.values[:176]), axis=0)[:, 0]
    result = fc.backtest([seasonal()], PANEL, start=START, horizon=6, metrics=["mae", "mase"])
    targets, mask = result.windows.targets()
    errors = np.abs(result.predictions["series/seasonal-naive"].median() - targets)  # type: ignore[attr-defined]
    rows = np.tile(scale, len(targets) // 3)[:, None, None]
    assert result.scores[0].metrics["mase"] == pytest.approx((errors / rows)[mask].mean(), rel=1e-9)
    moved = PANEL.values.copy()
    moved[200:] += 50.0
    later = fc.backtest([seasonal()], replace(PANEL, values=moved), start=START, horizon=6, metrics=["mase"])
    np.testing.assert_array_equal(later.windows.naive_scale(24, before=START)[:3, 0], scale)  # type: ignore[attr-defined]


def test_evaluate_takes_data_or_windows_and_gives_steps_and_items() -> None:
    model = seasonal(horizon=6)
    test = PANEL.between(START, None)
    by_data = fc.evaluate(model, test, metrics=["mae", "mae@1,6", "crps"], stride=3)
    by_windows = fc.evaluate(
        model, test.windows(context_length=25, horizon=6, stride=3), metrics=["mae", "mae@1,6", "crps"]
    )
    assert by_data.metrics == by_windows.metrics
    assert len(by_data.by_horizon["mae"]) == 6
    assert by_data.by_horizon["mae"][0] == pytest.approx(by_data.metrics["mae@1"])
    assert set(by_data.by_item["mae"]) == set(PANEL.item_ids)
    assert by_data.skill["mae"] == 0.0
    assert "mae=" in repr(by_data)


def test_models_of_one_id_get_labels_of_their_own() -> None:
    models = [seasonal(), seasonal(seasonality=12)]
    result = fc.backtest(models, PANEL, start=START, horizon=6, metrics=["mae"])
    assert {s.label for s in result.scores} == {"series/seasonal-naive", "series/seasonal-naive (2)"}
    named = fc.backtest(
        {"daily": models[0], "half": models[1]}, PANEL, start=START, horizon=6, metrics=["mae"]
    )
    assert named["daily"].metrics == result["series/seasonal-naive"].metrics
    assert named.baseline == "daily"
    with pytest.raises(InvalidInputError, match="label"):
        named["weekly"]


def test_starts_are_given_in_every_usual_way() -> None:
    import pandas as pd

    moment = datetime(2024, 1, 9, 8, tzinfo=UTC)
    ways = [START, str(START), moment, moment.replace(tzinfo=None), pd.Timestamp(moment), pd.Timestamp(START)]
    scores = [fc.backtest([seasonal()], PANEL, start=w, horizon=6, metrics=["mae"]).scores[0] for w in ways]
    assert len({s.metrics["mae"] for s in scores}) == 1


def test_covariates_a_model_does_not_take_are_left_out_for_it() -> None:
    rich = sample_panel(rows=300, items=2, past_covariates=1, future_covariates=1, static_covariates=1)
    result = fc.backtest([seasonal()], rich, start=START, horizon=6, metrics=["mae"])
    plain = rich.without(frozenset({"past_covariates", "future_covariates", "static_covariates"}))
    assert (
        result.scores[0].metrics
        == fc.backtest([seasonal()], plain, start=START, horizon=6, metrics=["mae"]).scores[0].metrics
    )


def test_batches_never_tear_an_origin_apart_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = PANEL.windows(context_length=48, horizon=6)
    whole = predict_in_batches(seasonal(), windows)
    sizes: list[int] = []

    class Watching(type(seasonal())):  # type: ignore[misc]
        def predict_windows(self, windows: fc.PanelWindows) -> fc.Prediction:
            sizes.append(len(windows))
            assert len(windows) % 3 == 0
            return super().predict_windows(windows)  # type: ignore[no-any-return]

    monkeypatch.setattr("forecast_core.evaluation.scores._BATCH", 50)
    model = seasonal()
    assert predict_in_batches(Watching(model.config, spec=model.spec), windows) == whole
    assert len(sizes) > 5


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(MetricError, match="did you mean 'mae'"):
        fc.backtest([seasonal()], PANEL, start=START, horizon=6, metrics=["maee"])
    with pytest.raises(ShapeError, match="start"):
        fc.backtest([seasonal()], PANEL, start=PANEL.timestamps[0], horizon=6)
    with pytest.raises(ShapeError, match="start"):
        fc.backtest([seasonal()], PANEL, start=PANEL.timestamps[-3], horizon=6)
    with pytest.raises(InvalidInputError, match="horizon"):
        fc.backtest([seasonal()], PANEL, start=START, horizon=0)
    with pytest.raises(InvalidInputError, match="horizon"):
        fc.backtest([seasonal()], PANEL, start=START)
    with pytest.raises(InvalidInputError, match="stride"):
        fc.backtest([seasonal()], PANEL, start=START, horizon=6, stride=0)
    with pytest.raises(InvalidInputError, match="start"):
        fc.backtest([seasonal()], PANEL, start="yesterday", horizon=6)
    with pytest.raises(InvalidInputError, match="models"):
        fc.backtest([], PANEL, start=START, horizon=6)
    with pytest.raises(InvalidInputError, match="data"):
        fc.evaluate(seasonal(), [1, 2, 3])  # type: ignore[arg-type]


def test_a_model_that_has_seen_the_test_rows_is_a_leak() -> None:
    model = seasonal(horizon=6).fit(PANEL)
    for ask in (
        lambda: fc.backtest([model], PANEL, start=START, horizon=6),
        lambda: fc.evaluate(model, PANEL.between(START, None)),
    ):
        with pytest.raises(LeakError, match="has seen data until 2024-01-13"):
            ask()
    honest = seasonal(horizon=6).fit(PANEL.between(None, START))
    fc.backtest([honest], PANEL, start=START, horizon=6, metrics=["mae"])


def test_the_report_is_one_file_that_holds_everything(tmp_path: Path) -> None:
    odd = replace(PANEL, item_ids=("<b>one</b>", "two & three", "four"))
    result = fc.backtest(
        {"daily <i>": seasonal(), "last": fc.create_model("series/naive")},
        odd,
        start=START,
        horizon=6,
        stride=6,
        metrics=["mae", "crps", "coverage@0.9"],
    )
    path = result.report(tmp_path / "deep" / "report.html", title="A & B")
    text = path.read_text()
    assert "A &amp; B" in text
    assert "<b>one</b>" not in text
    assert "daily <i>" not in text
    assert text.count("<svg") >= 4
    assert not re.search(r"(src|href)=['\"]https?:", text)
    numbers = json.loads(path.with_suffix(".json").read_text())
    assert numbers["baseline"] == "daily <i>"
    assert {s["label"] for s in numbers["scores"]} == {"daily <i>", "last"}
    assert sorted(p.name for p in path.parent.iterdir()) == ["report.html", "report.json"]
    with pytest.raises(InvalidInputError, match="html"):
        result.report(tmp_path / "report.pdf")


def test_the_leaderboard_is_a_frame_sorted_best_first() -> None:
    result = fc.backtest(
        [fc.create_model("series/naive")], PANEL, start=START, horizon=6, metrics=["mae", "mape"]
    )
    frame = result.to_frame(backend="pandas")
    assert frame["model"].tolist() == ["series/seasonal-naive", "series/naive"]
    assert frame["mae"].is_monotonic_increasing
    assert {"mae", "mape", "skill_mae", "skill_mape"} <= set(frame.columns)


def test_validation_rows_may_be_looked_at_but_not_tested_on() -> None:
    middle = PANEL.timestamps[150]
    model = seasonal(horizon=6).fit(PANEL.between(None, middle), validation=PANEL.between(middle, START))
    assert model.info.fitted_until == str(PANEL.timestamps[149])
    assert model.info.seen_until == str(PANEL.timestamps[199])
    valid = PANEL.between(middle, START)
    assert fc.evaluate(model, valid, metrics=["mae"]).metrics["mae"] is not None
    with pytest.raises(LeakError):
        fc.backtest([model], PANEL, start=middle, horizon=6, metrics=["mae"])


def test_a_model_under_the_label_of_the_baseline_is_scored_beside_it() -> None:
    name = "series/seasonal-naive"
    found = fc.backtest({name: fc.create_model("series/naive")}, PANEL, start=START, horizon=6, stride=6)
    assert found.baseline == f"{name} (2)"
    assert {s.label: s.model for s in found.scores} == {name: "series/naive", f"{name} (2)": name}
    assert found[name].metrics["mae"] != found[f"{name} (2)"].metrics["mae"]


def test_skill_is_told_of_metrics_that_count_from_zero_only() -> None:
    small = replace(PANEL, values=PANEL.values / 1000.0)  # whose log densities are above 0
    found = fc.backtest(
        [fc.create_model("series/naive")], small, start=START, horizon=6, metrics=["nll", "crps"]
    )
    assert found["series/naive"].metrics["nll"] < 0.0  # type: ignore[operator]
    assert set(found["series/naive"].skill) == {"crps"}


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"start": None}, "start"),
        ({"start": 500}, "start"),
        ({"start": np.datetime64("NaT")}, "start"),
        ({"horizon": "12"}, "horizon"),
        ({"horizon": None}, "horizon"),
        ({"stride": 1.5}, "stride"),
        ({"models": ["series/naive"]}, "models"),
        ({"models": "series/naive"}, "models"),
        ({"models": fc.create_model("series/naive")}, "models"),
    ],
)
def test_arguments_of_another_type_are_told_by_name(wrong: dict[str, object], argument: str) -> None:
    given: dict[str, object] = {"models": [seasonal()], "start": START, "horizon": 6, **wrong}
    with pytest.raises(InvalidInputError) as error:
        fc.backtest(data=PANEL, **given)  # type: ignore[arg-type]
    assert error.value.argument == argument


def test_a_start_may_be_a_date() -> None:
    day = START.astype("datetime64[D]").item()
    found = fc.backtest([seasonal()], PANEL, start=day, horizon=6, stride=6)
    assert found.start == np.datetime64(day, "us")


def test_it_is_said_where_nothing_is_there_to_scale_errors_by() -> None:
    model, test = fc.create_model("series/naive", horizon=6), PANEL.between(START, None)
    with pytest.warns(ScaleWarning, match="the rows up to the first origin hold less than two seasons"):
        found = fc.evaluate(model, test, metrics=["mase", "mae"], baseline=model)
    assert found.metrics["mase"] is None
    windows = PANEL.windows(horizon=6, origins=PANEL.timestamps[199:-6])
    scored = fc.backtest({"m": model}, PANEL, start=START, horizon=6, metrics=["mase"])["m"]
    assert fc.evaluate(model, windows, metrics=["mase"]).metrics == scored.metrics


@pytest.mark.parametrize("label", [1, None, ("a",)])
def test_models_are_called_by_texts(label: Any) -> None:
    with pytest.raises(InvalidInputError, match="models: are a list, or called by texts"):
        fc.backtest({label: seasonal()}, PANEL, start=START, horizon=6)
