"""Plugins are found through entry points, each in isolation, and what they break is told."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import forecast_core as fc
from forecast_core import plugins, registry
from forecast_core.errors import DuplicateIdError, InvalidInputError, PluginError, UnknownIdError
from forecast_core.hookspecs import hookimpl, hookspec

Install = Callable[..., None]
COUNT = itertools.count()  # a module name is used once in a process

GOOD = """
from forecast_core import Capabilities, ModelSpec, hookimpl

@hookimpl
def forecast_models():
    return [ModelSpec(id="{name}/model", task="series", entry_point="{module}:Model",
                      config_entry_point="{module}:Config", summary="a model",
                      capabilities=Capabilities(prediction="point"))]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lays a distribution with one plugin module on the path; plugins are then found anew.

    Other installed plugins are kept out through FORECAST_PLUGINS.
    """
    names: list[str] = []
    monkeypatch.setenv("FORECAST_PLUGINS", "")
    monkeypatch.setattr(plugins, "_host", None)
    monkeypatch.setattr(registry, "_catalogue", registry._Catalogue())

    def install(
        name: str, source: str = GOOD, *, distribution: str | None = None, folder: str = "site"
    ) -> None:
        site = tmp_path / folder
        module = f"plugged_{name.replace('-', '_')}_{next(COUNT)}"
        info = site / f"{(distribution or name).replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.2\n")
        with (info / "entry_points.txt").open("a") as file:
            file.write(f"[forecast.plugins]\n{name} = {module}\n")
        (site / f"{module}.py").write_text(source.replace("{name}", name).replace("{module}", module))
        names.append(name)
        monkeypatch.setenv("FORECAST_PLUGINS", ",".join(names))
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(site)

    return install


def nothing() -> list[Any]:
    """What a hook with nothing to offer returns."""
    return []


def module(**hooks: Any) -> ModuleType:
    """A plugin module with some hooks."""
    made = ModuleType("plugged_by_hand")
    for name, function in hooks.items():
        setattr(made, name, function)
    return made


def test_an_installed_plugin_is_found_with_its_distribution(install: Install) -> None:
    install("toys", distribution="forecast-toys")
    assert "toys/model" in fc.available_models()
    plugin = next(p for p in plugins.plugins() if p.name == "toys")
    assert (plugin.distribution, plugin.version) == ("forecast-toys", "1.2")
    assert plugin.package.startswith("plugged_toys")
    assert plugins.plugin_failures() == ()


def test_nothing_is_loaded_before_the_first_look_up() -> None:
    code = "import forecast_core as fc; from forecast_core import plugins; assert plugins._host is None"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_plugin_that_fails_at_import_hurts_nobody_else(install: Install, source: str, message: str) -> None:
    install("bad", source, distribution="forecast-bad")
    install("good")
    with pytest.warns(plugins.PluginWarning, match="plugin 'bad' \\(forecast-bad\\) failed at import"):
        models = fc.available_models()
    assert models == [
        "compose/conformal",
        "compose/ensemble",
        "good/model",
        "series/naive",
        "series/seasonal-naive",
    ]
    (failure,) = plugins.plugin_failures()
    assert (failure.plugin, failure.distribution, failure.stage) == ("bad", "forecast-bad", "import")
    assert message in str(failure)
    with pytest.raises(UnknownIdError, match="broken plugins: plugin 'bad'"):
        fc.create_model("bad/model")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("raise ValueError('oh')", "ValueError: oh"),
        ("raise SystemExit", "SystemExit"),
        ("return 3", "a list is wanted, got int"),
        ("yield 3; raise KeyError('k')", "KeyError: 'k'"),
        ("return [3]", "a ModelSpec is wanted, got int"),
    ],
)
def test_a_plugin_that_fails_at_a_hook_hurts_nobody_else(install: Install, result: str, message: str) -> None:
    install("bad", f"from forecast_core import hookimpl\n@hookimpl\ndef forecast_models():\n    {result}\n")
    install("good")
    with pytest.warns(plugins.PluginWarning, match="failed at forecast_models"):
        assert "good/model" in fc.available_models()
    assert message in str(plugins.plugin_failures()[0])


def test_each_failure_is_told_once(install: Install) -> None:
    install("bad", "from forecast_core import hookimpl\n@hookimpl\ndef forecast_models(): return [3]\n")
    with pytest.warns(plugins.PluginWarning):
        fc.available_models()
    plugins.register_plugin(module(), name="another")
    fc.available_models()  # everything is gathered again; a second warning would be an error here
    assert len(plugins.plugin_failures()) == 1


def test_strict_plugins_raise_instead_of_warning(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("bad", "raise RuntimeError('no luck')")
    monkeypatch.setenv("FORECAST_STRICT_PLUGINS", "1")
    for _ in range(2):  # and again at the next look-up
        with pytest.raises(PluginError, match=r"plugin 'bad' .* failed at import: RuntimeError: no luck"):
            fc.available_models()


def test_a_subset_can_be_loaded_and_core_is_always_there(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("one")
    install("two")
    monkeypatch.setenv("FORECAST_PLUGINS", " two ,")
    assert fc.available_models() == [
        "compose/conformal",
        "compose/ensemble",
        "series/naive",
        "series/seasonal-naive",
        "two/model",
    ]


def test_a_subset_that_names_nobody_is_said(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("two")
    monkeypatch.setenv("FORECAST_PLUGINS", "tow")
    with pytest.warns(
        plugins.PluginWarning, match=r"FORECAST_PLUGINS names no installed plugin; did you mean 'two'"
    ):
        assert "two/model" not in fc.available_models()


def test_two_distributions_of_one_name_are_both_named_and_left_out(install: Install) -> None:
    install("toys", distribution="forecast-toys")
    install("toys", distribution="better-toys")
    with pytest.warns(plugins.PluginWarning, match="claimed by"):
        assert "toys/model" not in fc.available_models()
    text = str(plugins.plugin_failures()[0])
    assert "forecast-toys" in text
    assert "better-toys" in text
    assert isinstance(plugins.plugin_failures()[0].error, DuplicateIdError)


def test_nobody_takes_the_name_of_cores_own_plugin(install: Install) -> None:
    install("series", distribution="impostor")
    with pytest.warns(plugins.PluginWarning, match="impostor"):
        assert "series/model" not in fc.available_models()
    assert "series/naive" in fc.available_models()


def test_nobody_takes_the_id_of_cores_own_task(install: Install) -> None:
    task = """
from forecast_core import TaskSpec, hookimpl
@hookimpl
def forecast_tasks():
    return [TaskSpec(id="series", data="{module}:Data", baseline="a/b", objective="mae",
                     sample_data="{module}:sample")]
"""
    install("aaa", task, distribution="first-in-the-alphabet")
    with pytest.warns(plugins.PluginWarning, match="taken by plugin 'series' \\(forecast-core\\)"):
        assert registry.task_spec("series").data == "forecast_core.data.panel:Panel"
    assert "first-in-the-alphabet" in str(plugins.plugin_failures()[0])


def test_a_distribution_seen_twice_on_the_path_counts_once(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("toys")
    info = next((tmp_path / "site").glob("*.dist-info"))
    again = tmp_path / "again" / info.name
    again.mkdir(parents=True)
    for file in info.iterdir():
        (again / file.name).write_text(file.read_text())
    monkeypatch.syspath_prepend(tmp_path / "again")
    assert "toys/model" in fc.available_models()
    assert plugins.plugin_failures() == ()


def test_a_misspelt_hook_is_caught_and_the_rest_of_the_plugin_works(install: Install) -> None:
    install("toys", GOOD + "\n@hookimpl\ndef forecast_metric(): return []\n")
    with pytest.warns(
        plugins.PluginWarning, match="'forecast_metric' is no hook; did you mean 'forecast_metrics'"
    ):
        assert "toys/model" in fc.available_models()


def test_a_plugin_may_look_things_up_while_it_is_imported(install: Install) -> None:
    install("curious", "import forecast_core as fc\nSEEN = fc.available_models()\n" + GOOD)
    assert "curious/model" in fc.available_models()
    target = next(p.target for p in plugins.plugins() if p.name == "curious")
    assert target.SEEN == ["compose/conformal", "compose/ensemble", "series/naive", "series/seasonal-naive"]


def test_a_plugin_comes_and_goes_by_hand(install: Install) -> None:
    before = plugins.generation()
    plugins.register_plugin(module(forecast_tasks=hookimpl(nothing)), name="mine")
    assert "mine" in [p.name for p in plugins.plugins()]
    assert plugins.generation() != before
    with pytest.raises(DuplicateIdError, match=r"'mine'.* is taken by plugged_by_hand"):
        plugins.register_plugin(module(), name="mine")
    plugins.unregister_plugin("mine")
    assert "mine" not in [p.name for p in plugins.plugins()]
    plugins.unregister_plugin("mine")  # nothing left to do


@pytest.mark.parametrize(
    "hooks",
    [
        {"forecast_model": hookimpl(nothing)},
        {"forecast_models": hookimpl(lambda nonsense: [])},
        {"forecast_hookspecs": hookimpl(lambda: SimpleNamespace), "forecast_models": hookimpl(nothing)},
    ],
)
def test_a_plugin_with_wrong_hooks_is_refused_and_leaves_nothing(
    install: Install, hooks: dict[str, Any]
) -> None:
    with pytest.raises(PluginError, match=r"forecast_model|a list is wanted, got type"):
        plugins.register_plugin(module(**hooks), name="mine")
    assert "mine" not in [p.name for p in plugins.plugins()]
    plugins.register_plugin(module(), name="mine")


@pytest.mark.parametrize("name", [None, "", 3])
def test_a_plugin_is_named_by_a_text(install: Install, name: Any) -> None:
    with pytest.raises(InvalidInputError, match="name: is the namespace"):
        plugins.register_plugin(module(), name=name)


def test_a_plugin_whose_attributes_cannot_be_read_hurts_nobody_else(install: Install) -> None:
    install("bad", "def __dir__(): raise OSError('gone')\n")
    install("good")
    with pytest.warns(plugins.PluginWarning, match="failed at registration"):
        assert "good/model" in fc.available_models()


def test_an_optional_hook_may_be_unknown(install: Install) -> None:
    made = module(forecast_models_of_tomorrow=hookimpl(optionalhook=True)(nothing))
    plugins.register_plugin(made, name="mine")
    assert "mine" in [p.name for p in plugins.plugins()]


def test_a_plugin_adds_hooks_that_others_implement(install: Install) -> None:
    class Specs:
        @hookspec
        def forecast_toys(self, size: int) -> list[str]:
            """Toys of a size."""

    plugins.register_plugin(module(forecast_hookspecs=hookimpl(lambda: [Specs])), name="maker")
    plugins.register_plugin(module(forecast_toys=hookimpl(lambda size: ["ball"] * size)), name="player")
    assert plugins.call_isolated("forecast_toys", size=2) == [["ball", "ball"]]
    with pytest.raises(PluginError, match="colour"):
        plugins.register_plugin(module(forecast_toys=hookimpl(lambda colour: [])), name="other")
    with pytest.raises(PluginError, match="did not find any"):
        plugins.register_plugin(
            module(forecast_hookspecs=hookimpl(lambda: [SimpleNamespace()])), name="empty"
        )
    with pytest.raises(PluginError, match="'forecast_toy' is no hook; did you mean 'forecast_toys'"):
        plugins.call_isolated("forecast_toy")


@pytest.mark.parametrize("specs", ["[object()]", "object", "3", "[None]"])
def test_broken_hook_specs_hurt_nobody_else(install: Install, specs: str) -> None:
    install(
        "bad", f"from forecast_core import hookimpl\n@hookimpl\ndef forecast_hookspecs(): return {specs}\n"
    )
    install("good")
    with pytest.warns(plugins.PluginWarning, match="failed at forecast_hookspecs"):
        assert "good/model" in fc.available_models()


def test_run_events_reach_everybody_but_the_broken(install: Install) -> None:
    heard: list[tuple[str, Any]] = []

    class Broken:
        @hookimpl
        def forecast_run_started(self, run: Any) -> None:
            raise OSError("disk full")

    class Listening:
        @hookimpl
        def forecast_run_started(self, run: Any) -> None:
            heard.append(("started", run))

        @hookimpl
        def forecast_run_finished(self, result: Any) -> None:
            heard.append(("finished", result))

    plugins.register_plugin(Broken(), name="broken")
    plugins.register_plugin(Listening(), name="listening")
    run, panel = fc.Run(), _panel()
    with pytest.warns(plugins.PluginWarning, match="plugin 'broken' failed at forecast_run_started: OSError"):
        model = fc.create_model("series/naive", horizon=2).fit(panel, run=run)
    assert heard == [("started", run), ("finished", model.info)]


def _panel() -> fc.Panel:
    from forecast_core.series.sample import sample_panel

    return sample_panel(rows=20)


def test_the_package_of_a_plugin_is_where_its_hooks_are_written() -> None:
    class Target:
        pass

    Target.__module__ = "acme.forecasts.plugin"
    assert plugins.Plugin("acme", Target, "", "").package == "acme"
    assert plugins.Plugin("acme", Target(), "", "").package == "acme"
    assert plugins.Plugin("os", os, "", "").package == "os"
