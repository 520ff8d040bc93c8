"""Commands of the command line: `forecast finance features | dataset | backtest | signal`."""

from __future__ import annotations

from typing import Any

from forecast_core.hookspecs import hookimpl

__all__ = ["forecast_commands"]


@hookimpl
def forecast_commands(cli: Any) -> None:
    """Add the commands under `finance`; what they need is imported when the command line is."""
    from forecast_finance.commands import application

    cli.add_typer(application(), name="finance")
