"""Checks of what a plugin registers: specs, configuration, sample data, and the cost of listing them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

from forecast_core import plugins, registry
from forecast_core.conformance.check import check, fail
from forecast_core.conformance.subject import Subject
from forecast_core.data.protocols import Data, Windows
from forecast_core.errors import ConfigError
from forecast_core.specs import namespace_of

__all__ = ["config_round_trip", "light_listing", "registered", "sample_data", "unknown_option_refused"]

# Listing models must not import these.
_HEAVY = {"torch", "pandas", "polars", "pyarrow", "scipy", "sklearn", "lightgbm", "matplotlib", "jax"}

_LISTING = """
import importlib, json, sys
import forecast_core as fc
before, (model, modules) = set(sys.modules), json.loads(sys.argv[1])
for name in modules:
    importlib.import_module(name)
if not modules:
    fc.available_models(), fc.describe_model(model)
sys.stdout.write(json.dumps(sorted(set(sys.modules) - before)))
"""


@check(once=True)
def registered(subject: Subject) -> None:
    """The spec's classes, libraries, task and baseline are there, and every option is described."""
    spec = subject.spec
    missing = [library for library in spec.requires if find_spec(library) is None]
    if missing:
        install = spec.install_hint or f"pip install {' '.join(missing)}"
        fail(f"requires {', '.join(missing)}, not installed; run: {install}")
    registry.predictor_class(spec)
    registry.load_object(subject.task.data, owner=subject.task.id)
    registry.model_spec(subject.task.baseline)
    bare = [f.name for f in registry.describe_model(spec.id).fields if not f.description]
    if bare:
        fail(f"options without Field(description=...): {', '.join(bare)}")
    for kind in spec.capabilities.prediction_kinds:
        if not kind:
            fail("capabilities.prediction names no kind")


@check(once=True)
def light_listing(subject: Subject) -> None:
    """Listing and describing the model imports no heavy library (seen in a process of its own)."""
    plugin = next(p for p in plugins.plugins() if p.name == namespace_of(subject.spec.id))
    modules: list[str] = []
    if not plugin.distribution:  # added by hand: unknown to another process
        modules = [plugin.module, subject.spec.config_entry_point.partition(":")[0]]
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-c", _LISTING, json.dumps([subject.spec.id, modules])],
        env={**os.environ, "PYTHONPATH": paths, "FORECAST_PLUGINS": plugin.name},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        fail(f"listing fails in a fresh process: {done.stderr.strip().splitlines()[-1]}")
    heavy = sorted(_HEAVY & set(json.loads(done.stdout)))
    if heavy:
        fail(f"listing imports {', '.join(heavy)}; import them in the module of the model only")


@check(once=True)
def sample_data(subject: Subject) -> None:
    """The task's sample data follows the protocols and is the same at every call."""
    data = subject.data()
    wanted = registry.load_object(subject.task.data, owner=subject.task.id)
    if not isinstance(data, wanted) or not isinstance(data, Data):
        got = type(data).__name__
        fail(f"sample_data gives a {got}, not a {wanted.__name__} that follows the Data protocol")
    if data.fingerprint() != subject.data().fingerprint():
        fail("sample_data gives other data at each call; seed it")
    windows = subject.windows(data)
    if not isinstance(windows, Windows) or not len(windows):
        got = type(windows).__name__
        fail(f"windows() of sample data gives a {got} that is empty or does not follow the Windows protocol")
    values, observed = windows.targets()
    if values.shape != observed.shape or len(values) != len(windows):
        fail(f"targets() of {len(windows)} windows gives values {values.shape} and a mask {observed.shape}")


@check()
def config_round_trip(subject: Subject) -> None:
    """The configuration survives model_dump and JSON, and its predictor holds it unchanged."""
    wanted = registry.config_class(subject.spec)
    config = wanted(**subject.params)
    if wanted(**config.model_dump()) != config:
        fail("config_class(**config.model_dump()) differs from config")
    if wanted(**json.loads(config.model_dump_json())) != config:
        fail("config_class(**json.loads(config.model_dump_json())) differs from config")
    if subject.new().config != config:
        fail("the predictor's config differs from the one it was given")


@check()
def unknown_option_refused(subject: Subject) -> None:
    """An option that does not exist is refused with ConfigError."""
    wanted = registry.config_class(subject.spec)
    try:
        wanted(**{**subject.params, "no_such_option": 1})
    except ConfigError:
        return
    fail("an unknown option is accepted; keep extra='forbid' of ModelConfig")
