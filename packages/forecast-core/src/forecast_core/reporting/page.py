"""One self-contained HTML page of tables and figures, written beside the same numbers as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path

from forecast_core.errors import InvalidInputError, MissingDependencyError

__all__ = ["check_target", "figure", "number", "page", "percent", "table", "write_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } figure { margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d8dee4 }
th, td { white-space: nowrap } div.wide { overflow-x: auto }
th:first-child, td:first-child { text-align: left } svg { max-width: 100%; height: auto }
tr.best td { font-weight: 600 } p.note, figcaption { color: #57606a; font-size: .9rem }
"""


def check_target(path: Path) -> None:
    """InvalidInputError unless the path ends in .html, MissingDependencyError without matplotlib."""
    if path.suffix != ".html":
        raise InvalidInputError("path", "ends in .html", got=str(path))
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "matplotlib", purpose="a report", install="pip install 'forecast-core[plot]'"
        )


def write_page(path: Path, html: str, *, json: str) -> Path:
    """Write the page to `path` and the JSON to `path` with .json; each wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, html)
    _replace(path.with_suffix(".json"), json)
    return path


def page(title: str, parts: Sequence[str]) -> str:
    """The document around some HTML parts."""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, best: int | None = None) -> str:
    """A table of text; the row `best` is set apart."""
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join(
        f"<tr{' class=best' if k == best else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for k, row in enumerate(rows)
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def figure(svg: str, caption: str) -> str:
    """A chart with its caption."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def number(value: float | None) -> str:
    """Four digits, a dash for None."""
    return "-" if value is None else f"{value:.4g}"


def percent(value: float | None) -> str:
    """A share as signed percent, a dash for None."""
    return "-" if value is None else f"{100 * value:+.1f} %"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
