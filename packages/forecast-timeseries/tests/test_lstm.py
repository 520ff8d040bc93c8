"""`timeseries/lstm`: what it takes, what it answers, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import (
    CapabilityError,
    ConfigError,
    DataError,
    FrequencyError,
    InvalidInputError,
    LeakError,
    MissingFutureError,
    NotFittedError,
    ShapeError,
)
from forecast_core.series.sample import sample_panel
from forecast_timeseries.known import validation_windows

SMALL = {
    "context_length": 24,
    "horizon": 6,
    "hidden_size": 8,
    "head_size": 16,
    "num_layers": 1,
    "max_epochs": 2,
    "batch_size": 32,
    "windows_per_epoch": 64,
}


def fitted(panel: fc.Panel, **options: Any) -> Any:
    return fc.create_model("timeseries/lstm", **{**SMALL, **options}).fit(panel, seed=0)


@pytest.mark.parametrize(
    ("head", "kind"), [("quantile", "quantile"), ("gaussian", "mixture"), ("point", "point")]
)
def test_each_head_answers_all_items_with_its_kind(head: str, kind: str) -> None:
    panel = sample_panel(rows=150, items=3)
    p = fitted(panel, head=head).predict(panel)
    assert p.kind == kind
    assert p.mean().shape == (3, 6, 1)
    assert p.item_ids == panel.item_ids
    assert p.timestamps[0] == panel.timestamps[-1] + np.timedelta64(1, "h")


def test_a_shorter_horizon_is_the_beginning_of_the_full_one() -> None:
    panel = sample_panel(rows=150)
    model = fitted(panel)
    np.testing.assert_array_equal(model.predict(panel, horizon=2).mean(), model.predict(panel).mean()[:, :2])
    with pytest.raises(InvalidInputError, match="at most 6"):
        model.predict(panel, horizon=7)


def test_covariates_of_every_sort_are_used() -> None:
    panel = sample_panel(rows=150, past_covariates=1, future_covariates=2, static_covariates=1)
    model = fitted(panel.between(None, panel.timestamps[140]))
    known = panel.between(None, panel.timestamps[140])
    future = panel.between(panel.timestamps[140], panel.timestamps[146])
    blank = replace(future, values=np.full_like(future.values, np.nan))
    base = model.predict(known, future=blank).mean()
    assert future.future_covariates is not None
    moved = model.predict(
        known, future=replace(blank, future_covariates=future.future_covariates + 5.0)
    ).mean()
    assert not np.allclose(base, moved)
    with pytest.raises(MissingFutureError, match="6 rows"):
        model.predict(known)


def test_lags_and_residual_make_an_untrained_network_near_seasonal() -> None:
    panel = sample_panel(rows=240, items=2)
    config = {"lags": (24,), "head": "point", "max_epochs": 1, "learning_rate": 1e-6}
    model = fitted(panel, **config)
    naive = fc.create_model("series/seasonal-naive", seasonality=24).predict(panel, horizon=6).mean()
    plain = fitted(panel, **{**config, "residual": False})
    assert np.abs(model.predict(panel).mean() - naive).mean() < 6.0
    assert (
        np.abs(plain.predict(panel).mean() - naive).mean()
        > np.abs(model.predict(panel).mean() - naive).mean()
    )


def test_missing_values_are_masked_in_training_and_prediction() -> None:
    panel = sample_panel(rows=200, missing=0.3)
    p = fitted(panel).predict(panel)
    assert np.isfinite(p.mean()).all()
    empty = panel.values.copy()
    empty[-24:, 0] = np.nan
    assert np.isfinite(fitted(panel).predict(replace(panel, values=empty)).mean()).all()


def test_several_targets_at_once() -> None:
    panel = sample_panel(rows=150, items=2)
    both = replace(
        panel, values=np.concatenate([panel.values, -panel.values], axis=2), target_names=("up", "down")
    )
    p = fitted(both, lags=(24,)).predict(both)
    assert p.mean().shape == (2, 6, 2)


def test_it_beats_the_naive_on_a_cycle_it_can_learn() -> None:
    panel = sample_panel(rows=900, items=3)
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.15, 0.15))
    model = fc.create_model(
        "timeseries/lstm",
        **{**SMALL, "max_epochs": 12, "windows_per_epoch": 1024, "hidden_size": 16, "learning_rate": 5e-3},
    ).fit(train, validation=valid, seed=1)
    result = fc.backtest(
        [model, fc.create_model("series/seasonal-naive", seasonality=24)],
        panel,
        start=test.timestamps[0],
        horizon=6,
        stride=6,
        metrics=["mae", "coverage@0.9"],
    )
    assert result["timeseries/lstm"].skill["mae"] > 0.1
    assert 0.75 < result["timeseries/lstm"].metrics["coverage@0.9"] < 0.99


def test_save_and_load_predict_the_same(tmp_path: Path) -> None:
    panel = sample_panel(rows=150, missing=0.1)
    model = fitted(panel, lags=(24,))
    model.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(panel) == model.predict(panel)


def test_a_high_level_does_not_swallow_small_changes() -> None:
    panel = sample_panel(rows=300, items=2)
    low = fitted(panel, lags=(24,), max_epochs=4)
    high = fitted(replace(panel, values=panel.values * 1e-3 + 1e9), lags=(24,), max_epochs=4)
    there = high.predict(replace(panel, values=panel.values * 1e-3 + 1e9)).quantile([0.1, 0.5, 0.9])
    np.testing.assert_allclose((there - 1e9) * 1e3, low.predict(panel).quantile([0.1, 0.5, 0.9]), atol=0.2)


def test_units_of_covariates_do_not_matter() -> None:
    options = {"past_covariates": 1, "future_covariates": 1, "static_covariates": 1}
    panel = sample_panel(rows=150, **options)
    other = replace(
        panel,
        past_covariates=panel.past_covariates * 1e6 + 300.0,  # type: ignore[operator]
        future_covariates=panel.future_covariates * 1e-6,  # type: ignore[operator]
        static_covariates=panel.static_covariates + 1e5,  # type: ignore[operator]
    )
    windows = [p.windows(context_length=24, horizon=6, stride=50) for p in (panel, other)]
    one, two = (fitted(p).predict_windows(w).mean() for p, w in zip((panel, other), windows, strict=True))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-2)


def test_validation_windows_reach_back_into_training_rows() -> None:
    panel = sample_panel(rows=200)
    cut = panel.timestamps[190]
    model = fc.create_model("timeseries/lstm", **SMALL, patience=1)
    model.fit(
        panel.between(None, cut), validation=panel.between(cut, None), seed=0
    )  # 10 rows < context_length
    assert model.info.seen_until == str(panel.timestamps[-1])


def test_fitting_on_windows_is_fitting_on_the_rows_they_cover() -> None:
    panel = sample_panel(rows=150)
    windows = panel.windows(context_length=24, horizon=6)
    by_windows = fc.create_model("timeseries/lstm", **SMALL).fit(windows, seed=3)
    by_panel = fc.create_model("timeseries/lstm", **SMALL).fit(panel, seed=3)
    np.testing.assert_array_equal(by_windows.predict(panel).mean(), by_panel.predict(panel).mean())


def test_testing_on_seen_rows_is_a_leak() -> None:
    panel = sample_panel(rows=150)
    model = fitted(panel)
    with pytest.raises(LeakError, match="has seen data until"):
        fc.backtest([model], panel, start=panel.timestamps[100], horizon=6, metrics=["mae"])
    with pytest.raises(LeakError):
        fc.evaluate(model, panel, metrics=["mae"])


def test_bad_input_is_refused_with_typed_errors() -> None:
    panel = sample_panel(rows=150)
    model = fitted(panel)
    with pytest.raises(ShapeError, match="context_length"):
        model.predict(panel.rows(0, 20))
    with pytest.raises(ShapeError, match="context_length"):
        fitted(panel.rows(0, 20))
    with pytest.raises(DataError, match="item-x"):
        model.predict(replace(panel, item_ids=("item-0", "item-1", "item-x")))
    with pytest.raises(DataError, match="target_names"):
        model.predict(replace(panel, target_names=("other",)))
    with pytest.raises(FrequencyError, match="as in training"):
        model.predict(
            replace(
                panel,
                freq=fc.Freq.parse("2h"),
                timestamps=panel.freq.shift(panel.timestamps[0], 2 * np.arange(150)),
            )
        )
    with pytest.raises(DataError, match="past_covariate_names"):
        model.predict(sample_panel(rows=150, past_covariates=1))
    with pytest.raises(DataError, match="observed target"):
        fitted(replace(panel, values=np.full_like(panel.values, np.nan)))
    with pytest.raises(NotFittedError):
        fc.create_model("timeseries/lstm", **SMALL).predict(panel)
    with pytest.raises(CapabilityError):
        model.update(panel)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"lags": (3,)}, "lags"),
        ({"lags": (24, 24)}, "lags"),
        ({"calendar": ("hour_sine",)}, "hour_sin"),
        ({"quantile_levels": (0.5, 0.1)}, "quantile_levels"),
        ({"quantile_levels": (0.5,)}, "quantile_levels"),
        ({"horizon": 0}, "horizon"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"hidden": 3}, "hidden_size"),
    ],
)
def test_wrong_options_name_the_field(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        fc.create_model("timeseries/lstm", **{**SMALL, **options})


def test_the_web_requests_preset_is_the_plain_network() -> None:
    model = fc.create_model("timeseries/lstm", preset="web-requests", max_epochs=1, horizon=3)
    assert (model.config.context_length, model.config.horizon, model.config.head) == (12, 3, "point")
    panel = sample_panel(rows=150, items=1, past_covariates=1)
    p = model.fit(panel).predict(panel)
    assert p.kind == "point"
    assert p.mean().shape == (1, 3, 1)
    names = set(model._network.state_dict())
    assert {"dense.weight", "dense.bias"} < names
    assert not any(name.startswith(("out.", "mix.", "embedding.")) for name in names)
    assert "web-requests" in fc.describe_model("timeseries/lstm").presets


def test_squared_error_learns_means_and_absolute_error_medians() -> None:
    rng = np.random.default_rng(0)
    panel = sample_panel(rows=600, items=1)
    panel = replace(panel, values=rng.exponential(1.0, (600, 1, 1)))
    plain = {**SMALL, "head": "point", "calendar": (), "normalisation": "item", "max_epochs": 15}
    plain |= {"windows_per_epoch": 512, "dropout": 0.0, "item_embedding": 0, "context_length": 4}
    mean = fitted(panel, **plain, point_loss="squared").predict(panel).mean().mean()
    median = fitted(panel, **plain, point_loss="absolute").predict(panel).mean().mean()
    assert abs(median - np.log(2.0)) < 0.2
    assert 0.15 < mean - median < 0.6  # exactly 1 - log 2 = 0.31


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"data": 1}, "data"),
        ({"validation": 1}, "validation data"),
        ({"options": {"dropout": 0.5, "num_layers": 2}}, "dropout"),
    ],
)
def test_a_run_goes_on_with_the_data_and_options_it_began_with(
    tmp_path: Path, changed: dict[str, Any], place: str
) -> None:
    options = {**SMALL, "num_layers": 2, "dropout": 0.1}
    panels = [sample_panel(seed=seed, rows=150) for seed in (0, 1)]
    train, valid = panels[0].rows(0, 120), panels[0].rows(120, 150)
    whole = fc.create_model("timeseries/lstm", **options).fit(train, validation=valid, run=fc.Run(tmp_path))
    again = fc.create_model("timeseries/lstm", **options)
    again.fit(train, validation=valid, run=fc.Run(tmp_path, resume=True))
    np.testing.assert_array_equal(again.predict(valid).mean(), whole.predict(valid).mean())
    other = fc.create_model("timeseries/lstm", **{**options, **changed.get("options", {})})
    with pytest.raises(ConfigError, match="is resumed with the settings it began with") as error:
        other.fit(
            panels[changed.get("data", 0)].rows(0, 120),
            validation=panels[changed.get("validation", 0)].rows(120, 150),
            run=fc.Run(tmp_path, resume=True),
        )
    assert error.value.place == place


@pytest.mark.parametrize("name", ["lstm", "linear", "gbm"])
@pytest.mark.parametrize("by_windows", [False, True])
def test_rows_fitted_on_are_context_of_validation_and_never_its_targets(name: str, by_windows: bool) -> None:
    panel = sample_panel(rows=260, items=2)
    options: dict[str, Any] = {"lstm": SMALL, "linear": {"context_length": 24, "horizon": 6}}.get(
        name, {"horizon": 6, "lags": 24, "num_trees": 30, "min_leaf": 10, "quantile_levels": (0.1, 0.5, 0.9)}
    )
    train: Any = panel.rows(0, 200)
    if by_windows:
        train = panel.windows(context_length=24, horizon=6, origins=panel.timestamps[24:194])
    found = [
        fc.create_model(f"timeseries/{name}", **options).fit(train, validation=panel.rows(low, 260))
        for low in ((1, 8) if by_windows else (1, 8, 200))
    ]
    for model in found[1:]:
        np.testing.assert_array_equal(model.predict(panel).mean(), found[0].predict(panel).mean())
        np.testing.assert_array_equal(model.predict(panel).variance(), found[0].predict(panel).variance())


def test_validation_after_windows_fitted_on_is_scored_alone() -> None:
    panel = sample_panel(rows=260, items=2)
    train, valid = panel.rows(0, 200), panel.rows(200, 260)
    windows = train.windows(context_length=48, horizon=6)
    found = []
    for fitted in (train, windows, windows.take(np.flatnonzero(windows.rows < 120))):
        later = validation_windows(fitted, valid, context=24, horizon=6)
        found.append(later.panel.timestamps[later.rows + 1])
    for begins in found:
        np.testing.assert_array_equal(np.unique(begins), panel.timestamps[200:255])


def test_validation_may_lie_between_and_beside_what_is_fitted_on() -> None:
    panel = sample_panel(rows=260, items=4)
    windows = panel.windows(context_length=24, horizon=6)
    others = windows.take(np.flatnonzero(windows.items < 2))
    later = validation_windows(others, panel.select_items(panel.item_ids[2:]), context=24, horizon=6)
    assert len(later) == len(windows) / 2  # at the same time, but other series
    mixed = validation_windows(others, panel.select_items(panel.item_ids[1:3]), context=24, horizon=6)
    assert set(mixed.item_ids) == {panel.item_ids[2]}
    around = windows.take(np.flatnonzero((windows.rows < 80) | (windows.rows >= 200)))
    inside = validation_windows(around, panel.rows(50, 220), context=24, horizon=6)
    rows = 50 + inside.rows
    assert (rows.min(), rows.max()) == (85, 194)  # targets between those of row 85 and of row 201
    assert len(inside) == 4 * (194 - 85 + 1)


def test_a_run_goes_on_with_the_windows_it_began_with(tmp_path: Path) -> None:
    windows = sample_panel(rows=150).windows(context_length=24, horizon=6)
    first, second = (windows.take(np.arange(begin, begin + 40)) for begin in (0, 10))
    fc.create_model("timeseries/lstm", **SMALL).fit(first, run=fc.Run(tmp_path))
    again = fc.create_model("timeseries/lstm", **SMALL)
    assert again.fit(first, run=fc.Run(tmp_path, resume=True)).is_fitted
    with pytest.raises(ConfigError, match="is resumed with the settings it began with") as error:
        again.fit(second, run=fc.Run(tmp_path, resume=True))
    assert error.value.place == "windows"


def test_points_are_not_pooled_with_distributions() -> None:
    point, gaussian = (
        fc.create_model("timeseries/lstm", head=head, horizon=6) for head in ("point", "gaussian")
    )
    linear = fc.create_model("timeseries/linear", horizon=6)
    for other in (gaussian, linear):
        with pytest.raises(CapabilityError, match="points and distributions cannot be pooled"):
            fc.create_ensemble([point, other])
    pooled = fc.create_ensemble([gaussian, linear])
    assert pooled.spec.capabilities.prediction_kinds == ("mixture",)
