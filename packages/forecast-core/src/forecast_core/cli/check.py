"""`forecast check`."""

from __future__ import annotations

import typer

from forecast_core.cli.output import JSON, print_json

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add `check`."""
    app.command("check")(check)


def check(model: str = typer.Argument(help="Id of a model."), as_json: bool = JSON) -> None:
    """Run the conformance checks on a model; exit code 1 if one fails."""
    from forecast_core.conformance import check_predictor

    report = check_predictor(model)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        typer.echo(report.summary())
    if not report.ok:
        raise typer.Exit(1)
