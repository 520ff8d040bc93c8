"""Options that several commands share: where data comes from."""

from __future__ import annotations

from typing import Any, Literal

import typer

__all__ = [
    "FREQ",
    "FUTURE",
    "ITEM_ID",
    "LAYOUT",
    "PAST",
    "SOURCE",
    "STATIC",
    "TARGET",
    "TIMESTAMP",
    "TZ",
    "Layout",
]

Layout = Literal["long", "wide"]

SOURCE: Any = typer.Option(..., "--data", help="Id of a dataset, or path of a csv or parquet file.")
LAYOUT: Any = typer.Option("long", "--layout", help="long: a row an (item, time); wide: a column an item.")
TIMESTAMP: Any = typer.Option("timestamp", help="Column of times.")
ITEM_ID: Any = typer.Option(None, help="Column of item ids; without it the table is one series.")
TARGET: Any = typer.Option("target", help="Columns to predict, comma-separated.")
FREQ: Any = typer.Option(None, help="Frequency such as h or 5min; inferred by default.")
PAST: Any = typer.Option("", "--past-covariates", help="Columns known up to now, comma-separated.")
FUTURE: Any = typer.Option("", "--future-covariates", help="Columns known ahead, comma-separated.")
STATIC: Any = typer.Option("", "--static-covariates", help="Columns constant within an item.")
TZ: Any = typer.Option(None, help="Zone whose clock calendar features follow.")
