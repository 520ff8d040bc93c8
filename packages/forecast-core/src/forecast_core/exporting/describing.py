"""What an exported folder says of itself to programs: metadata.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core import registry
from forecast_core.artifacts import Manifest, State
from forecast_core.exporting.graph import Graph
from forecast_core.exporting.onnx_file import TOLERANCE
from forecast_core.exporting.requirements import Needed
from forecast_core.exporting.scores import ScoreTable

__all__ = ["FORMAT", "Subject", "described_graph", "metadata"]

FORMAT = "forecast-export"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class Subject:
    """A model to export: its served name, its artifact, its graph if it has one, and what it needs.

    is_served: whether its task describes requests; has_request: whether there is one to try.
    """

    name: str
    manifest: Manifest
    state: State
    graph: Graph | None
    without_graph: str
    packages: Needed
    ours: Sequence[str]
    scores: ScoreTable | None
    is_served: bool
    has_request: bool
    has_wheels: bool
    onnx_packages: Mapping[str, str]


def metadata(subject: Subject, files: Mapping[str, str]) -> str:
    """metadata.json: model, data, packages, inputs and outputs of the graph, SHA-256 of every other file."""
    manifest = subject.manifest
    spec = registry.model_spec(manifest.spec_id)
    told: dict[str, Any] = {
        "format": FORMAT,
        "format_version": _VERSION,
        "name": subject.name,
        "model": {
            "id": spec.id,
            "version": manifest.spec_version,
            "task": spec.task,
            "summary": spec.summary,
        },
        "created": manifest.created,
        "config": manifest.config,
        "data": manifest.data,
        "lineage": manifest.lineage,
        "scores": None if subject.scores is None else subject.scores.model_dump(mode="json"),
        "packages": {"saved_with": manifest.packages, "required": dict(subject.packages)},
        "arrays": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in subject.state.arrays.items()
        },
        "graph": None if subject.graph is None else described_graph(subject.graph),
        "files": dict(sorted(files.items())),
    }
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def described_graph(graph: Graph) -> dict[str, Any]:
    """Inputs and outputs of a graph, a size that is free as None, and its facts."""
    outputs = graph.run(graph.example())
    described: list[tuple[str, Any, np.ndarray]] = [("inputs", i, i.example) for i in graph.inputs]
    described += [("outputs", o, outputs[o.name]) for o in graph.outputs]
    told: dict[str, Any] = {"file": "onnx/model.onnx", "tolerance": TOLERANCE, "inputs": [], "outputs": []}
    for side, each, array in described:
        told[side].append(
            {
                "name": each.name,
                "meaning": each.meaning,
                "dtype": str(array.dtype),
                "axes": list(each.axes),
                "shape": [None, *array.shape[1:]],
            }
        )
    return {**told, "facts": dict(graph.facts)}
