"""Several devices, and fabric's precisions, through lightning-fabric."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forecast_core.errors import ConfigError, MissingDependencyError
from forecast_core.training.engine import Engine, training_device
from forecast_core.training.options import TrainingOptions

__all__ = ["FabricEngine"]

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


class FabricEngine(Engine):
    """One process of data-parallel training, or one device, with `lightning_fabric.Fabric` underneath.

    More than one process is started from outside, as `torchrun --nproc-per-node N script.py`: each trains
    on its share of every epoch's windows, and gradients are averaged. Raises MissingDependencyError
    without lightning-fabric, ConfigError where processes and `devices` do not agree. The network must be
    called through `module(...)`; what it is called with may be tensors, tuples, named tuples, lists and
    dictionaries of them.
    """

    def __init__(self, options: TrainingOptions) -> None:
        if find_spec("lightning_fabric") is None:
            raise MissingDependencyError(
                "lightning-fabric",
                purpose="training on several devices",
                install="pip install 'forecast-core[fabric]'",
            )
        from lightning_fabric import Fabric

        device = training_device(options.device)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != options.devices:
            raise ConfigError(
                "TrainingOptions.devices",
                f"is the number of processes that were started ({started})",
                got=options.devices,
                hint=f"start with: torchrun --nproc-per-node {options.devices} SCRIPT",
            )
        if device.index is not None and options.devices > 1:
            raise ConfigError(
                "TrainingOptions.device",
                "names no single device where there are several",
                got=repr(options.device),
            )
        self._fabric = Fabric(
            accelerator=device.type,
            devices=options.devices if device.index is None else [device.index],
            strategy="ddp" if options.devices > 1 or options.strategy == "ddp" else "auto",
            precision=_PRECISIONS[options.precision],  # type: ignore[arg-type]
        )
        self._fabric.launch()
        self.device = self._fabric.device
        self.rank, self.world = self._fabric.global_rank, self._fabric.world_size
        self._module: Any
        self._wrapped: Any

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> nn.Module:
        """The network wrapped by fabric."""
        self._module, self._wrapped = self._fabric.setup(network, optimizer)
        module: nn.Module = self._module
        return module

    def autocast(self) -> AbstractContextManager[Any]:
        """Arithmetic of the forward pass, loss included."""
        return self._fabric.autocast()

    def accumulating(self, more: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients at the last batch of a step only."""
        return self._fabric.no_backward_sync(self._module, enabled=more and self.world > 1)

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to the weights'."""
        self._fabric.backward(loss)

    def clip(self, parameters: Sequence[Tensor], max_norm: float) -> None:
        """Scale the gradient down to a norm of at most `max_norm`."""
        self._fabric.clip_gradients(self._module, self._wrapped, max_norm=max_norm, error_if_nonfinite=False)

    def step(self) -> None:
        """Update the weights."""
        self._wrapped.step()

    def total(self, values: Tensor) -> Tensor:
        """Element by element, the sum over all processes."""
        reduced = self._fabric.all_reduce(values, reduce_op="sum") if self.world > 1 else values
        assert isinstance(reduced, Tensor)
        return reduced

    def state(self) -> dict[str, Any]:
        """The state of fabric's precision, such as the scale of the loss."""
        return dict(self._fabric._precision.state_dict())

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier state."""
        self._fabric._precision.load_state_dict(state)
