"""The hooks a plugin may implement; docs/hooks.md lists them with examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from forecast_core.metrics import Metric
    from forecast_core.run import Run
    from forecast_core.specs import DatasetSpec, LossSpec, ModelSpec, TaskSpec

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "forecast"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def forecast_hookspecs() -> Iterable[object]:
    """Modules or classes with hook specs of the plugin's own, which other plugins may implement."""
    return ()


@hookspec
def forecast_tasks() -> Iterable[TaskSpec]:
    """Tasks: kinds of data and what to predict of them."""
    return ()


@hookspec
def forecast_models() -> Iterable[ModelSpec]:
    """Models, by spec; nothing heavy may be imported here."""
    return ()


@hookspec
def forecast_losses() -> Iterable[LossSpec]:
    """Training losses, by spec."""
    return ()


@hookspec
def forecast_metrics() -> Iterable[Metric]:
    """Metrics under names that nobody has taken."""
    return ()


@hookspec
def forecast_datasets() -> Iterable[DatasetSpec]:
    """Datasets, by spec; nothing is read or downloaded here."""
    return ()


@hookspec
def forecast_commands(cli: Any) -> None:
    """Add commands to the command line; `cli` is its typer application."""


@hookspec
def forecast_run_started(run: Run) -> None:
    """A training run begins."""


@hookspec
def forecast_epoch_finished(run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
    """An epoch is over; epochs count from 1."""


@hookspec
def forecast_run_finished(run: Run, result: Any) -> None:
    """A training run ended well; result is the fitted predictor's ModelInfo."""


@hookspec
def forecast_run_failed(run: Run, error: BaseException) -> None:
    """A training run ended in an error, which is raised after this hook."""
