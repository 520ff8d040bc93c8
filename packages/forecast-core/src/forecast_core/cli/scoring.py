"""`forecast evaluate` and `forecast compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

import forecast_core as fc
from forecast_core import registry
from forecast_core.cli.options import DEVICE, with_data_options
from forecast_core.cli.output import JSON, metric_rows, number, print_json, print_table, split
from forecast_core.cli.sources import load_data, named_model
from forecast_core.config import DataConfig
from forecast_core.errors import ConfigError, InvalidInputError

if TYPE_CHECKING:
    from forecast_core.evaluation import Comparison
    from forecast_core.predictor import Predictor

__all__ = ["add_to"]

_START: Any = typer.Option(None, help="First time to be forecast; default: after all the models have seen.")
_HORIZON: Any = typer.Option(None, min=1, help="Steps ahead; default: the first model's.")
_STRIDE: Any = typer.Option(None, min=1, help="Rows between origins; default: the horizon.")
_METRICS: Any = typer.Option(None, help="Metrics, comma-separated; default: the task's.")
_REPORT: Any = typer.Option(None, help="Write an HTML report here.")


def add_to(app: typer.Typer) -> None:
    """Add `evaluate` and `compare`."""
    app.command("evaluate")(with_data_options(evaluate))
    app.command("compare")(with_data_options(compare))


def evaluate(
    artifact: Path = typer.Argument(help="Folder of a saved model."),
    *,
    data: DataConfig,
    start: str = _START,
    horizon: int = _HORIZON,
    stride: int = _STRIDE,
    metrics: str = _METRICS,
    device: str = DEVICE,
    report: Path = _REPORT,
    as_json: bool = JSON,
) -> None:
    """Score a saved model, beside the naive baseline, on rows it has not seen."""
    table = load_data(data)
    models = [registry.load_model(artifact, device=device)]
    _show(_score(models, table, start, horizon, stride, metrics), report, as_json)


def compare(
    models: list[str] = typer.Argument(help="Saved models, or ids with options: series/naive:horizon=24."),
    *,
    data: DataConfig,
    start: str = _START,
    horizon: int = _HORIZON,
    stride: int = _STRIDE,
    metrics: str = _METRICS,
    refit: int = typer.Option(None, min=1, help="Refit on all known rows every that many origins."),
    refit_validation: float = typer.Option(
        0.0, min=0.0, max=0.9, help="Share of the rows of a refit that serves as validation data."
    ),
    device: str = DEVICE,
    report: Path = _REPORT,
    as_json: bool = JSON,
) -> None:
    """Backtest several models on the same origins; unfitted ones are fitted on the rows before."""
    if refit_validation and refit is None:
        raise ConfigError("--refit-validation", "is a share of the rows of a refit, so --refit is given too")
    table = load_data(data)
    policy = fc.RefitPolicy(refit=refit, validation=refit_validation)
    found = _score(
        [named_model(text, device=device) for text in models], table, start, horizon, stride, metrics, policy
    )
    _show(found, report, as_json)


def _score(
    models: list[Predictor[Any]],
    data: Any,
    start: str | None,
    horizon: int | None,
    stride: int | None,
    metrics: str | None,
    refit: fc.RefitPolicy | None = None,
) -> Comparison:
    from forecast_core.evaluation.evaluating import default_metrics
    from forecast_core.evaluation.losses import loss_metric

    names = split(metrics)
    steps = horizon or next((h for m in models if (h := getattr(m.config, "horizon", None))), None)
    return fc.compare(
        models,
        data,
        start=start if start is not None else _after_seen(models, data),
        horizon=steps,
        stride=stride or steps or 1,
        metrics=names or None,
        refit=refit,
        loss=loss_metric((*names, *default_metrics(models[0].task))),
    )


def _after_seen(models: list[Predictor[Any]], data: Any) -> Any:
    """The first row after everything that any of the models has seen."""
    seen = [np.datetime64(m.info.seen_until) for m in models if m.info.seen_until is not None]
    if not seen:
        raise InvalidInputError("--start", "is needed where no model tells until when it was fitted")
    later = np.flatnonzero(data.timeline > max(seen))
    if not len(later):
        raise InvalidInputError("--data", f"holds rows after {max(seen)}, the last one seen in fitting")
    return data.timeline[later[0]]


def _show(result: Comparison, report: Path | None, as_json: bool) -> None:
    written = result.report(report) if report is not None else None
    if as_json:
        print_json({**json.loads(result.to_json()), "report": None if written is None else str(written)})
        return
    columns = list(result.scores[0].metrics)
    title = f"{len(result.windows)} windows from {result.start}; skill against {result.baseline}"
    print_table(title, ["model", *columns, "skill"], metric_rows(result.scores, columns))
    if result.untested:
        typer.echo(f"differences not tested: {result.untested}")
    else:
        rows = [
            [
                f"{p.model_a} / {p.model_b}",
                *map(number, (p.mean_difference, p.dm, p.p, p.p_holm)),
                p.better or "-",
            ]
            for p in result.tests.pairs
        ]
        header = ["pair", "difference", "DM", "p", "p (Holm)", "better"]
        print_table(f"Diebold-Mariano tests of {result.loss}, at 5 %", header, rows)
    if written is not None:
        typer.echo(f"report: {written}")
