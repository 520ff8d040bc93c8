"""Where a model comes from: the code's commit, versions of packages, its options as flat text."""

from __future__ import annotations

import json
import os
import platform
import posixpath
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from pydantic import JsonValue

from forecast_core import registry
from forecast_core.predictor import ModelInfo

__all__ = ["CodeState", "code_state", "metric_name", "model_params", "model_tags", "package_versions"]

_GIT_SECONDS = 5.0
_LONGEST_NAME, _LONGEST_VALUE = 250, 6000  # what MLflow keeps


class CodeState(NamedTuple):
    """A git commit, and whether tracked files differ from it."""

    commit: str
    dirty: bool


def code_state() -> CodeState | None:
    """The commit of the folder that the process runs in; None outside a git repository or without git."""
    git = shutil.which("git")
    if git is None:
        return None

    def ask(*arguments: str) -> str:
        done = subprocess.run(
            [git, "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
        return done.stdout.strip()

    try:
        commit = ask("rev-parse", "--verify", "HEAD")
        return CodeState(commit, bool(ask("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None


def package_versions(model_id: str) -> dict[str, str]:
    """Installed versions of python, the core, numpy, and what the model comes from and requires."""
    spec = registry.model_spec(model_id)
    package = spec.entry_point.partition(":")[0].partition(".")[0]
    found = {"python": platform.python_version()}
    for name in ("forecast-core", "numpy", *(p.replace("_", "-") for p in (package, *spec.requires))):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def model_params(info: ModelInfo) -> dict[str, str]:
    """The model's id, the seed, and its configuration: nested fields by "outer.inner", lists as JSON."""
    named = {"model": info.id} | ({} if info.seed is None else {"seed": str(info.seed)})
    flat = _flat(info.config)
    return {
        **named,
        **{
            _tidy(f"config.{name}" if name in named else name): value[:_LONGEST_VALUE]
            for name, value in flat.items()
        },
    }


def _flat(fields: Mapping[str, JsonValue], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def model_tags(info: ModelInfo) -> dict[str, str]:
    """What identifies model, data, code and packages, as tags of a run."""
    tags = {
        "forecast.model": info.id,
        "forecast.model_version": str(info.version),
        "forecast.task": info.task,
        "forecast.data": json.dumps(info.data)[:_LONGEST_VALUE],
        "forecast.packages": json.dumps(package_versions(info.id)),
    }
    for name in ("trained_on", "validated_on", "fitted_until", "seen_until"):
        if (value := getattr(info, name)) is not None:
            tags[f"forecast.{name}"] = value
    state = code_state()
    if state is not None:
        tags |= {
            "forecast.commit": state.commit,
            "forecast.dirty": str(state.dirty).lower(),
            "mlflow.source.git.commit": state.commit,
        }
    return tags


def metric_name(name: str) -> str:
    """A metric's name in characters that MLflow takes: "coverage@0.9" is "coverage/0.9" there."""
    return _tidy(name.replace("@", "/"))


def _tidy(name: str) -> str:
    plain = re.sub(r"[^/\w.\- ]", "-", name)
    return posixpath.normpath(f"/{plain}").lstrip("/")[:_LONGEST_NAME] or "_"
