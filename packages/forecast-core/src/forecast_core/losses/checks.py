"""What every loss asks of its arguments: shapes, mask types, one floating type. No value is read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from forecast_core.errors import InvalidInputError, ShapeError

__all__ = ["as_floats", "as_vector", "check_mask", "check_parameters", "check_positive", "check_shape"]


def as_floats(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in their common floating type, at least float32 (half precision cannot hold a loss)."""
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def check_shape(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raise ShapeError unless the tensor has exactly this shape; losses do not broadcast by accident."""
    if tensor.shape != torch.Size(shape):
        raise ShapeError(name, f"has the shape {tuple(shape)}", got=tuple(tensor.shape))


def check_parameters(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raise ShapeError unless the tensor is [*shape, K] with K >= 1."""
    if tensor.ndim != len(shape) + 1 or tensor.shape[:-1] != torch.Size(shape) or tensor.shape[-1] == 0:
        expected = ", ".join([*(str(n) for n in shape), "K"])
        raise ShapeError(name, f"has the shape [{expected}], K >= 1", got=tuple(tensor.shape))


def check_mask(mask: Tensor | None, shape: Sequence[int]) -> None:
    """Raise unless the mask is absent, or boolean (InvalidInputError) and of this shape (ShapeError)."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise InvalidInputError("mask", "is boolean, True where observed", got=mask.dtype)
    check_shape("mask", mask, shape)


def check_positive(name: str, value: float) -> None:
    """Raise InvalidInputError unless the number is positive and finite."""
    if not 0.0 < value < float("inf"):
        raise InvalidInputError(name, "is positive and finite", got=value)


def as_vector(name: str, values: Tensor | Sequence[float], like: Tensor) -> Tensor:
    """values as a tensor [n], n = like.shape[-1], of the type and device of `like`; ShapeError otherwise."""
    if not isinstance(values, Tensor):
        values = torch.tensor(list(values), dtype=like.dtype, device=like.device)
    check_shape(name, values, like.shape[-1:])
    return values.to(device=like.device, dtype=like.dtype)
