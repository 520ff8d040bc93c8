"""Conformal calibration: coverage as promised, exact order statistics, and a wrapper that follows drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.compose.offsets import group_offsets, track
from forecast_core.errors import CapabilityError, ConfigError, DataError, InvalidInputError, LeakError
from forecast_core.series.sample import sample_panel

PANEL = sample_panel(rows=300, items=3)
INNER: dict[str, Any] = {"model": {"id": "series/naive", "params": {"horizon": 4}}, "coverage": [0.8]}
CUT = PANEL.timestamps[200]


def naive(**options: Any) -> fc.Predictor[fc.Panel]:
    return fc.create_model("series/seasonal-naive", **{"seasonality": 24, "horizon": 4, **options})


@settings(max_examples=50, deadline=None)
@given(st.integers(19, 200), st.integers(0, 999))
def test_corrections_are_the_order_statistics_of_the_errors(n: int, seed: int) -> None:
    errors = np.random.default_rng(seed).normal(size=(n, 2, 1, 3))
    levels = np.array([0.05, 0.5, 0.95])
    out = group_offsets(errors, np.zeros(n, dtype=int), levels, groups=1)
    assert out.shape == (2, 2, 1, 3)
    np.testing.assert_array_equal(out[0], out[1])
    for h in range(2):
        for q, level in enumerate(levels):
            below = (errors[:, h, 0, q] <= out[0, h, 0, q]).sum() / (n + 1)
            assert below >= level - 1e-9 if level >= 0.5 else below <= level + 1e-9
            assert abs(below - level) <= 1 / (n + 1) + 1e-9


def test_too_few_errors_for_a_level_are_refused() -> None:
    errors = np.random.default_rng(0).normal(size=(18, 1, 1, 2))
    with pytest.raises(DataError, match="at least 19"):
        group_offsets(errors, np.zeros(18, dtype=int), np.array([0.05, 0.95]), groups=0)
    errors = np.random.default_rng(0).normal(size=(40, 1, 1, 2))
    errors[5:, 0, 0] = np.nan
    with pytest.raises(DataError, match="got 5"):
        group_offsets(errors, np.zeros(40, dtype=int), np.array([0.05, 0.95]), groups=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_tracking_covers_as_promised_whatever_happens(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 4000
    errors = rng.normal(rng.normal(0, 3, n).cumsum() * 0.02, 1 + np.arange(n) / n * 4)  # drifts and widens
    errors = np.repeat(errors[:, None, None, None], 2, -1)
    levels, offsets, rates = np.array([0.1, 0.9]), np.zeros((1, 1, 1, 2)), np.full((1, 1, 1), 0.3)
    below = np.zeros(2)
    for k in range(0, n, 1):
        below += (errors[k] <= offsets[0])[0, 0]
        offsets = track(
            offsets, errors[k : k + 1], np.zeros(1, dtype=int), np.array([k]), levels=levels, rates=rates
        )
    np.testing.assert_allclose(below / n, levels, atol=0.03)


def test_tracking_many_origins_at_once_equals_one_after_the_other() -> None:
    rng = np.random.default_rng(1)
    errors, rows = rng.normal(size=(60, 2, 1, 3)), np.tile([0, 1, 2], 20)
    errors[rng.random(errors.shape[:3]) < 0.1] = np.nan
    origins, levels = np.repeat(np.arange(20), 3), np.array([0.1, 0.5, 0.9])
    start, rates = rng.normal(size=(4, 2, 1, 3)), rng.uniform(0.1, 1, (4, 2, 1))
    whole = track(start, errors, rows, origins, levels=levels, rates=rates)
    step = start
    for k in range(20):
        at = origins == k
        step = track(step, errors[at], rows[at], origins[at], levels=levels, rates=rates)
    np.testing.assert_array_equal(whole, step)


def test_intervals_of_a_split_are_moved_by_the_errors_of_their_step() -> None:
    model = fc.conformalize(naive(), PANEL.between(None, CUT), coverage=0.8, scaled=False)
    made = model.predict(PANEL)
    assert isinstance(made, fc.QuantilePrediction)
    np.testing.assert_allclose(made.levels, [k / 10 for k in range(1, 10)])
    windows = PANEL.between(None, CUT).windows(context_length=25, horizon=4)
    base = naive().predict_windows(windows)
    assert isinstance(base, fc.MixturePrediction)
    truth, _ = windows.targets()
    errors = np.sort((truth - base.quantile(0.9))[:, 2, 0])
    n = len(errors)
    wanted = naive().predict(PANEL).quantile(0.9)[:, 2, 0] + errors[int(np.ceil((n + 1) * 0.9)) - 1]  # type: ignore[attr-defined]
    np.testing.assert_allclose(made.values[:, 2, 0, -1], wanted)


class LastConfig(fc.ModelConfig):
    """Options of the point model."""

    horizon: int = 2


class Last(fc.Predictor[fc.Panel]):
    """Repeats the last value and knows nothing of its error."""

    config_class: ClassVar[type[fc.ModelConfig]] = LastConfig

    def _context_rows(self, data: fc.Panel) -> int:
        return 1

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> fc.Prediction:
        steps = horizon or self.config.horizon
        return fc.PointPrediction(
            values=np.repeat(data.values[data.known_rows - 1][:, None], steps, axis=1),
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(steps),
        )


@pytest.fixture
def last(plug_in: Callable[..., None]) -> None:
    """Registers the point model as `toys/last`."""
    spec = fc.ModelSpec(
        id="toys/last",
        task="series",
        entry_point="toys:Last",
        config_entry_point="toys:LastConfig",
        summary="the last value",
        capabilities=fc.Capabilities(prediction="point", needs_fit=False),
    )
    plug_in("toys", [spec], Last=Last, LastConfig=LastConfig)


def simulate(kind: str, seed: int) -> float:
    """Coverage of nominal 90 % intervals on later data, of a model that is wrong by itself."""
    rng = np.random.default_rng(seed)
    rows = 700
    values = rng.standard_t(4, (rows, 2, 1)) * [[[1.0], [5.0]]]
    panel = fc.Panel(
        values=values,
        timestamps=np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "h"),
        item_ids=("calm", "wild"),
        freq=fc.Freq.parse("h"),
    )
    model: fc.Predictor[Any] = (
        fc.create_model("toys/last") if kind == "point" else naive(seasonality=1, horizon=2)
    )
    if kind == "quantile":
        model = fc.conformalize(model, panel.rows(0, 200), coverage=0.5)
    calibrated = fc.conformalize(model, panel.rows(200, 450), coverage=0.9, groups="item")
    return (
        fc.evaluate(calibrated, panel.rows(450, rows), metrics=["coverage@0.9"]).metrics["coverage@0.9"]
        or 0.0
    )


@pytest.mark.parametrize("kind", ["point", "mixture", "quantile"])
def test_coverage_is_as_promised(kind: str, last: None) -> None:
    found = [simulate(kind, seed) for seed in range(12)]
    assert 0.87 <= float(np.mean(found)) <= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["point", "mixture", "quantile"])
def test_coverage_is_as_promised_over_200_simulations(kind: str, last: None) -> None:
    found = [simulate(kind, seed) for seed in range(1000, 1200)]
    print(f"{kind}: coverage {np.mean(found):.4f}, standard deviation {np.std(found):.4f}")
    assert 0.88 <= float(np.mean(found)) <= 0.92


def test_groups_are_calibrated_apart() -> None:
    values = np.random.default_rng(0).normal(size=(400, 2, 1)) * [[[1.0], [50.0]]]
    panel = fc.Panel(
        values=values,
        timestamps=np.datetime64("2024-01-01", "us") + np.arange(400) * np.timedelta64(1, "h"),
        item_ids=("calm", "wild"),
        freq=fc.Freq.parse("h"),
    )
    for groups in ("item", {"calm": "a", "wild": "b"}):
        model = fc.conformalize(naive(), panel.rows(0, 300), groups=groups, scaled=False)  # type: ignore[arg-type]
        lower, upper = model.predict(panel).interval(0.9)  # type: ignore[attr-defined]
        width = (upper - lower).mean((1, 2))
        assert 30 < width[1] / width[0] < 80


def test_an_item_that_calibration_did_not_hold_is_corrected_like_all_together() -> None:
    by_item = fc.conformalize(naive(), PANEL.between(None, CUT), groups="item")
    together = fc.conformalize(naive(), PANEL.between(None, CUT))
    new = replace(PANEL.select_items(["item-1"]), item_ids=("new",))
    assert by_item.predict(new).values.tolist() == together.predict(new).values.tolist()  # type: ignore[attr-defined]
    known = by_item.predict(PANEL.select_items(["item-1"]))
    assert known.values.tolist() != by_item.predict(new).values.tolist()  # type: ignore[attr-defined]


def test_an_adaptive_model_follows_a_drift_and_a_reloaded_one_goes_on_the_same(tmp_path: Path) -> None:
    drifting = sample_panel(rows=400, items=3, drift=2.0)
    start = drifting.timestamps[250]
    model = fc.conformalize(naive(), drifting.rows(0, 190), method="adaptive", learning_rate=0.2)
    found = {
        name: fc.backtest(
            {"m": model}, drifting, start=start, horizon=4, metrics=["coverage@0.9"], refit=policy
        )["m"]
        for name, policy in (("static", None), ("adaptive", fc.RefitPolicy(update=1)))
    }
    off = {name: abs((scores.metrics["coverage@0.9"] or 0) - 0.9) for name, scores in found.items()}
    assert off["adaptive"] < min(0.04, off["static"])
    model.update(drifting.rows(0, 260))
    model.save(tmp_path / "m")
    again = fc.load_model(tmp_path / "m")
    model.update(drifting.rows(0, 300))
    again.update(drifting.rows(0, 300))
    assert again.predict(drifting.rows(0, 300)) == model.predict(drifting.rows(0, 300))


def test_rows_already_fitted_on_cannot_calibrate() -> None:
    fitted = fc.conformalize(naive(), PANEL.between(None, CUT))
    with pytest.raises(LeakError, match="has seen data"):
        fc.conformalize(fitted, PANEL.rows(150, 300))


@pytest.mark.parametrize("held", ["last rows", "validation with context"])
def test_fit_calibrates_on_rows_after_those_fitted_on(held: str) -> None:
    model = fc.create_model("compose/conformal", **INNER)
    if held == "last rows":  # which are a fifth
        model.fit(PANEL)
        seen = PANEL
    else:
        seen = PANEL.rows(150, 300)
        model.fit(PANEL.rows(0, 240), validation=seen)
    windows = seen.windows(context_length=2, horizon=4)
    windows = windows.take(np.flatnonzero(windows.origins >= PANEL.timestamps[239]))
    truth, _ = windows.targets()
    base = fc.create_model("series/naive", horizon=4).predict_windows(windows)
    assert isinstance(base, fc.MixturePrediction)
    error = np.sort(((truth - base.quantile(0.9)) / np.sqrt(base.variance()))[:, 0, 0])
    now: Any = fc.create_model("series/naive", horizon=4).predict(PANEL)
    wanted = now.quantile(0.9) + np.sqrt(now.variance()) * error[int(np.ceil((len(error) + 1) * 0.9)) - 1]
    made: Any = model.predict(PANEL)
    np.testing.assert_allclose(made.quantile(0.9)[:, 0], wanted[:, 0])


@pytest.mark.parametrize("held", ["other items", "rows before"])
def test_whatever_was_not_fitted_on_calibrates(held: str) -> None:
    one, others = PANEL.select_items(["item-0"]), PANEL.select_items(["item-1", "item-2"])
    data, validation = (one, others) if held == "other items" else (PANEL.rows(150, 300), PANEL.rows(0, 150))
    fitted = fc.create_model("compose/conformal", **INNER).fit(data, validation=validation)
    alone = fc.conformalize(fc.create_model("series/naive", horizon=4), validation, coverage=[0.8])
    now: Any = [each.predict(PANEL) for each in (fitted, alone)]
    np.testing.assert_array_equal(now[0].quantile(0.9), now[1].quantile(0.9))


def test_wrong_requests_are_refused() -> None:
    valid = PANEL.between(CUT, None)
    for coverage in (1.5, 1 - 1e-13, None, [], [0.5, 1.0]):
        with pytest.raises(ConfigError, match="coverage"):
            fc.conformalize(naive(), valid, coverage=coverage)  # type: ignore[arg-type]
    assert fc.conformalize(naive(), valid, coverage=np.float32(0.5)).config.coverage == (0.5,)
    with pytest.raises(InvalidInputError, match="model: is a predictor"):
        fc.conformalize("series/naive", valid)  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match="takes a fitted predictor"):
        fc.conformalize(fc.create_model("compose/conformal", model={"id": "series/naive"}), valid)
    with pytest.raises(CapabilityError, match="does not learn online"):
        fc.conformalize(naive(), valid).update(PANEL)
    model = fc.conformalize(naive(), valid)
    with pytest.raises(InvalidInputError, match="at most 4"):
        model.predict(PANEL, horizon=5)
    assert len(model.predict(PANEL, horizon=2)) == 3


def test_a_calibrated_predictor_is_a_copy() -> None:
    ensemble = fc.create_ensemble([fc.create_model("compose/conformal", **INNER), naive()])
    model = ensemble.fit(PANEL.rows(0, 120))
    calibrated = fc.conformalize(model, PANEL.rows(120, 200))
    known, made = calibrated.info, calibrated.predict(PANEL)
    model.fit(PANEL)
    assert calibrated.predict(PANEL) == made
    with pytest.raises(LeakError, match="has seen data"):
        fc.backtest([model], PANEL, start=PANEL.timestamps[210], horizon=4)
    fc.backtest([calibrated], PANEL, start=PANEL.timestamps[210], horizon=4, stride=4, metrics=["mae"])
    assert calibrated.info == known
    fitted, own = model.info, model.predict(PANEL)
    calibrated.fit(PANEL.rows(0, 200))
    assert (model.info, model.predict(PANEL)) == (fitted, own)
