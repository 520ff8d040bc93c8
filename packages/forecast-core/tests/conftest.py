"""Plugins that live for one test or one module."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import forecast_core as fc
from forecast_core import plugins


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers a plugin for one test: `plug_in(name, models, tasks=(), Class=Class, ...)`.

    The objects become attributes of a module of that name, where specs say that they are.
    """
    names: list[str] = []

    def register(
        name: str, models: Sequence[fc.ModelSpec], *, tasks: Sequence[fc.TaskSpec] = (), **objects: Any
    ) -> None:
        home = ModuleType(name)
        vars(home).update(objects)
        home.forecast_models = fc.hookimpl(lambda: list(models))  # type: ignore[attr-defined]
        home.forecast_tasks = fc.hookimpl(lambda: list(tasks))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, home)
        plugins.register_plugin(home, name=name)
        names.append(name)

    yield register
    for name in names:
        plugins.unregister_plugin(name)


@pytest.fixture(scope="module")
def tuned_toys() -> Iterator[ModuleType]:
    """The plugin `tuned` of models to tune."""
    folder = str(Path(__file__).parent / "tuned")
    sys.path.insert(0, folder)
    module = importlib.import_module("tuned_toys")
    plugins.register_plugin(module, name="tuned")
    try:
        yield module
    finally:
        plugins.unregister_plugin("tuned")
        sys.path.remove(folder)
        sys.modules.pop("tuned_toys", None)
