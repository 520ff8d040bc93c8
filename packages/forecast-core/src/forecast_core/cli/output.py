"""What commands print: JSON for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

__all__ = ["JSON", "metric_rows", "number", "print_json", "print_table", "split"]

JSON: Any = typer.Option(False, "--json", help="Print JSON.")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table as wide as the terminal, or as its content where there is none."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=title, title_justify="left")
    for k, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=k == 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def number(value: Any) -> str:
    """A number to four digits, a dash for None."""
    return "-" if value is None else f"{value:.4g}"


def split(text: str | None) -> tuple[str, ...]:
    """Words of a comma-separated option, but "coverage@0.5,0.9" stays one: a part that begins with a
    digit belongs to the one before.
    """
    parts: list[str] = []
    for part in (text or "").split(","):
        if parts and part[:1].isdigit() and "@" in parts[-1]:
            parts[-1] += "," + part.strip()
        elif part.strip():
            parts.append(part.strip())
    return tuple(parts)


def metric_rows(scores: Sequence[Any], columns: Sequence[str]) -> list[list[str]]:
    """Rows of a leaderboard: label, metrics, skill of the first metric that has one."""
    rows = []
    for each in scores:
        skill: Mapping[str, float | None] = each.skill
        rows.append(
            [
                each.label,
                *(number(each.metrics.get(c)) for c in columns),
                *[
                    "-" if skill.get(c) is None else f"{100 * float(skill[c] or 0.0):+.1f} %"
                    for c in columns
                    if c in skill
                ][:1],
            ]
        )
    return rows
