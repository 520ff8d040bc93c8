"""Charts as SVG text, drawn with matplotlib and no global state."""

from __future__ import annotations

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["canvas", "svg"]


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of some size in inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def svg(figure: Figure) -> str:
    """The figure as an <svg> element; the same figure gives the same text."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "forecast"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
