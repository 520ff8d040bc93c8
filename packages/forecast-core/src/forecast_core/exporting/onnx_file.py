"""A graph as the bytes of an ONNX file, compared with torch before anybody gets it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from forecast_core.errors import MissingDependencyError, PluginError
from forecast_core.exporting.graph import WINDOW, Graph

__all__ = ["TOLERANCE", "need_onnx", "onnx_session", "to_onnx"]

TOLERANCE = 1e-5
"""Largest difference from torch, as a share of an output's largest number."""

_OPSET = 20
_NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")
_NOISY = ("torch", "torch.__trace", "onnxscript", "onnx_ir")


def need_onnx() -> None:
    """MissingDependencyError unless everything is installed that writes and checks ONNX."""
    for library in _NEEDED:
        if find_spec(library) is None:
            raise MissingDependencyError(
                library,
                purpose="ONNX",
                install="pip install 'forecast-core[onnx]' (--no-onnx exports without it)",
            )


def to_onnx(graph: Graph, *, owner: str) -> bytes:
    """The graph as one ONNX file with its weights inside; any number of windows.

    Before it is given it has answered the examples, and each of their windows alone, as torch does, to
    1e-5 of the largest number of each output. Raises MissingDependencyError, or PluginError where the
    network of `owner` cannot be converted or the numbers differ.
    """
    need_onnx()
    import torch

    example = graph.example()
    windows = torch.export.Dim(WINDOW)
    try:
        with _quiet():
            program = torch.onnx.export(
                graph.module,
                kwargs={name: torch.from_numpy(np.array(value)) for name, value in example.items()},
                input_names=list(example),
                output_names=[each.name for each in graph.outputs],
                dynamic_shapes={name: {0: windows} for name in example},
                opset_version=_OPSET,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        raw: bytes = _without_traces(program.model_proto).SerializeToString()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise PluginError(f"{owner}: its graph cannot be written as ONNX: {reason}") from error
    _compare(graph, raw, owner)
    return raw


def _without_traces(model: Any) -> Any:
    """The model without the source lines and paths that the exporter notes at every node."""
    parts = [model, model.graph, *model.functions]
    nodes = [node for part in parts[1:] for node in part.node]
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer]
    for part in (*parts, *nodes, *values):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def onnx_session(raw: bytes) -> Any:
    """An onnxruntime session on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _compare(graph: Graph, raw: bytes, owner: str) -> None:
    names = [each.name for each in graph.outputs]
    batches = list(_batches(graph.example()))
    try:
        session = onnx_session(raw)
        answers = [session.run(names, inputs) for inputs in batches]
    except Exception as error:
        raise PluginError(f"{owner}: onnxruntime cannot run its graph: {error}") from error
    for inputs, found in zip(batches, answers, strict=True):
        for (name, wanted), got in zip(graph.run(inputs).items(), found, strict=True):
            _check_equal(name, got, wanted, owner)


def _check_equal(name: str, got: np.ndarray, wanted: np.ndarray, owner: str) -> None:
    if got.shape != wanted.shape or not np.isfinite(wanted).all() or not np.isfinite(got).all():
        raise PluginError(f"{owner}: the answer {name!r} of its graph has another shape, or infinity")
    apart = float(np.abs(got - wanted).max(initial=0.0))
    largest = float(np.abs(wanted).max(initial=0.0))
    if apart > TOLERANCE * largest:
        raise PluginError(
            f"{owner}: ONNX and torch differ by {apart:.3g} in {name!r}, whose largest is {largest:.3g}"
        )


def _batches(example: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """The examples as they are, and each window of them alone."""
    yield dict(example)
    for k in range(min(len(value) for value in example.values())):
        yield {name: value[k : k + 1] for name, value in example.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about its own workings; torch.onnx both warns and logs."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
