"""Exporting a model: a folder that serves itself elsewhere, with an ONNX file where the model allows one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core.exporting.graph import (
        WINDOW as WINDOW,
        Graph as Graph,
        GraphInput as GraphInput,
        GraphOutput as GraphOutput,
    )
    from forecast_core.exporting.onnx_file import to_onnx as to_onnx
    from forecast_core.exporting.package import Exported as Exported, export as export

_EXPORTS = {
    "graph": ("WINDOW", "Graph", "GraphInput", "GraphOutput"),
    "onnx_file": ("to_onnx",),
    "package": ("Exported", "export"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
