"""A network whose forward pass is compiled, or that says why it is not."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

__all__ = ["UNCOMPILABLE", "CompileWarning", "Compiled"]

UNCOMPILABLE = (TorchDynamoException,)


class CompileWarning(UserWarning):
    """A network could not be compiled and runs as it is."""


class Compiled(nn.Module):
    """Calls `network` through torch.compile; weights, mode and attributes are the network's own.

    Compilation happens at the first call. Where it fails, say without a C++ compiler, a CompileWarning gives
    the reason, and the network runs uncompiled from then on. A backward pass is compiled when it is first
    run, outside of this module: who runs it says with `give_up` that it failed (UNCOMPILABLE).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._call: Any = torch.compile(network)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What the network gives for these inputs."""
        if self._call is self.network:
            return self.network(*inputs, **named)
        try:
            return self._call(*inputs, **named)
        except UNCOMPILABLE as error:
            self.give_up(error)
        return self.network(*inputs, **named)

    def give_up(self, error: Exception) -> None:
        """Run the network as it is from now on, with a CompileWarning that gives the reason."""
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        warnings.warn(
            f"{type(self.network).__name__} cannot be compiled and runs as it is: {reason}",
            CompileWarning,
            stacklevel=3,
        )
        self._call = self.network

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)
