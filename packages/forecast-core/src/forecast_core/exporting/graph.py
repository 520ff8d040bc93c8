"""`Graph`: the network of a fitted model from raw numbers to its forecast, as models offer it for export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import JsonValue

__all__ = ["WINDOW", "Graph", "GraphInput", "GraphOutput"]

WINDOW = "window"
"""The first axis of every input and output: its size is free."""


@dataclass(frozen=True, eq=False)
class GraphInput:
    """An input: its name, what stands in it, the names of its axes, and an example of two windows or more
    whose other sizes are fixed. NaN in an example says that missing values may be given.
    """

    name: str
    meaning: str
    axes: tuple[str, ...]
    example: np.ndarray


@dataclass(frozen=True, eq=False)
class GraphOutput:
    """An output: its name, what stands in it, and the names of its axes."""

    name: str
    meaning: str
    axes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """What `Predictor._graph` gives: a torch module and all that its caller has to know.

    module: takes its inputs by their names and gives a tuple of outputs, in order; without state, on the
    CPU, in evaluation mode. What is done before and after the network (scaling, masks, calendar) belongs
    inside, so that inputs and outputs are in the data's units. feed: the inputs for what follows some data
    of the model's task, one window an item. facts: what names positions on the axes, as JSON values;
    arrays: the numbers of the scaling inside, for the reader.
    """

    module: Any
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    feed: Callable[[Any], dict[str, np.ndarray]]
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def example(self) -> dict[str, np.ndarray]:
        """The examples of all inputs, by name."""
        return {each.name: each.example for each in self.inputs}

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of the torch module, by name."""
        import torch

        with torch.inference_mode():
            given = {name: torch.from_numpy(np.array(value)) for name, value in inputs.items()}
            found = self.module(**given)
        return {each.name: value.numpy() for each, value in zip(self.outputs, found, strict=True)}
