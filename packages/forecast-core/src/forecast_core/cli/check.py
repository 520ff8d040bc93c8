"""`forecast check`."""

from __future__ import annotations

import typer

from forecast_core.cli.output import JSON, print_json
from forecast_core.cli.sources import parse_params

__all__ = ["add_to"]

_EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Add `check`."""
    app.command("check", context_settings=_EXTRA)(check)


def check(
    context: typer.Context,
    model: str = typer.Argument(
        help="Id of a model; options to check it with, instead of its own test configurations, follow as "
        "--name value."
    ),
    as_json: bool = JSON,
) -> None:
    """Run the conformance checks on a model; exit code 1 if one fails."""
    from forecast_core.conformance import check_predictor

    params = parse_params(context.args, model=model)
    report = check_predictor(model, configs=[params] if params else None)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        typer.echo(report.summary())
    if not report.ok:
        raise typer.Exit(1)
