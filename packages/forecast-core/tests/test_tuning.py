"""Tuning: trials equal fits by hand, the default among them, and what cannot be used is told."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core import splits
from forecast_core.errors import (
    CapabilityError,
    ConfigError,
    InvalidInputError,
    MetricError,
    MissingDependencyError,
    ShapeError,
    UnknownIdError,
)
from forecast_core.evaluation.cross_validating import cross_validate
from forecast_core.series.sample import sample_panel
from forecast_core.tuning import Tuning, TuningError, tune

HERE = Path(__file__).parent
PANEL = sample_panel(rows=300, items=2)
SEASONS = {"seasonality": {"low": 1, "high": 48}}


@pytest.fixture(scope="module", autouse=True)
def toys(tuned_toys: ModuleType) -> ModuleType:
    return tuned_toys


def toy(toys: ModuleType, **options: Any) -> Tuning:
    base = options.pop("base", {})
    return tune("tuned/toy", toys.zeros(), **{"objective": "mae", "n_trials": 12, "base": base, **options})


def seasonal(**options: Any) -> Tuning:
    given_options = {"space": SEASONS, "objective": "mae", "base": {"horizon": 6}, "n_trials": 6, **options}
    return tune("series/seasonal-naive", PANEL, **given_options)


def logs(folder: Path) -> list[list[str]]:
    return [path.read_text().splitlines() for path in sorted(folder.glob("*.log"))]


# what a study finds


@given(seed=st.integers(0, 10_000), sampler=st.sampled_from(["tpe", "random"]))
@settings(deadline=None, max_examples=8)
def test_trial_0_is_the_default_and_the_best_is_never_worse(
    toys: ModuleType, seed: int, sampler: str
) -> None:
    found = toy(toys, seed=seed, sampler=sampler, pruner=None)
    assert len(found.trials) == 12
    first = found.trials[0]
    assert first.params == found.defaults == {"shift": 0.0, "kind": "worse"}
    assert found.default_value == first.value == pytest.approx(3.0)
    assert found.best_value == min(t.value for t in found.trials if t.value is not None) <= 3.0
    assert found.best_config.model_dump() == {**found.default_config.model_dump(), **found.best_params}
    assert found.create_model().config == found.best_config
    for trial in found.trials:
        shift, kind = trial.params["shift"], str(trial.params["kind"])
        assert trial.value == pytest.approx(abs(float(shift) - 2.0) + toys.KINDS.index(kind))  # type: ignore[arg-type]


def test_a_trial_equals_fitting_and_scoring_by_hand() -> None:
    found = seasonal()
    cut = PANEL.timestamps[240]  # the last fifth validates
    for trial in found.trials:
        model = fc.create_model("series/seasonal-naive", horizon=6, **trial.params)
        by_hand = fc.backtest([model], PANEL, start=cut, horizon=6, stride=6, metrics=["mae"])
        assert trial.value == by_hand["series/seasonal-naive"].metrics["mae"]


def test_validation_may_be_given_and_strides_chosen() -> None:
    train, valid = PANEL.rows(0, 240), PANEL.rows(240, 300)
    options: dict[str, Any] = {"space": SEASONS, "objective": "mae", "base": {"horizon": 6}, "n_trials": 6}
    same = tune("series/seasonal-naive", train, validation=valid, **options)
    assert [t.value for t in same.trials] == [t.value for t in seasonal().trials]
    denser = tune("series/seasonal-naive", train, validation=valid, stride=1, **options)
    assert [t.params for t in denser.trials[:1]] == [t.params for t in same.trials[:1]]
    assert denser.default_value != same.default_value
    apart = tune("series/seasonal-naive", PANEL.rows(0, 150), validation=PANEL.rows(160, 300), **options)
    assert apart.best_value > 0
    windows = PANEL.windows(context_length=60, horizon=6)
    on_windows = tune("series/seasonal-naive", train, validation=windows, **options)
    assert (
        on_windows.default_value
        == fc.evaluate(fc.create_model("series/seasonal-naive", horizon=6), windows, metrics=["mae"]).metrics[
            "mae"
        ]
    )


def test_what_is_fitted_on_comes_before_what_is_scored(toys: ModuleType, tmp_path: Path) -> None:
    toy(toys, n_trials=2, base={"folder": str(tmp_path)}, seed=5)
    (lines,) = logs(tmp_path)
    assert [line.split()[2:] for line in lines if line.startswith("fit")] == [["48", "12", "5"]] * 2


@pytest.mark.parametrize(
    "splitter", [splits.TimeSeriesSplit(n_splits=3), splits.PurgedWalkForward(n_splits=2, min_train=5)]
)
def test_with_a_splitter_a_trial_is_the_mean_over_folds(splitter: Any) -> None:
    found = seasonal(splitter=splitter, n_trials=4, stride=6)
    windows = PANEL.windows(context_length=49, horizon=6, stride=6)
    for trial in found.trials:
        params = {"horizon": 6, **trial.params}
        by_hand = cross_validate("series/seasonal-naive", windows, splitter, ["mae"], params=params)
        assert trial.value == by_hand.mean["mae"]


def test_fitted_models_are_fitted_anew_in_every_fold(toys: ModuleType, tmp_path: Path) -> None:
    splitter = splits.TimeSeriesSplit(n_splits=3)
    found = toy(toys, n_trials=2, splitter=splitter, base={"folder": str(tmp_path)})
    assert sum(line.startswith("fit") for line in logs(tmp_path)[0]) == 6
    assert found.default_value == pytest.approx(3.0)


def test_an_objective_that_grows_is_maximised() -> None:
    found = seasonal(objective="r2", n_trials=10)
    values = [t.value for t in found.trials]
    assert found.higher_is_better
    assert found.best_value == max(v for v in values if v is not None)
    assert found.best_value > min(v for v in values if v is not None)


def test_the_tasks_objective_is_the_default_one() -> None:
    assert seasonal(objective=None, n_trials=1).objective == "crps"


def test_a_grid_is_every_combination_and_the_default(toys: ModuleType) -> None:
    space = {"shift": [0.0, 1.0, 2.0], "kind": ["worse", "plain"]}
    found = toy(toys, space=space, sampler="grid")
    assert found.trials[0].params == {"shift": 0.0, "kind": "worse"}
    assert [tuple(t.params.values()) for t in found.trials[1:]] == [
        (0.0, "plain"), (1.0, "worse"), (1.0, "plain"), (2.0, "worse"), (2.0, "plain"),
    ]  # fmt: skip
    assert found.best_params == {"shift": 2.0, "kind": "plain"}
    assert found.best_value == 0.0
    with pytest.raises(ConfigError, match=r"n_trials: is enough for the grid's 5 .* give n_trials=6"):
        toy(toys, space=space, sampler="grid", n_trials=5)


def test_a_grid_is_counted_before_it_is_made() -> None:
    with pytest.raises(ConfigError, match="the grid's 1000000000 combinations and the default"):
        seasonal(space={"seasonality": {"low": 1, "high": 10**9}}, sampler="grid")


def test_a_default_outside_the_space_is_tried_all_the_same(toys: ModuleType) -> None:
    found = toy(toys, space={"shift": {"low": 1.0, "high": 3.0}, "kind": ["plain"]}, n_trials=15)
    assert found.defaults == found.trials[0].params == {"shift": 0.0, "kind": "worse"}
    assert found.default_value == pytest.approx(3.0)
    assert all(1.0 <= float(t.params["shift"]) <= 3.0 for t in found.trials[1:])  # type: ignore[arg-type]
    assert sum(found.importance().values()) == pytest.approx(1.0)


def test_base_options_are_in_every_trial(toys: ModuleType) -> None:
    found = toy(toys, base={"kind": "plain"}, n_trials=3)
    assert set(found.trials[1].params) == {"shift"}
    assert found.default_value == pytest.approx(2.0)
    assert found.best_config.kind == "plain"  # type: ignore[attr-defined]


def test_samplers_and_pruners_of_optuna_are_taken(toys: ModuleType) -> None:
    found = toy(
        toys,
        sampler=optuna.samplers.RandomSampler(seed=1),
        pruner=optuna.pruners.NopPruner(),
        n_trials=4,
    )
    assert len({t.params["shift"] for t in found.trials}) == 4


# trials that come to nothing


def test_combinations_the_model_refuses_are_infeasible_and_say_why(toys: ModuleType) -> None:
    found = toy(toys, base={"trouble": "refused"}, n_trials=20)
    refused = [t for t in found.trials if t.state == "infeasible"]
    assert refused
    for trial in found.trials:
        assert (trial.state == "infeasible") == (float(trial.params["shift"]) > 0)  # type: ignore[arg-type]
    assert all("ToyConfig.shift: is at most 0 here" in (t.reason or "") for t in refused)
    assert all(t.value is None for t in refused)


@pytest.mark.parametrize(
    ("trouble", "state", "reason"),
    [("raise", "infeasible", "DataError: data: cannot be"), ("bug", "failed", "RuntimeError: boom")],
)
def test_a_fit_that_fails_costs_its_trial_only(
    toys: ModuleType, trouble: str, state: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = toy(toys, base={"trouble": trouble}, n_trials=12)
    bad = [t for t in found.trials if float(t.params["shift"]) > 0]  # type: ignore[arg-type]
    assert bad
    assert all(t.state == state and reason in (t.reason or "") for t in bad)
    assert len(found.trials) == 12


def test_where_all_trials_fail_the_first_reason_is_told_soon(toys: ModuleType) -> None:
    seen: list[Any] = []
    with pytest.raises(TuningError, match=r"none of 10 trials \(of 40\).*the first: DataError: data: cannot"):
        toy(toys, base={"trouble": "always"}, n_trials=40, on_trial=seen.append)
    assert [t.state for t in seen] == ["infeasible"] * 10


def test_a_metric_the_predictions_cannot_answer_is_a_reason(toys: ModuleType) -> None:
    with pytest.raises(TuningError, match=r"none of 3 .*has a value for the model's predictions.*'nll'"):
        toy(toys, objective="nll", n_trials=3)


# pruning


def test_pruned_trials_stop_fitting_and_change_no_value(toys: ModuleType, tmp_path: Path) -> None:
    folders = [tmp_path / "with", tmp_path / "without"]
    found = []
    for folder, pruner in zip(folders, ("median", None), strict=True):
        folder.mkdir()
        base = {"folder": str(folder), "max_epochs": 8}
        found.append(toy(toys, base=base, n_trials=25, pruner=pruner, sampler="random"))
    pruned, whole = found
    ended = [t for t in pruned.trials if t.state == "pruned"]
    assert ended
    assert all(t.value is None and max(t.epochs) < 8 for t in ended)
    assert sum(len(lines) for lines in logs(folders[0])) == sum(len(t.epochs) + 1 for t in pruned.trials)
    assert sum(len(lines) for lines in logs(folders[1])) == 25 * 9
    for a, b in zip(pruned.trials, whole.trials, strict=True):
        assert a.params == b.params
        assert a.value in (None, b.value)
    assert pruned.best == whole.best.model_copy(
        update={"seconds": pruned.best.seconds, "started": pruned.best.started}
    )
    assert pruned.trials[0].state == "complete"


def test_hyperband_prunes_too_and_never_the_default(toys: ModuleType) -> None:
    found = toy(toys, base={"max_epochs": 9}, n_trials=30, pruner="hyperband", sampler="random")
    states = [t.state for t in found.trials]
    assert states[0] == "complete"
    assert states.count("pruned") > 0


# quiet, bounded, told


def test_nothing_is_printed_and_the_log_is_ours(
    toys: ModuleType, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    theirs = logging.getLogger("optuna")
    before = (list(theirs.handlers), theirs.level)
    with caplog.at_level(logging.INFO, "forecast"):
        toy(toys, n_trials=3)
    assert not any(capfd.readouterr())
    assert [r.name for r in caplog.records if "trial" in r.message] == ["forecast.tuning"] * 3
    assert (list(theirs.handlers), theirs.level) == before


def test_time_is_bounded_and_trials_are_told(toys: ModuleType) -> None:
    seen: list[Any] = []
    began = time.monotonic()
    found = toy(toys, base={"seconds": 0.02}, n_trials=1000, timeout=0.5, on_trial=seen.append)
    assert time.monotonic() - began < 5
    assert 1 <= len(found.trials) < 100
    assert tuple(seen) == found.trials


def test_results_are_shown_as_frame_json_and_report(toys: ModuleType, tmp_path: Path) -> None:
    found = toy(toys, base={"trouble": "refused"}, n_trials=30)
    for backend in ("pandas", None):
        frame = found.to_frame(backend=backend)
        assert list(frame.columns) == ["trial", "state", "value", "seconds", "reason", "shift", "kind"]
        assert len(frame) == 30
    told = json.loads(found.to_json())
    assert told["best"]["value"] == found.best_value
    assert told["default"]["params"] == {"shift": 0.0, "kind": "worse"}
    assert [t["number"] for t in told["trials"]] == list(range(30))
    page = found.report(tmp_path / "r.html").read_text()
    assert page.count("<svg") == 4
    assert "src=" not in page
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "")
    assert json.loads((tmp_path / "r.json").read_text()) == told
    with pytest.raises(InvalidInputError, match=r"ends in \.html"):
        found.report(tmp_path / "r.txt")
    assert "30 trials" not in repr(found)
    assert "infeasible" in repr(found)


def test_importance_finds_the_field_that_matters(toys: ModuleType) -> None:
    space = {"shift": {"low": -5.0, "high": 5.0}, "context_length": {"low": 1, "high": 9}}
    found = toy(toys, space=space, base={"kind": "plain"}, n_trials=60, sampler="random", pruner=None)
    shares = found.importance()
    assert list(shares) == ["shift", "context_length"]
    assert shares["shift"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)
    few = toy(toys, n_trials=4)
    with pytest.raises(TuningError, match="at least 10 complete trials, got 4"):
        few.importance()


# bad input


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"n_trials": 0}, InvalidInputError, "n_trials"),
        ({"n_jobs": 0}, InvalidInputError, "n_jobs"),
        ({"seed": -1}, InvalidInputError, "seed"),
        ({"timeout": 0}, InvalidInputError, "timeout"),
        ({"timeout": "x"}, InvalidInputError, "timeout"),
        ({"seed": 2**40}, InvalidInputError, r"seed: is a whole number in 0\.\.2\^32-1"),
        ({"stride": 0}, InvalidInputError, "stride"),
        ({"objective": "mea"}, MetricError, "known name, got 'mea'; did you mean"),
        ({"objective": "mae@1,2"}, MetricError, "objective: is one metric"),
        ({"objective": "coverage@0.9"}, MetricError, "better when lower or higher"),
        ({"sampler": "tpee"}, ConfigError, "sampler: .*did you mean 'tpe'"),
        ({"sampler": optuna.samplers.GridSampler({"x": [1]})}, ConfigError, "use 'grid'"),
        ({"pruner": "medium"}, ConfigError, "pruner: .*did you mean 'median'"),
        ({"base": {"horizon": 6, "season": 3}}, ConfigError, "season"),
        ({"base": {}}, ConfigError, r"base\.horizon"),
        ({"storage": "t.db"}, ConfigError, "hint|use 'sqlite:///t.db'"),
        ({"storage": "nosuch://x"}, ConfigError, "storage: can be opened"),
        (
            {"storage": "sqlite:////nowhere/at/all/t.db"},
            ConfigError,
            "storage: can be opened .*unable to open",
        ),
        ({"validation": "tomorrow"}, InvalidInputError, "validation"),
        ({"validation": PANEL, "splitter": splits.TimeSeriesSplit()}, InvalidInputError, "splitter"),
        ({"validation": PANEL.rows(0, 3)}, ShapeError, "horizon"),
        ({"splitter": splits.StratifiedSplit()}, InvalidInputError, "windows: have strata"),
        ({"splitter": 5}, InvalidInputError, "splitter: yields folds"),
    ],
)
def test_wrong_arguments_are_refused_before_any_trial(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        seasonal(**options)


def test_wrong_data_and_models_are_refused(toys: ModuleType) -> None:
    with pytest.raises(UnknownIdError, match="did you mean"):
        tune("series/seasonal-naiv", PANEL)
    with pytest.raises(InvalidInputError, match="data: is a Panel"):
        tune("series/seasonal-naive", PANEL.values, space=SEASONS, base={"horizon": 6})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="data: is data, or windows with"):
        tune("series/seasonal-naive", PANEL.windows(horizon=6), space=SEASONS, base={"horizon": 6})
    with pytest.raises(ConfigError, match="names at least one field of NaiveConfig"):
        tune("series/naive", PANEL, base={"horizon": 6})
    with pytest.raises(CapabilityError, match="missing_values"):
        tune("tuned/toy", sample_panel(missing=0.1))


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast_core.tuning.study.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'forecast-core\[tune\]'"):
        seasonal()


def test_the_command_line_imports_no_optuna_to_start() -> None:
    code = "import sys, forecast_core.cli.tuning, forecast_core.tuning; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
