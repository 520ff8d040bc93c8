"""`forecast tune`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

import forecast_core as fc
from forecast_core import registry
from forecast_core.cli.options import with_data_options
from forecast_core.cli.output import JSON, metric_rows, number, print_json, print_table
from forecast_core.cli.sources import load_data, parse_params
from forecast_core.cli.training import folds, shares
from forecast_core.config import DataConfig, RunConfig
from forecast_core.metrics import metric_direction
from forecast_core.run import Run

if TYPE_CHECKING:
    from forecast_core.evaluation import Backtest
    from forecast_core.splits import Split
    from forecast_core.tuning import TrialRecord, Tuning

__all__ = ["add_to"]

_EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Add `tune`."""
    app.command("tune", context_settings=_EXTRA)(with_data_options(tune))


def tune(
    context: typer.Context,
    model: str = typer.Argument(help="Id of a model; options that stay fixed follow as --name value."),
    *,
    data: DataConfig,
    ratios: str = typer.Option("0.8,0.1,0.1", help="Shares of training, validation and test rows."),
    space: Path = typer.Option(None, help="YAML file of fields to search; default: what the model declares."),
    trials: int = typer.Option(100, min=1, help="Trials, the default configuration included."),
    objective: str = typer.Option(None, help="Metric on validation; default: the task's."),
    cv: str = typer.Option(
        None, help="Score by folds of the rows before the test part instead: 5, purged:5, group:5, ..."
    ),
    sampler: Literal["tpe", "random", "grid"] = typer.Option("tpe", help="Where to look next."),
    pruner: Literal["median", "hyperband", "none"] = typer.Option(
        "median", help="Which trials to end early."
    ),
    storage: str = typer.Option(None, help="URL to keep and resume trials, such as sqlite:///tuning.db."),
    study: str = typer.Option(None, help="Name of the study in the storage; default: model and objective."),
    jobs: int = typer.Option(1, min=1, help="Trials at a time, each in a process of its own."),
    timeout: float = typer.Option(None, min=0.001, help="Seconds after which no further trial is started."),
    stride: int = typer.Option(None, min=1, help="Rows between origins; default: the horizon."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    out: Path = typer.Option(None, help="Folder of best.json, tuning.json and the report."),
    as_json: bool = JSON,
) -> None:
    """Search a model's options on validation rows, and confirm the best on test rows it has not seen."""
    from forecast_core.tuning import tune as search

    base = parse_params(context.args, model=model)
    table = load_data(data)
    parts = fc.splits.time_split(table, shares(ratios))
    splitter = None if cv is None else folds(cv)
    with _progress(None if sampler == "grid" else trials, as_json) as on_trial:
        found = search(
            model,
            parts.train if splitter is None else table.between(None, parts.test.timeline[0]),
            validation=parts.valid if splitter is None else None,
            splitter=splitter,
            n_trials=trials,
            objective=objective,
            space=space,
            base=base,
            storage=storage,
            study_name=study,
            sampler=sampler,
            pruner=None if pruner == "none" else pruner,
            n_jobs=jobs,
            seed=seed,
            timeout=timeout,
            stride=stride,
            on_trial=on_trial,
        )
    test = _on_test(found, table, parts, stride=stride)
    folder = out if out is not None else Run.create("runs", name=f"tune-{model}").directory
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    best = RunConfig(
        model=model,
        params={**base, **(found.best.params if found.best.number else {})},
        data=data,
        ratios=shares(ratios),
        seed=seed,
        stride=stride,
    )
    _write(folder, found, best)
    _show(found, test, folder, as_json)


def _on_test(found: Tuning, data: Any, parts: Split[Any], *, stride: int | None) -> Backtest:
    """Best and default, fitted on the training rows and scored on the test rows."""
    from forecast_core.evaluation.evaluating import default_metrics
    from forecast_core.evaluation.scores import adapted

    models = {
        "best": found.create_model(),
        "default": registry.create_model(found.model_id, found.default_config),
    }
    for model in models.values():
        train, valid = adapted(model, parts.train), adapted(model, parts.valid)
        model.fit(train, validation=valid, seed=found.seed)
    task = models["best"].task
    horizon = getattr(models["best"].config, "horizon", None)
    return fc.backtest(
        models,
        data,
        start=parts.test.timeline[0],
        horizon=horizon,
        stride=stride or horizon or 1,
        metrics=list(dict.fromkeys([found.objective, *default_metrics(task)])),
    )


def _confirmed(found: Tuning, test: Backtest) -> bool:
    """Whether the best beats the default on the test rows too."""
    best, default = (test[label].metrics[found.objective] for label in ("best", "default"))
    if best is None or default is None:
        return False
    return best > default if metric_direction(found.objective) == "higher" else best < default


def _write(folder: Path, found: Tuning, best: RunConfig) -> None:
    from importlib.util import find_spec

    (folder / "best.json").write_text(best.model_dump_json(indent=2))
    if find_spec("matplotlib") is not None:
        found.report(folder / "tuning.html")  # and tuning.json
    else:
        (folder / "tuning.json").write_text(found.to_json())


def _show(found: Tuning, test: Backtest, folder: Path, as_json: bool) -> None:
    confirmed, key = _confirmed(found, test), found.objective
    scores = {label: test[label].metrics[key] for label in ("default", "best")}
    if as_json:
        states = [t.state for t in found.trials]
        print_json(
            {
                "model": found.model_id,
                "objective": key,
                "trials": {state: states.count(state) for state in dict.fromkeys(states)},
                "best": {"trial": found.best.number, "value": found.best_value, "params": found.best_params},
                "default": {"value": found.default_value, "params": dict(found.defaults)},
                "test": json.loads(test.to_json()),
                "confirmed": confirmed,
                "folder": str(folder),
            }
        )
        return
    best = found.best_params
    rows = [[d.name, _text(best[d.name]), _text(found.defaults[d.name])] for d in found.dimensions]
    rows.append([f"{key} on validation", number(found.best_value), number(found.default_value)])
    rows.append([f"{key} on test", number(scores["best"]), number(scores["default"])])
    print_table(f"{found.model_id}, trial {found.best.number}", ["", "best", "default"], rows)
    columns = list(test.scores[0].metrics)
    print_table(
        f"Test part, from {test.start}", ["model", *columns, "skill"], metric_rows(test.scores, columns)
    )
    if not found.best.number:
        typer.echo("no trial was better than the default")
    else:
        typer.echo("confirmed on the test part" if confirmed else "not confirmed on the test part")
    typer.echo(f"forecast train --config {folder / 'best.json'}")


def _text(value: Any) -> str:
    return number(value) if isinstance(value, float) else json.dumps(value)


@contextmanager
def _progress(total: int | None, silent: bool) -> Iterator[Any]:
    """A bar of trials on standard error, drawn after each: no thread may be running when workers fork."""
    if silent:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("trial"),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        task = progress.add_task("trials", total=total, told="")

        def on_trial(trial: TrialRecord) -> None:
            told = number(trial.value) if trial.value is not None else trial.state
            progress.update(task, completed=trial.number + 1, told=told, refresh=True)

        yield on_trial
