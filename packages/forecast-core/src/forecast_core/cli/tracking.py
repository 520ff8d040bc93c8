"""`forecast registry`: models by name and version, and runs that a server has missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from forecast_core.cli.output import JSON, number, print_json, print_table
from forecast_core.errors import ConfigError

if TYPE_CHECKING:
    from forecast_core.tracking import ModelRegistry, RegisteredModel

__all__ = ["URI", "add_to"]

URI: Any = typer.Option(
    "sqlite:///mlflow.db",
    "--uri",
    envvar="FORECAST_MLFLOW_URI",
    help="MLflow's server or database.",
)
_ALIAS: Any = typer.Option(None, "--alias", help="candidate, champion or archived.")
_VERSION: Any = typer.Option(None, "--version", min=1, help="Number of a version.")


def add_to(app: typer.Typer) -> None:
    """Add the group `registry`."""
    group = typer.Typer(name="registry", help="Models by name and version, in MLflow.", no_args_is_help=True)
    for name, command in (
        ("list", list_models),
        ("register", register),
        ("promote", promote),
        ("show", show),
        ("compare", compare),
        ("resend", resend_runs),
    ):
        group.command(name)(command)
    app.add_typer(group)


def list_models(uri: str = URI, as_json: bool = JSON) -> None:
    """Show all versions of all registered models."""
    registry = _registry(uri)
    found = registry.list()
    if as_json:
        print_json([record.model_dump() for record in found])
        return
    rows = [
        [record.name, str(record.version), ", ".join(record.aliases), record.model, record.created]
        for record in found
    ]
    print_table(f"Models in {registry.uri}", ["name", "version", "aliases", "model", "created"], rows)


def register(
    artifact: Path = typer.Argument(help="Folder of a saved model."),
    name: str = typer.Argument(help="Name to register it under."),
    alias: str = _ALIAS,
    metric: list[str] = typer.Option([], "--metric", help="A number to compare by, as mae=3.2; repeatable."),
    tag: list[str] = typer.Option([], "--tag", help="A note, as owner=me; repeatable."),
    uri: str = URI,
    as_json: bool = JSON,
) -> None:
    """Make a saved model the next version of a name."""
    made = _registry(uri).register(
        artifact,
        name,
        alias=alias,  # type: ignore[arg-type]  # any other is refused with a typed error
        metrics={key: _number(key, value) for key, value in map(_pair, metric)} if metric else None,
        tags=dict(map(_pair, tag)),
    )
    _tell(made, as_json)


def promote(
    name: str = typer.Argument(help="Name of a registered model."),
    version: int = typer.Argument(min=1, help="Number of the version."),
    alias: str = typer.Option("champion", "--alias", help="candidate, champion or archived."),
    uri: str = URI,
    as_json: bool = JSON,
) -> None:
    """Give a version an alias; a champion that is replaced becomes archived."""
    _tell(_registry(uri).promote(name, version, alias=alias), as_json)  # type: ignore[arg-type]


def show(
    name: str = typer.Argument(help="Name of a registered model."),
    version: int = _VERSION,
    alias: str = _ALIAS,
    uri: str = URI,
    as_json: bool = JSON,
) -> None:
    """Show a version, by default the champion, and where it comes from."""
    registry = _registry(uri)
    found = registry.get(name, alias=alias, version=version)  # type: ignore[arg-type]
    both = {**registry.lineage(name, found.version).model_dump(), **found.model_dump()}
    if as_json:
        print_json(both)
        return
    rows = [[key, value if isinstance(value, str) else json.dumps(value)] for key, value in both.items()]
    print_table(f"{name} version {found.version}", ["", "value"], rows)


def compare(
    name: str = typer.Argument(help="Name of a registered model."), uri: str = URI, as_json: bool = JSON
) -> None:
    """Show the metrics of all versions of a model."""
    found = _registry(uri).list(name)
    if as_json:
        print_json(
            [record.model_dump(include={"version", "aliases", "model", "metrics"}) for record in found]
        )
        return
    metrics = sorted({metric for record in found for metric in record.metrics})
    rows = [
        [str(record.version), ", ".join(record.aliases), *(number(record.metrics.get(m)) for m in metrics)]
        for record in found
    ]
    print_table(name, ["version", "aliases", *metrics], rows)


def resend_runs(
    folder: Path = typer.Argument(help="A run's folder, its mlflow.jsonl, or a folder of runs."),
    uri: str = typer.Option(None, "--uri", help="Server to send to; default: the one each run was for."),
    as_json: bool = JSON,
) -> None:
    """Send what MLflow has missed of runs; again does no harm."""
    from forecast_core.tracking import resend

    done = resend(folder, tracking_uri=uri)
    if as_json:
        print_json([each.model_dump() for each in done])
        return
    rows = [[each.run, str(each.events), each.run_id] for each in done]
    print_table("Sent", ["run", "events", "run in MLflow"], rows)


def _registry(uri: str) -> ModelRegistry:
    from forecast_core.tracking import ModelRegistry

    return ModelRegistry(uri)


def _tell(record: RegisteredModel, as_json: bool) -> None:
    if as_json:
        print_json(record.model_dump())
        return
    aliases = f" ({', '.join(record.aliases)})" if record.aliases else ""
    typer.echo(f"{record.name} version {record.version}{aliases}: {record.uri}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(text, "is written as name=value")
    return key, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError("--metric", "is a number", place=repr(name), got=repr(text)) from None
