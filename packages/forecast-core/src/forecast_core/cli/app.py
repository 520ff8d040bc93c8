"""The typer application: commands, global options, and errors in one line."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import typer

from forecast_core import __version__, plugins
from forecast_core.cli import (
    check,
    exporting,
    listing,
    predicting,
    scoring,
    serving,
    tracking,
    training,
    tuning,
)
from forecast_core.errors import ConfigError, ForecastError, MetricError

__all__ = ["build_app", "run"]


def build_app() -> typer.Typer:
    """All commands, those of plugins included."""
    app = typer.Typer(
        name="forecast",
        help="Predict what happens next, with honest uncertainty.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def options(
        traceback: bool = typer.Option(False, "--traceback", help="Show the whole traceback of an error."),
        verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what happens."),
        version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
    ) -> None:
        if version:
            typer.echo(__version__)
            raise typer.Exit
        if verbose:
            logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        os.environ["FORECAST_TRACEBACK"] = "1" if traceback else ""

    for module in (listing, training, tuning, scoring, predicting, serving, exporting, tracking, check):
        module.add_to(app)
    plugins.call_isolated("forecast_commands", cli=app)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    _show_warnings_in_one_line()
    try:
        result = build_app()(list(arguments), standalone_mode=False)
    except ForecastError as error:
        if os.environ.get("FORECAST_TRACEBACK"):
            raise
        _say(f"error: {error}")
        return 2 if isinstance(error, ConfigError | MetricError) else 1
    except OSError as error:
        if os.environ.get("FORECAST_TRACEBACK"):
            raise
        _say(f"error: {error.filename or 'file'}: {error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except typer.Abort:
        _say("aborted")
        return 1
    except typer.Exit as leave:
        return int(leave.exit_code)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # wrong usage
            if message := error.format_message():
                _say(f"error: {message}")
            return int(error.exit_code)
        if os.environ.get("FORECAST_TRACEBACK"):
            raise
        _say(f"error: {type(error).__name__}: {error} (this is a bug; --traceback shows where)")
        return 1
    return int(result) if isinstance(result, int) else 0


def _say(line: str) -> None:
    print(" ".join(line.split()), file=sys.stderr)  # noqa: T201


def _show_warnings_in_one_line() -> None:
    def show(message: Warning | str, *_: object, **__: object) -> None:
        _say(f"warning: {message}")

    warnings.showwarning = show
