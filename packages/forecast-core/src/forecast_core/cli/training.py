"""`forecast train`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

import forecast_core as fc
from forecast_core import registry
from forecast_core.cli.options import with_data_options
from forecast_core.cli.output import JSON, metric_rows, number, print_json, print_table, split
from forecast_core.cli.sources import load_data, parse_params
from forecast_core.config import DataConfig, RunConfig
from forecast_core.errors import ConfigError
from forecast_core.run import Run
from forecast_core.run_files import compose_run_configs, read_run_config, read_run_configs

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from forecast_core.evaluation import Backtest, CrossValidation
    from forecast_core.predictor import Predictor
    from forecast_core.splits import Split, Splitter

__all__ = ["add_to"]

_EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}
_BESIDE_A_CONFIGURATION = frozenset(
    {"cv", "config", "config_dir", "config_name", "multirun", "runs", "as_json", "model", "resume"}
)


def add_to(app: typer.Typer) -> None:
    """Add `train`."""
    app.command("train", context_settings=_EXTRA)(with_data_options(train))


def train(
    context: typer.Context,
    model: str = typer.Argument(None, help="Id of a model; its own options follow as --name value."),
    data: DataConfig | None = None,
    config: Path = typer.Option(
        None,
        help="A run configuration, YAML or JSON, to train from instead; field=value overrides may follow.",
    ),
    config_dir: Path = typer.Option(
        None, help="Folder of groups of YAML files that Hydra composes; overrides may follow."
    ),
    config_name: str = typer.Option("config", help="File of --config-dir to begin with."),
    multirun: bool = typer.Option(False, "--multirun", help="A run for each value of a=1,2 in overrides."),
    ratios: str = typer.Option("0.8,0.1,0.1", help="Shares of training, validation and test rows."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    metrics: str = typer.Option(None, help="Metrics on the test part, comma-separated."),
    stride: int = typer.Option(None, min=1, help="Rows between test origins; default: the horizon."),
    runs: Path = typer.Option(Path("runs"), help="Folder under which the run's folder is made."),
    track: str = typer.Option(
        None, envvar="FORECAST_MLFLOW_URI", help="Record the run in MLflow: a server, or sqlite:///mlflow.db."
    ),
    cv: str = typer.Option(
        None, help="Cross-validate instead: 5 (folds over time), purged:5, group:5, stratified:5."
    ),
    resume: Path = typer.Option(None, help="Folder of an interrupted run to go on with."),
    as_json: bool = JSON,
) -> None:
    """Fit a model, score it on held-back rows, and save everything in a folder of its own."""
    if resume is not None:
        _refuse_options(context, beside={"resume", "as_json", "model"}, of="--resume")
        if model is not None or context.args:
            rest = [model, *context.args] if model is not None else context.args
            raise ConfigError("train", "takes nothing beside --resume but --json", got=" ".join(rest))
        prepared = _Prepared.of(read_run_config(resume / "run.json"))
        _tell([prepared.fit_and_score(resume, resume=True, quiet=as_json)], as_json)
        return
    if config is not None or config_dir is not None:
        _refuse_options(context, beside=_BESIDE_A_CONFIGURATION, of="a configuration", hint="add field=value")
        overrides = [text for text in (model, *context.args) if text is not None]
        if config_dir is not None:
            configs = compose_run_configs(
                config_dir, name=config_name, overrides=overrides, multirun=multirun
            )
        else:
            configs = (read_run_configs if multirun else _one_run_config)(config, overrides)
    elif model is None or data is None:
        raise ConfigError("train", "needs a model id and --data, or --config, or --resume")
    else:
        configs = [
            RunConfig(
                model=model,
                params=parse_params(context.args, model=model),
                data=data,
                ratios=shares(ratios),
                seed=seed,
                metrics=split(metrics) or None,
                stride=stride,
                tracking=track,
            )
        ]
    each_prepared = [_Prepared.of(each) for each in configs]  # what is wrong is found before a folder is made
    if cv is not None:
        splitter = folds(cv)
        _tell_folds([each.cross_validate(splitter) for each in each_prepared], as_json)
        return
    done = []
    for each in each_prepared:
        directory = Run.create(runs, name=each.config.model).directory
        assert directory is not None
        (directory / "run.json").write_text(each.config.model_dump_json(indent=2))
        done.append(each.fit_and_score(directory, quiet=as_json))
    _tell(done, as_json)


def _one_run_config(path: Path, overrides: list[str]) -> list[RunConfig]:
    return [read_run_config(path, overrides)]


def _refuse_options(context: typer.Context, *, beside: Set[str], of: str, hint: str | None = None) -> None:
    """What says everything leaves no room for options `beside` those it takes: they would be ignored."""
    for name in context.params.keys() - beside:
        given = context.get_parameter_source(name)
        if given is not None and given.name not in ("DEFAULT", "ENVIRONMENT"):
            flag = "data" if name == "source" else name.replace("_", "-")
            raise ConfigError(f"--{flag}", f"is not given beside {of}", hint=hint)


def _tell(done: list[tuple[Backtest, Path]], as_json: bool) -> None:
    if as_json:
        told = [_summary(result, directory) for result, directory in done]
        print_json(told[0] if len(told) == 1 else told)
        return
    for result, directory in done:
        columns = list(result.scores[0].metrics)
        title = f"Test part, from {result.start}"
        print_table(title, ["model", *columns, "skill"], metric_rows(result.scores, columns))
        typer.echo(f"saved in {directory}")


def _tell_folds(found: list[CrossValidation], as_json: bool) -> None:
    if as_json:
        told = [json.loads(each.to_json()) for each in found]
        print_json(told[0] if len(told) == 1 else told)
        return
    for each in found:
        rows = [
            [key, number(mean), number(each.std[key]), number(each.baseline[key])]
            for key, mean in each.mean.items()
        ]
        title = f"{each.model} in {len(each.folds)} folds"
        print_table(title, ["metric", "mean", "spread", "naive baseline"], rows)


def folds(text: str) -> Splitter:
    """The splitter of --cv: "5", or a kind of folds and their number, "purged:5"."""
    kinds: dict[str, Callable[[int], Splitter]] = {
        "time": lambda n: fc.splits.TimeSeriesSplit(n_splits=n),
        "purged": lambda n: fc.splits.PurgedWalkForward(n_splits=n),
        "group": lambda n: fc.splits.GroupSplit(n_splits=n),
        "stratified": lambda n: fc.splits.StratifiedSplit(n_splits=n),
    }
    kind, _, count = text.rpartition(":")
    if not count.isdigit() or int(count) < 2 or (kind or "time") not in kinds:
        raise ConfigError(
            "--cv", f"is a number of at least 2, after {', '.join(kinds)} and :", got=repr(text)
        )
    return kinds[kind or "time"](int(count))


@dataclass(frozen=True)
class _Prepared:
    """A run that has everything it needs: model, data in parts, metrics that exist."""

    config: RunConfig
    model: Predictor[Any]
    data: Any
    parts: Split[Any]
    horizon: int | None
    tracker: fc.MLflowTracker | None

    @classmethod
    def of(cls, config: RunConfig) -> Self:
        """Build and check what a RunConfig describes; nothing is written."""
        from forecast_core.metrics import parse_metric

        model = registry.create_model(config.model, **config.params)
        for name in config.metrics or ():
            parse_metric(name)
        horizon = getattr(model.config, "horizon", None)
        if horizon is None and model.task.kind == "forecast":
            raise ConfigError("--horizon", f"is needed to score {config.model}", hint="add --horizon STEPS")
        data = load_data(config.data)
        tracker = None if config.tracking is None else fc.MLflowTracker(config.tracking)
        return cls(config, model, data, fc.splits.time_split(data, config.ratios), horizon, tracker)

    def cross_validate(self, splitter: Splitter) -> CrossValidation:
        """Fresh models on folds of all the data; nothing is saved."""
        from forecast_core.evaluation.scores import adapted

        config = self.config
        return fc.cross_validate(
            config.model,
            adapted(self.model, self.data),
            splitter,
            config.metrics,
            params=self.model.config,
            horizon=self.horizon,
            stride=config.stride or self.horizon or 1,
            seed=config.seed,
        )

    def fit_and_score(
        self, directory: Path, *, resume: bool = False, quiet: bool = False
    ) -> tuple[Backtest, Path]:
        """Fit, save and score the model in a run's folder."""
        from forecast_core.evaluation.scores import adapted
        from forecast_core.training.history import HistoryWriter
        from forecast_core.training.progress import ProgressBar

        wanted = (HistoryWriter(), None if quiet else ProgressBar(), self.tracker)
        run = Run(directory, resume=resume, listeners=[each for each in wanted if each is not None])
        train, valid, test = (adapted(self.model, part) for part in self.parts)
        self.model.fit(train, validation=valid, seed=self.config.seed, run=run)
        self.model.save(directory / "model")
        result = fc.backtest(
            [self.model],
            self.data,
            start=test.timeline[0],
            horizon=self.horizon,
            stride=self.config.stride or self.horizon or 1,
            metrics=self.config.metrics,
        )
        (directory / "metrics.json").write_text(json.dumps(_summary(result, directory), indent=2))
        if self.tracker is not None:
            own = result[self.model.spec.id].metrics
            self.tracker.log_results(run, metrics={f"test_{k}": v for k, v in own.items() if v is not None})
        return result, directory


def _summary(result: Backtest, directory: Path) -> dict[str, Any]:
    return {"run": str(directory), "model": str(directory / "model"), **json.loads(result.to_json())}


def shares(text: str) -> tuple[float, float, float]:
    """Three numbers of a comma-separated option; ConfigError otherwise."""
    try:
        train, valid, test = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError("--ratios", "are three numbers such as 0.8,0.1,0.1", got=repr(text)) from None
    return train, valid, test
