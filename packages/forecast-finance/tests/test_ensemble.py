"""The ensemble: parts that add up, a veto that learns out of fold only, and signals for now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import ConfigError, InvalidInputError, LeakError, NotFittedError, ShapeError
from forecast_finance import Action, Bars, Signal, random_walk
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import EnsembleConfig, VetoConfig
from forecast_finance.veto import BasePredictions, Veto, _platt

MEMBER = {
    "size": 8,
    "heads": 2,
    "layers": 1,
    "max_epochs": 1,
    "windows_per_epoch": 64,
    "batch_size": 32,
    "context_length": 60,
    "embedding": "none",
}
OPTIONS: dict[str, Any] = {
    "timeformer": {**MEMBER, "feed_forward": 8},
    "tft": {**MEMBER, "embedding_size": 4},
    "veto": {"max_rounds": 20, "num_leaves": 7, "threads": 1},
    "folds": 2,
}


@pytest.fixture(scope="module")
def bars() -> Bars:
    return random_walk(rows=320)


@pytest.fixture(scope="module")
def ensemble(bars: Bars) -> Any:
    cut = bars.timeline[240]
    return fc.create_model("finance/ensemble", **OPTIONS).fit(
        bars.between(None, cut), validation=bars.between(cut, None), seed=0
    )


def test_weights_deal_out_the_mean_of_both() -> None:
    first, second = EnsembleConfig().weights
    assert first == pytest.approx(0.35 + 0.35 / 2)
    assert first + second == 1.0
    with pytest.raises(ConfigError, match="weight above 0"):
        EnsembleConfig(timeformer_weight=0, tft_weight=0, mean_weight=0)
    with pytest.raises(ConfigError, match=r"veto.*threshold.*lies in"):
        EnsembleConfig(veto={"threshold": 1.5})  # type: ignore[arg-type]


def test_the_mean_is_that_of_the_parts_and_doubt_holds(ensemble: Any, bars: Bars) -> None:
    windows = bars.windows(context_length=60)
    told = ensemble.predict_windows(windows)
    first, second = ensemble.config.weights
    parts = told.aux
    np.testing.assert_allclose(
        told.mean()[..., 0], first * parts["timeformer_return"] + second * parts["tft_return"]
    )
    sure = parts["veto_probability"] >= told.metadata["threshold"]
    expected = np.where(sure, np.sign(told.mean()[:, 0, 0]), 0)
    assert np.array_equal(parts["action"], expected)
    assert np.array_equal(told.confidence, parts["veto_probability"])
    assert sum(told.importance.values()) == pytest.approx(1.0)
    assert len(told.importance) == 39


def test_a_threshold_nothing_reaches_always_holds(bars: Bars) -> None:
    options = {**OPTIONS, "veto": {**OPTIONS["veto"], "threshold": 1.0}}
    model = fc.create_model("finance/ensemble", **options).fit(bars)
    signals = model.predict_all(bars)  # type: ignore[attr-defined]
    assert {s.action for s in signals} == {Action.HOLD}


def test_a_signal_says_what_to_do_now(ensemble: Any, bars: Bars, tmp_path: Path) -> None:
    recent = bars.select_items(["S1"])
    signal = ensemble.predict_next(recent)
    assert isinstance(signal, Signal)
    assert signal.symbol == "S1"
    assert signal.timestamp.startswith(str(bars.timeline[-1])[:10])
    assert signal.horizon == 3
    assert signal.interval[0] < signal.expected_return < signal.interval[1]
    assert 0.5 <= signal.confidence <= 1
    assert set(signal.parts) == {"timeformer", "tft"}
    assert (signal.action == Action.HOLD) == (signal.veto_probability < signal.threshold)
    among = ensemble.predict_all(bars)[1]
    assert among.action == signal.action
    assert among.expected_return == pytest.approx(signal.expected_return, rel=1e-4)
    ensemble.save(tmp_path / "model")
    assert fc.load_model(tmp_path / "model").predict_next(recent) == signal  # type: ignore[attr-defined]
    assert (tmp_path / "model" / "veto.txt").read_text().startswith("tree")  # LightGBM's own text


def test_a_decision_may_lie_beyond_what_is_predicted(bars: Bars) -> None:
    options = {**OPTIONS, "folds": 1, "decision_horizon": 5}
    model: Any = fc.create_model("finance/ensemble", **options, horizon=1).fit(bars)
    whole: Any = fc.create_model("finance/ensemble", **options, horizon=3).fit(bars)
    assert model.predict(bars).shape == (3, 1, 1)
    assert model.predict_all(bars) == whole.predict_all(bars)
    assert {signal.horizon for signal in model.predict_all(bars)} == {5}


def test_live_use_refuses_what_it_cannot_answer(ensemble: Any, bars: Bars) -> None:
    with pytest.raises(InvalidInputError, match="predict_all"):
        ensemble.predict_next(bars)
    with pytest.raises(ShapeError, match="at least 60 bars"):
        ensemble.predict_next(bars.select_items(["S0"]).between(None, bars.timeline[40]))
    with pytest.raises(NotFittedError):
        fc.create_model("finance/ensemble").predict_next(bars.select_items(["S0"]))  # type: ignore[attr-defined]
    with pytest.raises(InvalidInputError, match="one of the data's horizons"):
        fc.create_model("finance/ensemble", **OPTIONS, decision_horizon=4).fit(bars)


# the veto


def base_of(bars: Bars, *, until: Any = None, signal: float = 0.0) -> BasePredictions:
    """Made-up base predictions of all windows, with one input that tells whether they are right."""
    windows = bars.windows(context_length=60)
    rng = np.random.default_rng(0)
    expected = 0.01 * rng.standard_normal(len(windows))
    right = np.sign(windows.targets()[0][:, 0, 0]) == np.sign(expected)
    inputs = rng.standard_normal((len(windows), 3))
    inputs[:, 0] += signal * right
    trained = np.full(len(windows), windows.origins.min() if until is None else until)
    return BasePredictions(windows, inputs, expected, 0, trained)


NAMES = ("a", "b", "c")
CONFIG = VetoConfig(max_rounds=100, num_leaves=7, min_leaf=20, threads=1)


def test_in_sample_base_predictions_are_refused(bars: Bars) -> None:
    base = base_of(bars, until=bars.timeline[-1])
    with pytest.raises(LeakError, match=r"members that had learnt later targets, the first S0.*out-of-fold"):
        Veto.fit(base, config=CONFIG, names=NAMES)
    honest = base_of(bars)
    with pytest.raises(LeakError, match="out-of-fold"):
        Veto.fit(honest, config=CONFIG, names=NAMES, validation=base)


def test_the_ensemble_gives_its_veto_out_of_fold_predictions_only(
    bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[BasePredictions] = []
    fit = Veto.fit.__func__  # type: ignore[attr-defined]

    def watched(cls: type[Veto], base: BasePredictions, **options: Any) -> Veto:
        seen.append(base)
        return fit(cls, base, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(Veto, "fit", classmethod(watched))
    fc.create_model("finance/ensemble", **OPTIONS).fit(bars)
    (base,) = seen
    assert (base.trained_until <= base.windows.origins).all()
    assert base.inputs.shape[1] == 39
    assert len(np.unique(base.trained_until)) == 2  # a time a fold


def test_what_tells_right_from_wrong_is_learnt_and_calibrated() -> None:
    long = random_walk(rows=600)
    base = base_of(long, signal=2.0)
    cut = base.windows.origins[int(0.7 * len(base.windows))]
    early = base.take(np.flatnonzero(base.windows.label_ends < cut))
    late = base.take(np.flatnonzero(base.windows.origins > cut))
    half = len(late.windows) // 2
    veto = Veto.fit(early, config=CONFIG, names=NAMES, validation=late.take(np.arange(half)))
    rest = late.take(np.arange(half, 2 * half))
    probability = veto.probability(rest.inputs)
    right, _ = rest.right()
    sure = probability > 0.7
    assert right[sure].mean() > right[~sure].mean() + 0.3
    for low, high in ((0.0, 0.4), (0.6, 1.0)):
        bucket = (probability >= low) & (probability < high)
        assert right[bucket].mean() == pytest.approx(probability[bucket].mean(), abs=0.12)
    assert max(veto.importance, key=lambda name: veto.importance[name]) == "a"


def test_noise_is_not_believed(bars: Bars) -> None:
    veto = Veto.fit(base_of(random_walk(rows=600)), config=CONFIG, names=NAMES)
    probability = veto.probability(base_of(bars).inputs)
    assert (probability > 0.65).mean() < 0.02  # so the default threshold holds nearly always


def test_a_threshold_is_chosen_on_validation(bars: Bars) -> None:
    long = random_walk(rows=600)
    base = base_of(long, signal=2.0)
    config = CONFIG.replace(threshold="validation")
    cut = base.windows.origins[int(0.6 * len(base.windows))]
    early = base.take(np.flatnonzero(base.windows.label_ends < cut))
    late = base.take(np.flatnonzero(base.windows.origins > cut))
    chosen = Veto.fit(early, config=config, names=NAMES, validation=late).threshold
    assert 0.5 <= chosen < 0.7
    backwards = replace(late, expected=-late.expected)
    assert Veto.fit(early, config=config, names=NAMES, validation=backwards).threshold != 0.65


def test_a_ranking_that_is_wrong_on_validation_is_not_turned_round() -> None:
    logit = np.linspace(-2, 2, 200)
    slope, offset = _platt(logit, logit < 0)
    assert slope == 0.0
    assert offset == pytest.approx(0.0)
    slope, offset = _platt(logit, np.random.default_rng(0).random(200) < 1 / (1 + np.exp(-logit)))
    assert slope == pytest.approx(1.0, abs=0.5)


def test_too_little_to_learn_from_is_an_error(bars: Bars) -> None:
    base = base_of(bars)
    few = base.take(np.flatnonzero(base.windows.origins < base.windows.origins[20]))
    with pytest.raises(ShapeError, match="10 dates"):
        Veto.fit(few, config=CONFIG, names=NAMES)
    with pytest.raises(ShapeError, match="row a window"):
        BasePredictions(base.windows, base.inputs[1:], base.expected, 0, base.trained_until)
    assert isinstance(base.windows, BarWindows)
