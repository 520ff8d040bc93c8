"""`forecast models`, `describe`, `datasets` and `plugins`."""

from __future__ import annotations

from importlib.util import find_spec

import typer

from forecast_core import plugins, registry
from forecast_core.cli.output import JSON, print_json, print_table

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the listing commands."""
    app.command("models")(models)
    app.command("describe")(describe)
    app.command("datasets")(datasets)
    app.command("plugins")(list_plugins)


def models(
    task: str | None = typer.Option(None, help="Only models of this task."), as_json: bool = JSON
) -> None:
    """List all models."""
    if task is not None:
        registry.task_spec(task)
    specs = [registry.model_spec(model) for model in registry.available_models(task=task)]
    installed = {s.id: all(find_spec(name) is not None for name in s.requires) for s in specs}
    if as_json:
        print_json([{**s.model_dump(mode="json"), "installed": installed[s.id]} for s in specs])
        return
    rows = [
        [
            s.id,
            s.task,
            " | ".join(s.capabilities.prediction_kinds),
            s.summary if installed[s.id] else f"needs: {s.install_hint}",
        ]
        for s in specs
    ]
    print_table("Models", ["id", "task", "prediction", "summary"], rows)


def describe(model: str = typer.Argument(help="Id of a model."), as_json: bool = JSON) -> None:
    """Show what a model takes, gives, and can be told."""
    found = registry.describe_model(model)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    spec = found.spec
    typer.echo(f"{spec.id}: {spec.summary}")
    if not found.installed:
        typer.echo(f"not installed: {spec.install_hint}")
    rows = [[name, str(value)] for name, value in spec.capabilities]
    print_table("Capabilities", ["capability", "value"], rows)
    print_table(
        "Options",
        ["option", "type", "default", "search", "meaning"],
        [
            [
                f"--{f.name.replace('_', '-')}",
                f.type,
                str(f.default),
                "" if f.search is None else ", ".join(f"{k} {v}" for k, v in f.search.items()),
                f.description,
            ]
            for f in found.fields
        ],
    )
    if found.presets:
        told = [
            [name, ", ".join(f"{option} {value}" for option, value in options.items())]
            for name, options in found.presets.items()
        ]
        print_table("Presets", ["--preset", "options"], told)


def datasets(as_json: bool = JSON) -> None:
    """List all datasets."""
    specs = [registry.dataset_spec(name) for name in registry.available_datasets()]
    if as_json:
        print_json([s.model_dump(mode="json") for s in specs])
        return
    print_table(
        "Datasets",
        ["id", "task", "licence", "summary"],
        [[s.id, s.task, s.licence, s.summary] for s in specs],
    )


def list_plugins(as_json: bool = JSON) -> None:
    """List plugins and what failed in them; exit code 1 if anything did."""
    registry.available_models()
    loaded, failures = plugins.plugins(), plugins.plugin_failures()
    if as_json:
        print_json(
            {
                "plugins": [
                    {
                        "name": p.name,
                        "package": p.package,
                        "distribution": p.distribution,
                        "version": p.version,
                    }
                    for p in loaded
                ],
                "failures": [
                    {
                        "plugin": f.plugin,
                        "distribution": f.distribution,
                        "stage": f.stage,
                        "error": f"{type(f.error).__name__}: {f.error}",
                    }
                    for f in failures
                ],
            }
        )
    else:
        print_table(
            "Plugins",
            ["name", "package", "distribution", "version"],
            [[p.name, p.package, p.distribution, p.version] for p in loaded],
        )
        for failure in failures:
            typer.echo(str(failure), err=True)
    if failures:
        raise typer.Exit(1)
