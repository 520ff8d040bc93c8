"""The conformance checks: sound models pass them, and each broken plugin fails the one meant for it."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from forecast_core import plugins
from forecast_core.conformance import CHECKS, ConformanceReport, check_predictor
from forecast_core.conformance.pytest_class import cases
from forecast_core.errors import ConfigError, InvalidInputError, UnknownIdError
from forecast_core.hookspecs import hookimpl
from forecast_core.prediction import base
from forecast_core.specs import Capabilities, ModelSpec

pytest_plugins = ("pytester",)

HERE = Path(__file__).parent
QUICK = [check.name for check in CHECKS if check.name != "light_listing"]  # that one starts a process
BROKEN = [
    "ReadsTheFuture",
    "AsksForTargets",
    "NormalisesTheBatch",
    "TwoMinds",
    "ForgetsState",
    "Pickles",
    "IgnoresSeed",
    "GoesOnFitting",
    "NeverTheSame",
    "ChangesItsInput",
    "SeedsTheWorld",
    "IgnoresHorizon",
    "MixesUpItems",
    "ReversesRows",
    "StartsLate",
    "ClaimsGaps",
    "OpensTheDoor",
    "BareErrors",
    "Narrow",
    "Wide",
    "SaysOtherwise",
    "Loose",
    "Percent",
    "CentresWhatItLearns",
    "LearnsContextAgain",
    "LearnsNothing",
]
OFFLINE = {"exact_update", "update_follows_drift"}  # checks of models that learn online


@pytest.fixture(scope="module")
def broken() -> Iterator[ModuleType]:
    """The module of broken plugins, importable by name as an installed one would be."""
    sys.path.insert(0, str(HERE / "broken"))
    known = set(base._KINDS)
    try:
        yield importlib.import_module("broken_plugins")
    finally:
        sys.path.remove(str(HERE / "broken"))
        sys.modules.pop("broken_plugins", None)
        for kind in set(base._KINDS) - known:
            base._KINDS.pop(kind)


@pytest.fixture
def register() -> Iterator[Callable[[Any], None]]:
    """Registers a plugin under the name `broken` for one test."""
    yield lambda target: plugins.register_plugin(target, name="broken")
    plugins.unregister_plugin("broken")


@pytest.mark.parametrize("model_id", ["series/naive", "series/seasonal-naive"])
def test_baselines_pass_every_check(model_id: str) -> None:
    report = check_predictor(model_id)
    assert report.ok, report.summary()
    assert report.run >= 30
    assert {s.check for s in report.skipped} == {"unfitted_refused", "future_given_apart", *OFFLINE}


def test_a_sound_plugin_passes_every_check(broken: ModuleType, register: Callable[[Any], None]) -> None:
    register(broken.SOUND)
    report = check_predictor("broken/model")
    assert report.ok, report.summary()
    assert {s.check for s in report.skipped} == {"declared_accepted", "future_given_apart", *OFFLINE}
    plugins.unregister_plugin("broken")
    register(broken.SOUND_ONLINE)
    report = check_predictor("broken/model")
    assert report.ok, report.summary()
    assert {s.check for s in report.skipped} == {"declared_accepted", "future_given_apart"}


@pytest.mark.parametrize("model_id", ["compose/ensemble", "compose/conformal"])
def test_composed_models_pass_every_check(model_id: str) -> None:
    report = check_predictor(model_id)
    assert report.ok, report.summary()
    assert report.run >= 60


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_fails_the_one_check_meant_for_it(
    name: str, broken: ModuleType, register: Callable[[Any], None]
) -> None:
    plugin = next(p for p in broken.PLUGINS if p.model.__name__ == name)
    register(plugin)
    report = check_predictor("broken/model", only=QUICK)
    assert {f.check for f in report.failed} == {plugin.check}, report.summary()
    assert not report.ok
    assert all(f.message for f in report.failed)


def test_every_broken_plugin_is_tried(broken: ModuleType) -> None:
    assert [p.model.__name__ for p in broken.PLUGINS] == BROKEN
    assert len({p.check for p in broken.PLUGINS}) == len(BROKEN) >= 10


def test_a_plugin_that_imports_torch_when_listed_fails_light_listing(
    register: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text('"""Stands in for the real one."""\n')
    (tmp_path / "heavy.py").write_text("import torch\n")
    (tmp_path / "light.py").write_text("import json\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = {}
    for name in ("heavy", "light"):
        register(_listed_from(name))
        found[name] = check_predictor("broken/model", only=["light_listing"])
        plugins.unregister_plugin("broken")
    assert [f.check for f in found["heavy"].failed] == ["light_listing"]
    assert "torch" in found["heavy"].failed[0].message
    assert found["light"].ok, found["light"].summary()


def _listed_from(module: str) -> ModuleType:
    """A plugin module that another process will import by its name."""
    target = ModuleType(module)
    spec = ModelSpec(
        id="broken/model",
        task="series",
        entry_point=f"{module}:Model",
        config_entry_point=f"{module}:Config",
        summary="listed only",
        capabilities=Capabilities(prediction="point"),
    )
    target.forecast_models = hookimpl(lambda: [spec])  # type: ignore[attr-defined]
    return target


def test_the_report_counts_explains_and_is_json(broken: ModuleType, register: Callable[[Any], None]) -> None:
    register(next(p for p in broken.PLUGINS if p.check == "horizon"))
    report = check_predictor("broken/model", only=["fit", "horizon", "unfitted_refused", "declared_accepted"])
    assert (report.run, report.passed, len(report.failed), len(report.skipped)) == (3, 2, 1, 1)
    assert "FAILED horizon (configuration 0): horizon=1 gives 4 steps" in report.summary()
    assert "skipped declared_accepted: the model declares no" in report.summary()
    told = json.loads(json.dumps(report.model_dump(mode="json")))
    assert told["ok"] is False
    assert told["failed"][0]["check"] == "horizon"


def test_nothing_run_is_no_success() -> None:
    report = check_predictor("series/naive", only=["unfitted_refused"])
    assert (report.run, report.failed, report.ok) == (0, (), False)
    assert "no check ran" in report.summary()
    assert ConformanceReport(model="m", run=1, passed=1, skipped=(), failed=(), seconds=0.0).ok


def test_configurations_can_be_given() -> None:
    only = ["horizon", "unknown_option_refused"]
    report = check_predictor("series/naive", only=only, configs=[{"horizon": 2}, {"horizon": 3}, {}])
    assert (report.run, report.ok) == (6, True)
    with pytest.raises(ConfigError, match="did you mean 'horizon'"):
        check_predictor("series/naive", configs=[{"horizn": 2}])


def test_a_model_without_configurations_of_its_own_asks_for_them(
    broken: ModuleType, register: Callable[[Any], None]
) -> None:
    bare = ModuleType("bare")
    spec = broken.SOUND.forecast_models()[0].model_copy(update={"test_configs": ()})
    bare.forecast_models = hookimpl(lambda: [spec])  # type: ignore[attr-defined]
    bare.__name__ = broken.__name__
    register(bare)
    for wrong in (None, []):
        with pytest.raises(InvalidInputError, match="are given for broken/model"):
            check_predictor("broken/model", configs=wrong)
    with pytest.raises(InvalidInputError, match="check_predictor"):
        cases("broken/model")


def test_unknown_checks_and_models_are_named() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'shapes'"):
        check_predictor("series/naive", only=["shape"])
    with pytest.raises(UnknownIdError, match="series/naive"):
        check_predictor("series/naiv")


def test_checks_have_distinct_names_and_need_earlier_ones() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for k, check in enumerate(CHECKS):
        assert check.summary.endswith(".")
        assert set(check.needs) <= set(names[:k]) | {"declared_accepted"}, check.name


def test_the_pytest_class_reports_failures_and_skips(
    pytester: pytest.Pytester, broken: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE / "broken"), *sys.path]))
    pytester.makeconftest(
        """
        import broken_plugins
        from forecast_core import register_plugin
        register_plugin(broken_plugins.PLUGINS[0], name="broken")
        """
    )
    pytester.makepyfile(
        """
        from forecast_core.conformance import PredictorConformance

        class TestMine(PredictorConformance):
            model_id = "broken/model"
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rfs")
    result.assert_outcomes(passed=len(CHECKS) - 7, failed=1, skipped=6)
    result.stdout.fnmatch_lines(["*broken/model, future_unseen: origin*"])


def test_the_pytest_option_checks_models_and_nothing_else(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    options = ("-p", "no:cacheprovider", "--forecast-model", "series/naive")
    alone = pytester.runpytest_subprocess(*options)
    alone.assert_outcomes(passed=len(CHECKS) - 4, skipped=4)
    chosen = pytester.runpytest_subprocess(*options, "-k", "shapes", "-v")
    chosen.assert_outcomes(passed=1, deselected=len(CHECKS) - 1)
    chosen.stdout.fnmatch_lines(["*series/naive*shapes-0 PASSED*"])
    with_path = pytester.runpytest_subprocess(*options, ".", "-k", "shapes or test_other")
    with_path.assert_outcomes(passed=2, deselected=len(CHECKS) - 1)
    unknown = pytester.runpytest_subprocess("--forecast-model", "series/naiv")
    assert unknown.ret == pytest.ExitCode.USAGE_ERROR
    unknown.stderr.fnmatch_lines(["*did you mean 'series/naive'*"])


def test_the_pytest_plugin_is_light_while_unused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # others' plugins may import what they like
    pytester.makepyfile(
        """
        import sys

        def test_light():
            heavy = {"torch", "numpy", "pydantic", "pandas"}
            assert not heavy & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "forecast_core.pytest_plugin")
    result.assert_outcomes(passed=1)
