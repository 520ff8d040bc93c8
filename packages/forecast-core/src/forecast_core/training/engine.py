"""What differs between one device and several: precision, gradients, and sums over processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forecast_core.errors import DeviceError
from forecast_core.training.options import TrainingOptions

__all__ = ["Engine", "open_engine", "training_device"]

_DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}


class Engine:
    """One process on one device, in plain torch.

    rank: number of this process; world: how many there are.
    """

    rank: int = 0
    world: int = 1

    def __init__(self, options: TrainingOptions) -> None:
        self.device = training_device(options.device)
        self._dtype = _DTYPES.get(options.precision)
        self._scaler = torch.amp.GradScaler(self.device.type) if options.precision == "16" else None
        self._optimizer: Optimizer

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> nn.Module:
        """The module to call in training; it shares its weights with `network`."""
        self._optimizer = optimizer
        return network

    def autocast(self) -> AbstractContextManager[Any]:
        """Arithmetic of the forward pass, loss included."""
        return nullcontext() if self._dtype is None else torch.autocast(self.device.type, self._dtype)

    def accumulating(self, more: bool) -> AbstractContextManager[Any]:
        """Around a forward and backward pass; `more`: further batches of the same step follow."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to the weights'."""
        torch.autograd.backward(loss if self._scaler is None else self._scaler.scale(loss))

    def clip(self, parameters: Sequence[Tensor], max_norm: float) -> None:
        """Scale the gradient down to a norm of at most `max_norm`."""
        if self._scaler is not None:
            self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(parameters, max_norm)

    def step(self) -> None:
        """Update the weights."""
        if self._scaler is None:
            self._optimizer.step()
        else:
            self._scaler.step(self._optimizer)
            self._scaler.update()

    def total(self, values: Tensor) -> Tensor:
        """Element by element, the sum over all processes."""
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag if self.world == 1 else bool(self.total(torch.tensor([float(flag)], device=self.device)))

    def state(self) -> dict[str, Any]:
        """What `restore` needs besides weights and optimizer."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier state."""
        if self._scaler is not None:
            self._scaler.load_state_dict(state)


def open_engine(options: TrainingOptions) -> Engine:
    """The engine that the options ask for; lightning-fabric is imported only if they do."""
    if not options.uses_fabric:
        return Engine(options)
    from forecast_core.training.fabric import FabricEngine

    return FabricEngine(options)


def training_device(name: str, *, argument: str = "TrainingOptions.device") -> torch.device:
    """The device of this name; DeviceError, naming the argument, if torch knows none or it is not there."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            argument, f"is a device of this machine ({reason})", got=repr(name), hint="use 'cpu'"
        ) from error
    if device.type == "meta":
        raise DeviceError(argument, "holds numbers", got=repr(name), hint="use 'cpu'")
    return device
