"""`forecast export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from forecast_core.cli.options import DEVICE
from forecast_core.cli.output import JSON
from forecast_core.cli.tracking import URI

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add `export`."""
    app.command("export")(export)


def export(
    artifact: str = typer.Argument(help="Folder of a saved model, or MODEL@ALIAS of the registry."),
    folder: Path = typer.Argument(help="Folder to write, new or empty.", metavar="DIR"),
    name: str = typer.Option(None, help="Name to serve it under; default: that of DIR."),
    onnx: bool = typer.Option(
        None,
        "--onnx/--no-onnx",
        help="Demand an ONNX file, or leave it out; default: where the model has one.",
    ),
    scores: Path = typer.Option(None, help="metrics.json of the model's run, for its card."),
    wheels: Path = typer.Option(None, help="Folder of wheels, of which those needed are copied."),
    device: str = DEVICE,
    replace: bool = typer.Option(False, "--replace", help="Put it in the place of an older export."),
    uri: str = URI,
    as_json: bool = JSON,
) -> None:
    """Write a folder that installs, serves and asks a model elsewhere by its own README."""
    from forecast_core.exporting import export as write

    model = _source(artifact, uri)
    made = write(
        model,
        folder,
        name=name,
        onnx=onnx,
        scores=scores,
        wheels=wheels,
        device=device,
        replace=replace,
    )
    if as_json:
        told = {"path": str(made.path), "name": made.name, "onnx": made.onnx, "files": list(made.files)}
        typer.echo(json.dumps(told))
        return
    typer.echo(f"wrote {made.path} ({len(made.files)} files, {'with' if made.onnx else 'no'} ONNX)")
    typer.echo(f"{made.path / 'README.md'} says how to install and serve it")


def _source(artifact: str, uri: str) -> Any:
    if "@" not in artifact or Path(artifact).exists():
        return Path(artifact)
    from forecast_core.serving.sources import source_of
    from forecast_core.tracking import ModelRegistry

    _, source = source_of(artifact, lambda: ModelRegistry(uri))
    return source.load()[1]
